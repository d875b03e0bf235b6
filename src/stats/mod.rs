//! What the allocator has, beside what the kernel says of it.
//!
//! [`stats`](crate::stats()) takes the figures, a [`Stats`] holds them and
//! renders them: as a table for people ([`Stats::write_table`], `Display`), as
//! JSON ([`Stats::write_json`]) and as XML ([`Stats::write_xml`]). They differ in
//! form alone: one walk over the figures serves all.
//!
//! bifold's figures are of memory that was given to the program or can be,
//! the kernel's of pages. Why the two differ is told in `docs/stats.md`.

mod json;
mod table;
mod walk;
mod xml;

use crate::size_class::{CLASSES, SizeClass};

/// The figures of a whole process: all threads, and all explicit heaps. Sizes are
/// in bytes.
///
/// Each part is counted under its lock, one part after the other. When no other
/// thread allocates or frees meanwhile, these hold:
///
/// * `live` is `in_slabs + in_runs + in_large`, in number and bytes;
/// * `in_slabs` is the sum over the classes of `live` blocks and of
///   `live * block_size` bytes;
/// * of each area, `reserved` is `live + cached + clean + other`, and
///   `committed` is `reserved - clean`;
/// * `window.reserved` is the classes' `slab_bytes`, `in_runs.bytes`, `dirty`,
///   `window.clean` and the window's first page, together;
/// * `window.live` is `in_slabs.bytes + in_runs.bytes`;
/// * `window.cached` is `dirty` and the sum over the classes of
///   `free * block_size`;
/// * `large.live` is `in_large.bytes`, and what is `large.cached` besides is
///   kept for the next requests.
///
/// Otherwise a sum of parts may be off by what others did between two of them.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The blocks that the program has.
    pub live: Blocks,
    /// Of those, the ones in slabs.
    pub in_slabs: Blocks,
    /// Of those, the ones that are runs of pages.
    pub in_runs: Blocks,
    /// Of those, the ones that are mappings of their own.
    pub in_large: Blocks,
    /// The window: slabs, runs and free runs.
    pub window: Area,
    /// What bifold keeps books in: page map, descriptors, buddy system, heaps
    /// and the table of large mappings. Its static variables, some 30 KiB, are
    /// not counted.
    pub metadata: Area,
    /// Large mappings, live and kept.
    pub large: Area,
    /// Free runs of the window that are not known to be clean: what a trim gives
    /// back at once.
    pub dirty: usize,
    /// Heaps in use: one for each thread that has allocated, also for one that
    /// has ended until another takes its heap over, and the explicit ones.
    pub heaps: usize,
    /// The most that `window.reserved` has been.
    pub most_window: usize,
    /// The most that `large.live` has been.
    pub most_large: usize,
    /// What the kernel says.
    pub kernel: Kernel,
    /// A [`Class`] for each size class, the smallest blocks first.
    classes: [Class; CLASSES],
}

/// Live blocks of some kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// How many.
    pub number: usize,
    /// Their bytes: what the program may use of them
    /// (`malloc_usable_size`), not what it asked for.
    pub bytes: usize,
}

/// Address space of one use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Area {
    /// Mapped.
    pub reserved: usize,
    /// What may have memory behind it: all but what is `clean`.
    pub committed: usize,
    /// What has memory behind it, in OS pages, as mincore(2) says. What was
    /// swapped out has none; a page that was only read from counts. `None`
    /// where the kernel does not say.
    pub resident: Option<usize>,
    /// In blocks that the program has.
    pub live: usize,
    /// Free, and not given back to the kernel: free runs, free blocks of slabs,
    /// large mappings that are kept.
    pub cached: usize,
    /// Free, and known to read as zero: given back, or never touched.
    pub clean: usize,
    /// The rest: what of slabs has not been cut into blocks yet, or not
    /// any more, and bifold's own data.
    pub other: usize,
}

/// One size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Class {
    /// The size of its blocks.
    pub block_size: usize,
    /// How many slabs it has.
    pub slabs: usize,
    /// How many blocks of them the program has.
    pub live: usize,
    /// How many blocks of them have been cut and are free.
    pub free: usize,
    /// The bytes of the slabs.
    pub slab_bytes: usize,
}

