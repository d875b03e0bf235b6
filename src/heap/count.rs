//! The figures of [`Stats`]: bifold's own, and what the kernel says of its memory.

use super::report::live_blocks;
use super::{Kind, registry};
use crate::options::{self, Figures};
use crate::os::file::{self, Second};
use crate::os::{hooks, process, smaps, usage};
use crate::pages::{PAGE, guarded, large, window, zone};
use crate::slab::{self, Slab};
use crate::stats::{Area, Blocks, Stats};
use crate::sync::Locked;

/// Fills in all figures, over all threads. The caller holds no lock.
///
/// In place, as in [`count`]: figures are long, and a thread's stack may be short.
pub fn measure(stats: &mut Stats) {
    #[cfg(feature = "valgrind")]
    let _quiet = crate::os::valgrind::Quiet::begin();
    count(stats);
    let ranges = Ranges::here();
    stats.window.resident = usage::resident(ranges.window.0, ranges.window.1);
    stats.metadata.resident = resident(|each| ranges.for_each_metadata(each));
    stats.large.resident = resident(|each| large::for_each_mapping(each));
    add_kernel(stats, &ranges);
}

/// Writes all figures as a table to standard error, in as few pieces as they
/// fit; `errno` stays.
pub fn print_stats() {
    let mut stats = Stats::default();
    measure(&mut stats);
    stats.write_table(&mut |piece| process::write_stderr(piece.as_bytes()));
}

/// Standard error by another number: many programs close it when they exit,
/// before the figures are written.
static STDERR: Locked<Option<Second>> = Locked::new(None);

/// Has the figures written at the end of the process.
pub(super) fn print_later() {
    *STDERR.lock() = Second::of(2);
    if !hooks::at_exit(print_at_exit) {
        process::write_stderr(b"bifold: BIFOLD_STATS: no memory for a hook at the exit\n");
    }
}

/// What `BIFOLD_STATS` asks for at the end of the process.
unsafe extern "C" fn print_at_exit() {
    let file = match *STDERR.lock() {
        Some(second) if file::identity_of(2).is_none() => second.number().unwrap_or(2),
        _ => 2,
    };
    let mut write = |piece: &str| process::write_to(file, piece.as_bytes());
    let mut stats = Stats::default();
    measure(&mut stats);
    if options::stats() == Figures::Json {
        stats.write_json(&mut write);
    } else {
        stats.write_table(&mut write);
    }
}

/// Fills in bifold's own figures, over all threads, where there are none yet;
/// nothing that the kernel says.
pub fn count(stats: &mut Stats) {
    #[cfg(feature = "valgrind")]
    let _quiet = crate::os::valgrind::Quiet::begin();
    let (mut slab_bytes, mut uncut, mut free_blocks, mut guards) = (0, 0, 0, 0);
    registry::for_each(|heap| {
        stats.heaps += usize::from(heap.kind() != Kind::Shared);
        heap.for_each_slab(|slab| {
            if slab.is_guarded() {
                guards += guarded::guard_pages() as usize * PAGE;
            }
            if slab.kind() == slab::Kind::Wiped {
                let bytes = slab.pages() as usize * PAGE;
                (uncut, slab_bytes) = (uncut + bytes, slab_bytes + bytes);
            } else if slab.kind().is_slab() {
                let (free, uncut_here) = count_slab(stats, slab);
                free_blocks += free;
                uncut += uncut_here;
                slab_bytes += slab.pages() as usize * PAGE;
            }
        });
    });
    let slabs: usize = stats.classes().iter().map(|class| class.slabs).sum();
    let large = large::figures();
    let mut heaps = 0;
    registry::for_each_piece(|_, bytes| heaps += bytes);
    let zone = zone::lock().figures();
    debug_assert!(zone.clean <= zone.free && zone.free <= zone.mapped);
    debug_assert_eq!(
        stats.in_slabs.number,
        stats.classes().iter().map(|class| class.live).sum()
    );

    // What is mapped and neither free nor in a slab is in runs. The window's
    // first page is in none of them.
    let first_page = zone.mapped.min(PAGE);
    let in_runs = (zone.mapped - zone.free).saturating_sub(first_page + slab_bytes + guards);
    stats.in_runs = Blocks {
        number: zone.taken.saturating_sub(slabs),
        bytes: in_runs,
    };
    stats.in_large = Blocks {
        number: large.blocks,
        bytes: large.live,
    };
    let kinds = [stats.in_slabs, stats.in_runs, stats.in_large];
    stats.live = Blocks {
        number: kinds.iter().map(|blocks| blocks.number).sum(),
        bytes: kinds.iter().map(|blocks| blocks.bytes).sum(),
    };
    stats.dirty = zone.free - zone.clean;
    stats.window = Area::of(
        stats.in_slabs.bytes + in_runs,
        stats.dirty + free_blocks,
        zone.clean,
        uncut + first_page + guards,
    );
    stats.metadata = Area::of(0, 0, 0, zone.metadata + large.table.1 + heaps);
    stats.large = Area::of(large.live, large.kept, 0, 0);
    stats.most_window = zone.peak_mapped;
    stats.most_large = large.most;
}

