//! Whether what the heap grows by is to be huge pages: where the program fills what
//! it takes.
//!
//! A page costs a fault, and huge pages save 511 of 512. But the first touch of one
//! makes 2 MiB resident: a small heap would be blown up by that, and so would one of
//! long blocks that the program touches here and there, or of many slabs that have
//! just been begun. So the last units that are backed by pages tell: when the heap
//! grows, mincore(2) says which of what is taken in them is in memory. For that a
//! heap of huge pages grows by a unit of pages now and then.

use core::num::NonZeroU32;

use super::{Backing, PAGE_SHIFT, PageIndex, UNIT_PAGES, Zone, window};
use crate::options::{self, HugePages};
use crate::os::protect;
use crate::pages::fresh;

/// How many units are looked at: a call for each, of some 2 us.
const LOOKED_AT: usize = 8;
/// For so many pages at least, 32 MiB, a heap grows by huge ones before it is looked at
/// what the program does with others.
const TRUSTED: usize = 16 * UNIT_PAGES as usize;
/// And for so many times what it grows by at least; and for an eighth of what there is.
const TRUSTED_SPANS: usize = 16;

/// What the heap has grown by.
pub(super) struct Grown {
    /// The last units in pages, the newest first, by their numbers and one: the zone
    /// is a static of zeros, of which no page is written to without need.
    units: [Option<NonZeroU32>; LOOKED_AT],
    /// Pages that it has grown by as huge ones since.
    unproven: usize,
}

impl Grown {
    pub(super) const fn nothing() -> Self {
        Self {
            units: [None; LOOKED_AT],
            unproven: 0,
        }
    }

    /// Notes a span.
    pub(super) fn note(&mut self, first: PageIndex, pages: u32, huge: bool) {
        if huge {
            self.unproven += pages as usize;
            return;
        }
        self.unproven = 0;
        // A unit that is not whole yet is noted with the span that makes it so.
        let end = (first.0 + pages) / UNIT_PAGES;
        let start = (first.0 / UNIT_PAGES).max(end.saturating_sub(LOOKED_AT as u32));
        for unit in start..end {
            self.units.rotate_right(1);
            self.units[0] = NonZeroU32::new(unit + 1);
        }
    }
}

/// Pages that are taken, and of these the resident ones.
#[derive(Clone, Copy, Default)]
struct Share {
    taken: u32,
    resident: u32,
}

impl Share {
    fn is_at_least(self, part: u32, of: u32) -> bool {
        self.resident * of >= self.taken * part
    }
}

impl Zone {
    /// Whether the next span is to be huge pages.
    pub(super) fn earns_huge_pages(&mut self) -> bool {
        match options::thp() {
            HugePages::Always => true,
            HugePages::Adaptive => {
                fresh::are_huge_pages_short()
                    && self.used_pages() >= options::thp_from() >> PAGE_SHIFT
                    && !self.is_to_be_proven()
                    && self.is_filled()
            }
            HugePages::System | HugePages::Never => false,
        }
    }

    /// Whether the heap is to grow by as few pages as it may, which are no huge ones.
    pub(super) fn is_to_be_proven(&self) -> bool {
        let spans = TRUSTED_SPANS * (options::growth() >> PAGE_SHIFT);
        let trusted = TRUSTED.max(spans).max(self.mapped_pages / 8);
        self.grown.unproven >= trusted && options::thp() == HugePages::Adaptive
    }

    /// Whether the program has touched nearly all of what is taken in the last units
    /// that the heap has grown by in pages, and these are enough to tell.
    fn is_filled(&mut self) -> bool {
        // What runs are being cut from is taken, but nobody's yet.
        let stretch = self.stretch.first.0 / UNIT_PAGES;
        let mut all = Share::default();
        let mut units = 0;
        for unit in self.grown.units.into_iter().flatten() {
            let unit = unit.get() - 1;
            // It may have been unmapped, and mapped again as a huge page.
            if unit == stretch || self.buddy.backing(unit * UNIT_PAGES) != Backing::Pages {
                continue;
            }
            let Some(share) = self.share_in(unit) else {
                continue;
            };
            // The newest may have been begun a moment ago, but not be left so.
            if units == 0 && !share.is_at_least(1, 2) {
                return false;
            }
            all.taken += share.taken;
            all.resident += share.resident;
            units += 1;
        }
        // One page in eight without memory bounds what huge ones add.
        units > 0 && all.taken >= units * UNIT_PAGES / 2 && all.is_at_least(7, 8)
    }

    /// What is taken in a unit; `None`: it is not mapped, or the kernel does not say.
    fn share_in(&mut self, unit: u32) -> Option<Share> {
        let first = unit * UNIT_PAGES;
        let mut pages = [0; UNIT_PAGES as usize];
        if !protect::find_resident(window::address_of(PageIndex(first)), &mut pages) {
            return None;
        }
        let taken = self.buddy.taken_in(first);
        let is_taken = |page: usize| taken[page / 64] >> (page % 64) & 1 != 0;
        let resident = pages.iter().enumerate();
        let resident = resident.filter(|&(page, state)| state & 1 != 0 && is_taken(page));
        Some(Share {
            taken: taken.into_iter().map(u64::count_ones).sum(),
            resident: resident.count() as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_units_in_pages_are_noted() {
        let mut grown = Grown::nothing();
        let mut note = |first, pages, huge| {
            grown.note(PageIndex(first), pages, huge);
            (grown.units, grown.unproven)
        };
        let none = [None; LOOKED_AT];
        let with = |units: &[u32]| {
            let mut all = none;
            for (place, unit) in all.iter_mut().zip(units) {
                *place = NonZeroU32::new(unit + 1);
            }
            all
        };
        assert_eq!(note(0, 256, false), (none, 0));
        assert_eq!(note(256, 256, false), (with(&[0]), 0));
        assert_eq!(note(512, 1024, false), (with(&[2, 1, 0]), 0));
        assert_eq!(note(1536, 512, true), (with(&[2, 1, 0]), 512));
        assert_eq!(note(2048, 1024, true), (with(&[2, 1, 0]), 1536));
        assert_eq!(note(3072, 512, false), (with(&[6, 2, 1, 0]), 0));
        let last = with(&[106, 105, 104, 103, 102, 101, 100, 99]);
        assert_eq!(note(3584, 100 * 512, false), (last, 0));
    }
}