/// What the kernel says. A figure that it does not tell, because `/proc` can't be
/// read or the kernel is too old, is `None`.
///
/// The first four are of the mappings in which bifold's areas lie, but never
/// more than bifold has of one: the kernel may have joined a large mapping with a
/// neighbour that is not bifold's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernel {
    /// Bytes in transparent huge pages (`AnonHugePages` of smaps).
    pub huge: Option<usize>,
    /// Bytes in pages of hugetlbfs (`Private_Hugetlb`).
    pub hugetlb: Option<usize>,
    /// Bytes locked in memory (`Locked`): see mlock(2).
    pub locked: Option<usize>,
    /// Bytes swapped out (`Swap`).
    pub swapped: Option<usize>,
    /// Resident bytes of the whole process (`Rss`): the program's code, its
    /// stacks and its own mappings included.
    pub process_resident: Option<usize>,
    /// Page faults of the process that were served without reading a disk.
    pub minor_faults: usize,
    /// Page faults of the process for which a disk was read.
    pub major_faults: usize,
}

impl Default for Stats {
    /// Figures of nothing at all, the kernel's unknown.
    fn default() -> Self {
        let mut stats = Self {
            live: Blocks::default(),
            in_slabs: Blocks::default(),
            in_runs: Blocks::default(),
            in_large: Blocks::default(),
            window: Area::default(),
            metadata: Area::default(),
            large: Area::default(),
            dirty: 0,
            heaps: 0,
            most_window: 0,
            most_large: 0,
            kernel: Kernel::default(),
            classes: [Class::default(); CLASSES],
        };
        for class in SizeClass::all() {
            stats.classes[class.index()].block_size = class.size();
        }
        stats
    }
}

impl Stats {
    /// The size classes, the smallest blocks first; also those without slabs.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    pub(crate) fn class_mut(&mut self, class: SizeClass) -> &mut Class {
        &mut self.classes[class.index()]
    }

    /// The areas with their names.
    pub fn areas(&self) -> [(&'static str, Area); 3] {
        [
            ("window", self.window),
            ("metadata", self.metadata),
            ("large", self.large),
        ]
    }

    /// All areas together. `resident` is `None` where one area's is.
    pub fn total(&self) -> Area {
        self.areas()
            .iter()
            .fold(Area::NOTHING, |sum, (_, area)| Area {
                reserved: sum.reserved + area.reserved,
                committed: sum.committed + area.committed,
                resident: sum.resident.zip(area.resident).map(|(a, b)| a + b),
                live: sum.live + area.live,
                cached: sum.cached + area.cached,
                clean: sum.clean + area.clean,
                other: sum.other + area.other,
            })
    }

    /// Writes the figures as a table for people, in units that suit them, in
    /// pieces of whatever length. What the kernel does not tell is `?`.
    pub fn write_table(&self, sink: &mut dyn FnMut(&str)) {
        table::write(self, sink);
    }

    /// Writes the figures as a JSON object (RFC 8259), in pieces of whatever
    /// length. What the kernel does not tell is `null`; classes without slabs are
    /// left out.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut json = String::new();
    /// bifold::stats().write_json(&mut |piece| json.push_str(piece));
    /// assert!(json.starts_with('{') && json.ends_with("}\n"));
    /// ```
    pub fn write_json(&self, sink: &mut dyn FnMut(&str)) {
        json::write(self, sink);
    }

    /// Writes the figures as an XML element `malloc`, as malloc_info(3) does, in
    /// pieces of whatever length. What the kernel does not tell is `?`; classes
    /// without slabs are left out.
    pub fn write_xml(&self, sink: &mut dyn FnMut(&str)) {
        xml::write(self, sink);
    }
}

impl core::fmt::Display for Stats {
    /// The table of [`Stats::write_table`].
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut result = Ok(());
        self.write_table(&mut |piece| {
            if result.is_ok() {
                result = f.write_str(piece);
            }
        });
        result
    }
}

impl Area {
    const NOTHING: Self = Self {
        reserved: 0,
        committed: 0,
        resident: Some(0),
        live: 0,
        cached: 0,
        clean: 0,
        other: 0,
    };

    /// An area of these parts.
    pub(crate) fn of(live: usize, cached: usize, clean: usize, other: usize) -> Self {
        let committed = live + cached + other;
        Self {
            reserved: committed + clean,
            committed,
            resident: None,
            live,
            cached,
            clean,
            other,
        }
    }
}
