//! Blocks of a longer class, for a class that has none and would have to begin a slab.
//!
//! A program wants few blocks of most of its long classes. A slab for each of them
//! touches a page at least, while the next classes have free blocks that were touched
//! before. So such a class's current slab becomes the shorter one's, too, for as long
//! as it is that class's own: malloc does not see the difference. Where the block's
//! address must be a multiple of more than 16, it is looked at
//! (`fast::allocate_multiple`).

use core::ptr;

use super::caller::Fresh;
use super::{Heap, Kind, NOBODY};
use crate::pages::PAGE;
use crate::size_class::{CLASSES, SizeClass};

/// The shortest block instead of which there may be a longer one, in bytes. A slab
/// of shorter ones is soon full.
const LEAST: usize = 128;
/// The classes that may serve one of up to a page: their blocks are up to 25 % longer.
const REACH: usize = 2;
/// The classes that may serve a longer one: their blocks are up to 50 % longer, but
/// what is not asked for is mostly not touched. It must be less than double, or realloc
/// to the same length would move the block.
const FAR_REACH: usize = 4;

impl Heap {
    /// A free block of one of the next longer classes, at hand in its current slab,
    /// which is this class's from now on. The caller holds the lock and is the heap's
    /// thread.
    pub(super) fn longer_block(&self, class: SizeClass) -> Option<Fresh> {
        // Hardened blocks end where they were asked to, before a canary.
        let is_hardened = cfg!(feature = "hardened");
        if is_hardened || self.kind() != Kind::Thread || class.size() < LEAST {
            return None;
        }
        let reach = if class.size() <= PAGE {
            REACH
        } else {
            FAR_REACH
        };
        let last = (class.index() + reach).min(CLASSES - 1);
        (class.index() + 1..=last).find_map(|index| {
            let longer = SizeClass::from_index(index);
            if !self.has_current(longer) {
                return None;
            }
            let slab = self.current(longer);
            // SAFETY: the caller is the heap's thread.
            let fresh = unsafe { self.pop(slab) }?;
            self.point(class, slab);
            let lent = &self.lent[index];
            lent.set(lent.get().max((index - class.index()) as u8));
            Some(fresh)
        })
    }

    /// Whether a class's word names a longer class's current slab.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn has_longer(&self, class: SizeClass) -> bool {
        let slab = self.current(class);
        let longer = slab.class();
        longer > class
            && self.has_current(longer)
            && ptr::eq(self.current(longer), slab)
            && longer.index() - class.index() <= self.lent[longer.index()].get().into()
    }

    /// Leaves the shorter classes that have a class's current slab without one, before
    /// it is that no more. The caller holds the lock.
    #[inline]
    pub(super) fn recall(&self, class: SizeClass) {
        let reach = usize::from(self.lent[class.index()].replace(0));
        let slab = self.current(class);
        for index in class.index() - reach..class.index() {
            let shorter = SizeClass::from_index(index);
            if ptr::eq(self.current(shorter), slab) {
                self.point(shorter, &NOBODY);
            }
        }
    }
}
