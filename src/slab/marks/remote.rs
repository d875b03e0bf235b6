//! Frees of a block by another thread than its slab's owner, and what the owner makes of
//! them.

use super::super::descriptor::Slab;
use super::super::remote::Pushed;
use super::{GROUP, Mark};
use crate::fatal::die;
use crate::sync::atomic::{Ordering, fence};

impl Slab {
    /// The same by another thread.
    ///
    /// # Safety
    ///
    /// The mark is of one of the slab's blocks.
    pub unsafe fn claim(&self, mark: Mark<'_>) -> bool {
        let (group, mask) = (mark.group, mark.mask());
        let is_live = group.live.load(Ordering::Relaxed) & mask != 0;
        // Relaxed: the word alone matters. The fence pairs with that of the owner
        // who looks at the end of the block while it is being cleared.
        let is_claimed = is_live && group.claimed.fetch_or(mask, Ordering::Relaxed) & mask == 0;
        fence(Ordering::Release);
        is_claimed
    }

    /// Takes back the marks of a free that has begun as another thread's: the slab
    /// has changed hands since. A block that is free, or in use, has been freed
    /// twice.
    ///
    /// # Safety
    ///
    /// As for [`Slab::make_free`].
    pub unsafe fn disclaim(&self, block: usize) {
        let mark = self.mark(block);
        let (group, mask) = (mark.group, mark.mask());
        let mut live = group.live.load(Ordering::Relaxed);
        if mark.is_in(group.claimed.load(Ordering::Relaxed)) {
            live &= !mask;
            group.live.store(live, Ordering::Relaxed);
            group.claimed.fetch_and(!mask, Ordering::Relaxed);
        }
        if mark.is_in(group.free.load(Ordering::Relaxed) | live) {
            die("double free", block);
        }
    }

    /// The same by another thread: the owner makes it free.
    ///
    /// # Safety
    ///
    /// The caller has begun the free of the block.
    pub unsafe fn hand_back(&self, block: usize) -> Pushed {
        let mark = self.mark(block);
        let (group, mask) = (mark.group, mark.mask());
        // A free that was begun as the owner's may end as another's: the slab
        // has changed hands.
        group.claimed.fetch_or(mask, Ordering::Relaxed);
        // The count comes first: as soon as the last block is marked the slab may
        // be given back, and the word be another slab's.
        let pushed = self.remote.queue.count_one();
        // Release pairs with the Acquire in `collect`: who hands the block out
        // finds it as it was left.
        if group.returned.fetch_or(mask, Ordering::Release) & mask != 0 {
            die("double free", block);
        }
        if pushed != Pushed::Announce && self.remote.queue.is_full() {
            // The holder has not seen the mark. What it does not expect, should
            // the slab be another one, does no harm.
            return self.remote.queue.count_one();
        }
        pushed
    }

    /// Makes the blocks free that other threads have handed back; returns how
    /// many.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    pub unsafe fn collect(&self) -> u32 {
        self.remote.queue.take(0);
        let mut count = 0;
        for (number, group) in self.groups().iter().enumerate() {
            if group.returned.load(Ordering::Relaxed) == 0 {
                continue;
            }
            // Acquire pairs with the Release in `hand_back`.
            let returned = group.returned.swap(0, Ordering::Acquire);
            let free = group.free.load(Ordering::Relaxed);
            let twice = free & returned;
            if twice != 0 {
                let number = number as u32 * GROUP + twice.trailing_zeros();
                die("double free", self.block_at(number));
            }
            let live = group.live.load(Ordering::Relaxed) & !returned;
            group.live.store(live, Ordering::Relaxed);
            group.claimed.fetch_and(!returned, Ordering::Relaxed);
            self.stock(number as u32, returned);
            count += returned.count_ones();
        }
        count
    }
}
