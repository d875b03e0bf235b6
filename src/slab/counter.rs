//! The counter: how many frees until a slab's holder must look at it.
//!
//! Of a slab that is not current nothing is taken, so that `counter + rest` is
//! the number of its blocks that are handed out. Of a current one it is only a
//! number of frees, and what is left over for later is in `rest`, above
//! [`UNKNOWN`].

use core::cell::Cell;

#[cfg(feature = "hardened")]
use super::descriptor::COUNTER;
use super::descriptor::Slab;
use crate::sync::atomic::Ordering;

/// The least `rest` of a current slab: how many of its blocks are handed out
/// is not known, and certainly not none.
const UNKNOWN: u32 = 1 << 30;

impl Slab {
    /// Counts one free. Returns whether the holder must look at the slab.
    ///
    /// # Safety
    ///
    /// The caller is the owner's thread, or holds the holder's lock where no
    /// thread is the owner.
    #[cfg(feature = "hardened")]
    #[inline(always)]
    pub(super) unsafe fn count_down(&self) -> bool {
        // SAFETY: the counter is the owner's, and so the caller's.
        unsafe { crate::sync::folded::count_down::<COUNTER>(self.at()) }
    }

    /// The number of blocks that were handed out and are not in the local
    /// list: live, or in the remote queue. Not for a current slab.
    pub fn handed_out(&self) -> u32 {
        // Acquire pairs with the Release in `push`: who finds all blocks
        // free may give the slab back, and must see the blocks' marks.
        let counter = self.line.counter.load(Ordering::Acquire);
        counter.wrapping_add(self.line.rest.load(Ordering::Relaxed))
    }

    /// Sets the number of frees until the holder must look, and what to add
    /// to it to get the number of blocks handed out.
    pub fn arm(&self, counter: u32, rest: u32) {
        self.line.counter.store(counter, Ordering::Relaxed);
        self.line.rest.store(rest, Ordering::Relaxed);
    }

    /// Arms a current slab: so many frees until the holder looks, but at most
    /// `cap` until it comes by, for whatever else there is to do.
    pub fn arm_current(&self, frees: u32, cap: u32) {
        let counter = frees.min(cap);
        self.arm(counter, UNKNOWN + (frees - counter));
    }

    /// Arms a current slab for what [`Slab::arm_current`] has left over.
    /// Returns `false` where that is nothing: the holder is to look.
    pub fn rearm_current(&self, cap: u32) -> bool {
        let left = self.line.rest.load(Ordering::Relaxed) - UNKNOWN;
        if left > 0 {
            self.arm_current(left, cap);
        }
        left > 0
    }

    /// Has the thread of a current slab come by after `cap` frees. Any thread
    /// may, under the holder's lock: the owner may be counting down meanwhile,
    /// and then its count or this is lost, which does no harm.
    pub fn hasten(&self, cap: u32) {
        let counter = self.line.counter.load(Ordering::Relaxed);
        if counter > cap {
            let rest = self.line.rest.load(Ordering::Relaxed);
            self.arm(cap, rest + (counter - cap));
        }
    }

    /// How often the current slab was looked at in vain; under the lock.
    pub fn tries(&self) -> &Cell<u8> {
        &self.line.tries
    }

    /// How many frees a current slab has at least between two looks at its
    /// list. Looking takes as long as the list is, so that after a few every
    /// look in vain doubles the pause: it stays cheap beside freeing.
    pub fn pause(&self) -> u32 {
        match self.line.tries.get() {
            0..4 => 1,
            tries => (self.carved() / 16).max(16) << (tries - 3).min(16),
        }
    }
}
