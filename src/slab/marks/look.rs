//! What the marks say of blocks: how one stands, how many are free, whether all of it
//! makes sense.

use super::super::descriptor::Slab;
use super::{GROUP, Group, Mark, Standing};
use crate::sync::atomic::{AtomicU64, Ordering};

impl Slab {
    /// Whether the owner has handed the block out, and not freed it.
    #[inline(always)]
    pub fn has_live(&self, mark: Mark<'_>) -> bool {
        mark.is_in(mark.group.live.load(Ordering::Relaxed))
    }

    /// How the block of a mark stands.
    pub fn standing(&self, mark: Mark<'_>) -> Standing {
        let is_in = |word: &AtomicU64| mark.is_in(word.load(Ordering::Relaxed));
        if is_in(&mark.group.claimed) {
            Standing::Claimed
        } else if is_in(&mark.group.live) {
            Standing::Live
        } else if is_in(&mark.group.free) {
            Standing::Free
        } else {
            Standing::Waiting
        }
    }

    fn count(&self, of: impl Fn(&Group) -> u64) -> u32 {
        self.groups()
            .iter()
            .map(|group| of(group).count_ones())
            .sum()
    }

    /// How many of the slab's blocks can be handed out.
    pub fn count_free(&self) -> Option<u32> {
        Some(self.count(|group| group.free.load(Ordering::Relaxed)))
    }

    /// How many of the slab's blocks the program has.
    pub fn count_live(&self) -> u32 {
        self.count(|group| {
            group.live.load(Ordering::Relaxed) & !group.claimed.load(Ordering::Relaxed)
        })
    }

    /// Whether no block is in use, nor on its way back. Nobody takes one.
    pub fn is_wholly_free(&self) -> bool {
        // Acquire: who gives the slab back must see the blocks as they were left.
        let free = self.count(|group| {
            group.free.load(Ordering::Relaxed) | group.returned.load(Ordering::Acquire)
        });
        free == self.carved()
    }

    /// Whether the program has a block; the address is a block's.
    #[inline]
    pub fn is_live(&self, block: usize) -> bool {
        let mark = self.mark(block);
        self.standing(mark) == Standing::Live
    }

    /// Whether a block was never handed out since it was cut, as far as it can
    /// be told without being the owner; the address is a block's.
    pub fn is_untouched(&self, block: usize) -> bool {
        let number = self.number_of(block);
        let is_last = number / GROUP == self.carved().saturating_sub(1) / GROUP;
        is_last && self.line.fresh.get() >> (number % GROUP) & 1 != 0
    }

    /// Makes the count of a current slab exact, as it must be before the slab
    /// is listed.
    pub fn recount(&self) {
        let free = self.count_free().unwrap_or(0);
        self.arm(self.carved() - free, 0);
    }

    /// A block that is free and has been handed back, too. The caller holds the
    /// holder's lock.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::slab) fn find_returned_free(&self) -> Option<usize> {
        self.find(|group| {
            // In this order: only under the lock is made free what is returned.
            let returned = group.returned.load(Ordering::Acquire);
            returned & group.free.load(Ordering::Relaxed)
        })
    }

    /// A block that is free and in use, too. Nobody is at the slab.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::slab) fn find_live_free(&self) -> Option<usize> {
        self.find(|group| {
            let used = group.live.load(Ordering::Relaxed) | group.claimed.load(Ordering::Relaxed);
            used & group.free.load(Ordering::Relaxed)
        })
    }

    #[cfg(any(test, debug_assertions))]
    fn find(&self, of: impl Fn(&Group) -> u64) -> Option<usize> {
        let groups = self.groups().iter().enumerate();
        let mut found = groups.map(|(number, group)| (number as u32, of(group)));
        let (number, bits) = found.find(|&(_, bits)| bits != 0)?;
        Some(self.block_at(number * GROUP + bits.trailing_zeros()))
    }

    /// Marks a block as free, or not, for a test.
    #[cfg(test)]
    pub(in crate::slab) fn poke_free(&self, block: usize) {
        let mark = self.mark(block);
        mark.group.free.fetch_xor(mark.mask(), Ordering::Relaxed);
    }

    /// Whether the groups with free blocks are those that are noted. Nobody is at
    /// the slab.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::slab) fn knows_stocked_groups(&self) -> bool {
        let known = self.line.stocked.get();
        self.groups().iter().enumerate().all(|(number, group)| {
            (group.free.load(Ordering::Relaxed) != 0) == (known >> number & 1 != 0)
        })
    }
}
