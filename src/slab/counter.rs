//! The counter: how many frees until a slab's holder must look at it.
//!
//! Of a slab that is not current nothing is taken, so that `counter + rest` is
//! the number of its blocks that are handed out. Of a current one it is only a
//! number of frees, and what is left over for later is in `rest`, above
//! [`UNKNOWN`].

use core::mem;

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::const_fn;

/// The least `rest` of a current slab: how many of its blocks are handed out
/// is not known, and certainly not none.
pub(super) const UNKNOWN: u32 = 1 << 30;

/// A slab's counter. The owner counts down without a lock; everything else
/// happens under the holder's.
#[repr(C)]
pub(super) struct Counter {
    /// Frees until the holder must look at the slab.
    pub(super) frees: AtomicU32,
    pub(super) rest: AtomicU32,
}

/// Where the word lies that [`Counter::count_down`] counts in.
pub(super) const FREES: usize = mem::offset_of!(Counter, frees);

impl Counter {
    const_fn! {
        /// Of a slab of which nothing is handed out.
        pub(super) fn new() -> Self {
            Self {
                frees: AtomicU32::new(0),
                rest: AtomicU32::new(0),
            }
        }
    }

    /// Counts a free, as `Slab::push` does from the descriptor's start. Returns
    /// whether the holder must look.
    ///
    /// # Safety
    ///
    /// The caller is the owner's thread, or holds the lock where there is none.
    #[cfg(loom)]
    pub(super) unsafe fn count_down(&self) -> bool {
        // SAFETY: the offset is that field's, which only the caller writes
        // without the lock.
        unsafe { crate::sync::folded::count_down::<FREES>(core::ptr::from_ref(self).cast()) }
    }

    /// See [`Slab::handed_out`](super::Slab).
    pub(super) fn handed_out(&self) -> u32 {
        // Acquire pairs with the Release in `count_down`: who finds all blocks
        // free may give the slab back, and must see the blocks' marks.
        let frees = self.frees.load(Ordering::Acquire);
        frees.wrapping_add(self.rest.load(Ordering::Relaxed))
    }

    pub(super) fn arm(&self, frees: u32, rest: u32) {
        self.frees.store(frees, Ordering::Relaxed);
        self.rest.store(rest, Ordering::Relaxed);
    }

    pub(super) fn arm_current(&self, frees: u32, cap: u32) {
        let counter = frees.min(cap);
        self.arm(counter, UNKNOWN + (frees - counter));
    }

    pub(super) fn rearm_current(&self, cap: u32) -> bool {
        let left = self.rest.load(Ordering::Relaxed) - UNKNOWN;
        if left > 0 {
            self.arm_current(left, cap);
        }
        left > 0
    }

    pub(super) fn hasten(&self, cap: u32) {
        let frees = self.frees.load(Ordering::Relaxed);
        if frees > cap {
            let rest = self.rest.load(Ordering::Relaxed);
            self.arm(cap, rest + (frees - cap));
        }
    }
}

#[cfg(not(loom))]
impl super::Slab {
    /// The number of blocks that were handed out and are not in the local
    /// list: live, or in the remote queue. Not for a current slab.
    pub fn handed_out(&self) -> u32 {
        self.line.counter.handed_out()
    }

    /// Sets the number of frees until the holder must look, and what to add
    /// to it to get the number of blocks handed out.
    pub fn arm(&self, counter: u32, rest: u32) {
        self.line.counter.arm(counter, rest);
    }

    /// Arms a current slab: so many frees until the holder looks, but at most
    /// `cap` until it comes by, for whatever else there is to do.
    pub fn arm_current(&self, frees: u32, cap: u32) {
        self.line.counter.arm_current(frees, cap);
    }

    /// Arms a current slab for what [`Self::arm_current`] has left over.
    /// Returns `false` where that is nothing: the holder is to look.
    pub fn rearm_current(&self, cap: u32) -> bool {
        self.line.counter.rearm_current(cap)
    }

    /// Has the thread of a current slab come by after `cap` frees. Any thread
    /// may, under the holder's lock: the owner may be counting down meanwhile,
    /// and then its count or this is lost, which does no harm.
    pub fn hasten(&self, cap: u32) {
        self.line.counter.hasten(cap);
    }

    /// How often the current slab was looked at in vain; under the lock.
    pub fn tries(&self) -> &core::cell::Cell<u8> {
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
