//! Whether what the heap grows by is to be huge pages: where the program fills what
//! it takes.
//!
//! A page costs a fault, and huge pages save 511 of 512. But the first touch of one
//! makes 2 MiB resident: a small heap would be blown up by that, and so would one of
//! long blocks that the program touches here and there, or of many slabs that have
//! just been begun. So the last units that are backed by pages tell: when the heap
//! grows, mincore(2) says which of what is taken in them is in memory. For that a
//! heap of huge pages grows by a unit of pages now and then.

use super::{Backing, PAGE_SHIFT, PageIndex, UNIT_PAGES, Zone, window};
use crate::options::{self, HugePages};
use crate::os::protect;
use crate::pages::fresh;

/// How many units are looked at: a call for each, of some 2 us.
const LOOKED_AT: usize = 8;
/// For so many pages at least, 32 MiB, or for an eighth of what there is, a heap grows
/// by huge ones before it is looked at what the program does with others.
const TRUSTED: usize = 16 * UNIT_PAGES as usize;

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

    /// Whether the heap is to grow by a unit of pages, and no more.
    pub(super) fn is_to_be_proven(&self) -> bool {
        let trusted = TRUSTED.max(self.mapped_pages / 8);
        self.unproven >= trusted && options::thp() == HugePages::Adaptive
    }

    /// Notes what the heap has grown by.
    pub(super) fn note_grown(&mut self, pages: u32, huge: bool) {
        self.unproven = if huge {
            self.unproven + pages as usize
        } else {
            0
        };
    }

    /// Whether the program has touched nearly all of what is taken in the last units
    /// that are backed by pages, and these are enough to tell.
    fn is_filled(&mut self) -> bool {
        // The window's last unit may not be whole.
        let whole = window::pages() as u32 / UNIT_PAGES;
        // What runs are being cut from is taken, but nobody's yet.
        let stretch = self.stretch.first.0 / UNIT_PAGES;
        let (mut units, mut all) = (0, Share::default());
        for unit in (0..whole).rev().filter(|&unit| unit != stretch) {
            if self.buddy.backing(unit * UNIT_PAGES) != Backing::Pages {
                continue;
            }
            let Some(share) = self.share_in(unit) else {
                return false;
            };
            // The newest may have been begun a moment ago, but not be left so.
            if units == 0 && !share.is_at_least(1, 2) {
                return false;
            }
            all.taken += share.taken;
            all.resident += share.resident;
            units += 1;
            if units == LOOKED_AT {
                break;
            }
        }
        // One page in eight without memory bounds what huge ones add.
        all.taken >= units as u32 * UNIT_PAGES / 2 && all.is_at_least(7, 8)
    }

    /// What is taken in a unit; `None`: the kernel does not say.
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
