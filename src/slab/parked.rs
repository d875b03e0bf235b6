//! A slab that trim has taken the pages of while its owner may be about to
//! pop a block; the protocol is in `heap::park`.
//!
//! Its steps are functions of whatever is [`Parkable`], so that the model checker
//! takes them with blocks of its own.

use core::ptr;

use super::remote::RemoteQueue;
use crate::sync::atomic::{AtomicPtr, Ordering};

/// What parking touches of a slab.
pub(super) trait Parkable {
    /// A free block.
    type Block;

    /// What a list ends in.
    fn end() -> *mut Self::Block;
    /// What the list of a parked slab ends in.
    fn mark() -> *mut Self::Block;
    /// The first block of the local list, which the owner writes without a lock.
    fn list(&self) -> &AtomicPtr<Self::Block>;
    /// What other threads have freed.
    fn queue(&self) -> &RemoteQueue;
    /// How many blocks a list has; `None`: it makes no sense, because the owner
    /// was faster or the program has damaged it.
    fn length(&self, first: *mut Self::Block) -> Option<u32>;
    /// How many blocks have been cut.
    fn cut(&self) -> u32;
    /// The first block of the list that was emptied; null while none was. Under
    /// the holder's lock, as the rest.
    fn emptied(&self) -> *mut Self::Block;
    fn set_emptied(&self, first: *mut Self::Block);
    /// Puts a block in the queue.
    fn queue_again(&self, block: *mut Self::Block);
    /// Makes a list of all blocks but this; `None`: has none cut.
    fn relist(&self, taken: Option<*mut Self::Block>);
}

/// Empties the lists of a slab whose blocks are all free, while its owner may be
/// popping the first, which is returned. `None`: they are not all free, or that
/// pop has just been done, and nothing has changed; the owner finds out which.
pub(super) fn empty<S: Parkable>(slab: &S) -> Option<*mut S::Block> {
    // Acquire pairs with the Release in `Slab::push`: the owner goes on freeing, and
    // by a link that a block had when it was free before, the list could lead to
    // a block that is handed out.
    let first = slab.list().load(Ordering::Acquire);
    let remote = slab.queue().count();
    if slab.length(first)? + remote != slab.cut() {
        return None;
    }
    // A pop that is under way stores the block behind the first over the mark,
    // whenever it gets there. One that got there before has left something else
    // than the first, and its block may be on the list again: hands off.
    slab.list()
        .compare_exchange(first, S::mark(), Ordering::Relaxed, Ordering::Relaxed)
        .ok()?;
    slab.set_emptied(first);
    if let Some((_, taken)) = slab.queue().take(S::end() as usize)
        && taken > remote
    {
        // The block whose pop was under way has been freed by another thread. By
        // the list it is handed out, and in the queue it must be.
        slab.queue_again(first);
    }
    Some(first)
}

/// The blocks handed out of a parked slab: none, or the one whose pop was under
/// way when the list was emptied, unless the owner has freed it.
pub(super) fn handed_out<S: Parkable>(slab: &S) -> u32 {
    let now = slab.list().load(Ordering::Relaxed);
    if slab.emptied().is_null() {
        return slab.cut() - slab.length(now).unwrap_or(0);
    }
    u32::from(now != S::mark() && now != slab.emptied())
}

/// Gives a parked slab its free blocks back; returns how many are handed out. The
/// caller is its owner, or its owner does not exist any more.
pub(super) fn refill<S: Parkable>(slab: &S) -> u32 {
    let handed_out = handed_out(slab);
    let taken = slab.emptied();
    if !taken.is_null() {
        slab.set_emptied(ptr::null_mut());
        slab.relist((handed_out > 0).then_some(taken));
    }
    handed_out
}

#[cfg(not(loom))]
mod slab {
    use super::super::descriptor::Slab;
    use super::super::list::{Block, end, parked};
    use super::super::remote::RemoteQueue;
    use super::{Parkable, empty, handed_out, refill};
    use crate::pages::PAGE;
    use crate::sync::atomic::{AtomicPtr, Ordering};

    /// What [`Slab::empty_list`] has emptied.
    pub struct Emptied {
        /// The block that the owner may be popping; `None`: there was none.
        pub first: Option<usize>,
        /// The end of the slab. What was never cut may be resident, too, in a
        /// huge page.
        pub end: usize,
    }

    impl Slab {
        /// Empties the lists of a slab whose blocks are all free, while its owner
        /// may be popping the first. `None`: they are not all free, or that pop
        /// has just been done; the owner finds out which.
        pub fn empty_list(&self) -> Option<Emptied> {
            let first = empty(self)?;
            Some(Emptied {
                first: (first != end()).then_some(first as usize),
                end: self.start() + self.pages() as usize * PAGE,
            })
        }

        /// Whether [`Slab::empty_list`] has been at the lists.
        pub fn is_emptied(&self) -> bool {
            !self.line.emptied.get().is_null()
        }

        /// The blocks handed out of a parked slab: none, or the one whose pop was
        /// under way when the list was emptied, unless it is free again.
        pub fn parked_handed_out(&self) -> u32 {
            handed_out(self)
        }

        /// Gives a parked slab its free blocks back and makes its count exact.
        /// The caller is its owner, or its owner does not exist any more.
        pub fn refill_parked(&self) {
            let handed_out = refill(self);
            self.arm(handed_out, 0);
        }
    }

    impl Parkable for Slab {
        type Block = Block;

        fn end() -> *mut Block {
            end()
        }

        fn mark() -> *mut Block {
            parked()
        }

        fn list(&self) -> &AtomicPtr<Block> {
            &self.line.free
        }

        fn queue(&self) -> &RemoteQueue {
            self.remote()
        }

        fn length(&self, first: *mut Block) -> Option<u32> {
            let mut length = 0;
            self.walk(first, |_| length += 1).then_some(length)
        }

        fn cut(&self) -> u32 {
            self.carved()
        }

        fn emptied(&self) -> *mut Block {
            self.line.emptied.get()
        }

        fn set_emptied(&self, first: *mut Block) {
            self.line.emptied.set(first);
        }

        fn queue_again(&self, block: *mut Block) {
            // SAFETY: the block is one of this slab, and in no list.
            unsafe { self.push_remote(block.cast()) };
        }

        fn relist(&self, taken: Option<*mut Block>) {
            self.line.free.store(end(), Ordering::Relaxed);
            // What is in the purged pages is gone.
            self.clean.store(0, Ordering::Relaxed);
            let Some(taken) = taken else {
                self.set_carved(0);
                return;
            };
            let size = self.size();
            let blocks = (0..self.carved() as usize).map(|block| self.start() + block * size);
            for block in blocks.filter(|&block| block != taken as usize) {
                // SAFETY: the block is free and in no list.
                let words = unsafe { &*(block as *const Block) };
                words.key.set(self.key());
                let next = self.line.free.load(Ordering::Relaxed);
                words.next.store(next, Ordering::Relaxed);
                self.line.free.store(block as *mut Block, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(not(loom))]
pub use slab::Emptied;
