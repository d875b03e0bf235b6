//! The check: whether the window's metadata covers what is mapped.

use super::{
    AtomicI32, MAP_BELOW, NODE_BYTES, NODE_UNITS, Ordering, PAGE, PAGE_SHIFT, STEP, UNIT_BYTES,
    UNIT_PAGES, Window, base, entry, is_open, pages,
};
use crate::fatal::{Checked, ensure};

/// The descriptor of a page, as its entry in the page map says; `None`: nobody's.
pub fn entry_of(page: usize) -> Option<usize> {
    debug_assert!(page < pages());
    // SAFETY: the page map is mapped for all mapped pages.
    let distance = unsafe { &*entry(base(), page) }.load(Ordering::Relaxed);
    (distance != 0).then(|| base().wrapping_add_signed(distance as isize))
}

impl Window {
    /// Whether the metadata of every mapped page is mapped, what is in use of it
    /// is within that, and the first page is nobody's and reads as zero.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn check(&self) -> Checked {
        if !is_open() {
            return ensure(pages() == 0, "pages without a window", pages());
        }
        let units = pages().div_ceil(UNIT_PAGES as usize);
        ensure(pages() <= self.limit, "a window beyond its end", base())?;
        ensure(
            self.map.start == base() - MAP_BELOW,
            "a page map that is not the window's",
            self.map.start,
        )?;
        for (region, used) in [
            (&self.map, pages() * size_of::<AtomicI32>()),
            (&self.units, units * UNIT_BYTES),
            (&self.nodes, units.div_ceil(NODE_UNITS) * NODE_BYTES),
            (&self.descriptors, self.descriptors_used),
        ] {
            let is_covered = used <= region.mapped && region.mapped <= region.limit;
            ensure(
                is_covered && region.mapped.is_multiple_of(STEP),
                "metadata that is not mapped",
                region.start + region.mapped,
            )?;
        }
        let first = base() as *const u64;
        // SAFETY: the window's first page is mapped, and nobody writes to it.
        let is_zero = (0..PAGE / 8).all(|word| unsafe { first.add(word).read() } == 0);
        ensure(is_zero, "a first page that was written to", base())?;
        ensure(entry_of(0).is_none(), "a first page in use", base())
    }

    /// Whether every entry of the page map from page `first` on is nobody's or
    /// the place of a descriptor of `size` bytes. `is_free` says of a page whether
    /// it is in no run; of such there is none.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn check_map(
        &self,
        first: usize,
        count: usize,
        size: usize,
        mut is_free: impl FnMut(u32) -> bool,
    ) -> Checked {
        for page in first..(first + count).min(pages()) {
            let Some(descriptor) = entry_of(page) else {
                continue;
            };
            let address = base() + (page << PAGE_SHIFT);
            let offset = descriptor.wrapping_sub(self.descriptors.start);
            ensure(
                offset < self.descriptors_used && offset.is_multiple_of(size),
                "a page-map entry that names no descriptor",
                address,
            )?;
            ensure(
                !is_free(page as u32),
                "a page-map entry of a free page",
                address,
            )?;
        }
        Ok(())
    }

    /// Has the window lose count of what is mapped, for a test; the other call
    /// undoes it.
    #[cfg(test)]
    pub fn poke(&mut self) {
        core::mem::swap(&mut self.map.mapped, &mut self.map.limit);
    }
}