/// Counts a slab. Returns the bytes of its free blocks, and of what is in no
/// block. The caller holds its heap's lock.
fn count_slab(stats: &mut Stats, slab: &'static Slab) -> (usize, usize) {
    // A double free that was not found out may have made the count lie.
    let live = live_blocks(slab).min(slab.carved() as usize);
    // Of a slab that trim has emptied no block is left but what is live.
    #[cfg(not(feature = "hardened"))]
    let is_emptied = slab.is_emptied();
    #[cfg(feature = "hardened")]
    let is_emptied = false;
    let cut = if is_emptied {
        live
    } else {
        slab.carved() as usize
    };
    let (size, bytes) = (slab.size(), slab.pages() as usize * PAGE);
    let class = stats.class_mut(slab.class());
    class.slabs += 1;
    class.live += live;
    class.free += cut - live;
    class.slab_bytes += bytes;
    stats.in_slabs.number += live;
    stats.in_slabs.bytes += live * size;
    ((cut - live) * size, bytes - cut * size)
}

/// Where bifold's memory lies, but for large mappings: addresses and bytes.
struct Ranges {
    window: (usize, usize),
    metadata: [(usize, usize); 4],
    table: (usize, usize),
}

impl Ranges {
    fn here() -> Self {
        let bytes = window::pages() * PAGE;
        Self {
            // Without a window, `base` is no address.
            window: (if bytes > 0 { window::base() } else { 0 }, bytes),
            metadata: zone::lock().metadata(),
            table: large::figures().table,
        }
    }

    fn for_each_metadata(&self, each: &mut dyn FnMut(usize, usize)) {
        for &(start, bytes) in self.metadata.iter().chain([&self.table]) {
            each(start, bytes);
        }
        registry::for_each_piece(each);
    }

    /// How many bytes of a mapping are bifold's.
    fn share(&self, mapping: &smaps::Mapping) -> usize {
        let mut share = 0;
        let mut add = |start: usize, bytes: usize| {
            let end = mapping.end.min(start + bytes);
            share += end.saturating_sub(mapping.start.max(start));
        };
        add(self.window.0, self.window.1);
        self.for_each_metadata(&mut add);
        large::for_each_mapping(add);
        share
    }
}

fn resident(for_each: impl FnOnce(&mut dyn FnMut(usize, usize))) -> Option<usize> {
    let mut sum = Some(0);
    for_each(&mut |start, bytes| {
        sum = sum.and_then(|sum| Some(sum + usage::resident(start, bytes)?));
    });
    sum
}

/// Adds what the kernel says of the process and its mappings.
fn add_kernel(stats: &mut Stats, ranges: &Ranges) {
    let mut kernel = stats.kernel;
    let told = smaps::for_each_mapping(|mapping| {
        add(&mut kernel.process_resident, mapping.resident, usize::MAX);
        let figures = [
            (&mut kernel.huge, mapping.huge),
            (&mut kernel.hugetlb, mapping.hugetlb),
            (&mut kernel.locked, mapping.locked),
            (&mut kernel.swapped, mapping.swapped),
        ];
        // Looking for it takes time, and most mappings have nothing of these.
        let has_any = figures
            .iter()
            .any(|(_, figure)| figure.is_some_and(|bytes| bytes > 0));
        let share = if has_any { ranges.share(mapping) } else { 0 };
        for (sum, figure) in figures {
            add(sum, figure, share);
        }
    });
    if told {
        stats.kernel = kernel;
    }
    (stats.kernel.minor_faults, stats.kernel.major_faults) = usage::faults();
}

/// Adds what a mapping has to a sum, at most `most` of it. A sum is known as soon
/// as one mapping has the figure.
fn add(sum: &mut Option<usize>, figure: Option<usize>, most: usize) {
    if let Some(figure) = figure {
        *sum = Some(sum.unwrap_or(0) + figure.min(most));
    }
}
