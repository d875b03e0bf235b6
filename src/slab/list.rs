//! The lists of a slab's free blocks: the local one, which its owner pops and
//! pushes, and what other threads have freed.

use core::cell::Cell;
use core::ptr;

use super::descriptor::{COUNTER, Slab};
use super::kind::{Kind, State};
use super::remote::Pushed;
use crate::sync::atomic::{AtomicPtr, Ordering, compiler_fence};
use crate::sync::folded;

/// The first words of a free block. Aligned as blocks are, so that the end of a
/// list can be the end of a remote queue.
#[repr(C, align(16))]
pub struct Block {
    /// Atomic, because figures walk a list while its owner changes it.
    pub(super) next: AtomicPtr<Block>,
    /// Only ever used by who has the block, or the whole slab.
    pub(super) key: Cell<usize>,
}

/// What a list of free blocks ends in. It is no slab's block and never has a
/// slab's key, so that one test tells an empty list and a block that has lost
/// its mark from one that is well.
static END: Block = Block {
    next: AtomicPtr::new(ptr::null_mut()),
    key: Cell::new(0),
};

/// What the list of a parked slab ends in: nothing, either, but told from
/// [`END`] by who unparks it.
static PARKED: Block = Block {
    next: AtomicPtr::new(ptr::null_mut()),
    key: Cell::new(0),
};

// SAFETY: the keys of END and PARKED are never written, that of a block only by who has
// the block.
unsafe impl Sync for Block {}

pub(super) fn parked() -> *mut Block {
    (&raw const PARKED).cast_mut()
}

pub(super) const fn end() -> *mut Block {
    if cfg!(feature = "checks") {
        (&raw const END).cast_mut()
    } else {
        // Without keys the end is told by its address, and null costs least.
        ptr::null_mut()
    }
}

impl Slab {
    /// Takes the first block of the local list.
    ///
    /// # Errors
    ///
    /// What [`Slab::is_end`] tells apart: the list's end, or a block that has
    /// lost its mark: it was freed twice, or written to after it was freed.
    ///
    /// # Safety
    ///
    /// The caller is the owner's thread, or holds the holder's lock where no
    /// thread is the owner.
    #[inline(always)]
    pub unsafe fn pop(&self) -> Result<*mut u8, *mut u8> {
        let block = self.line.free.load(Ordering::Relaxed);
        if !cfg!(feature = "checks") && block == end() {
            return Err(block.cast());
        }
        // SAFETY: the list holds blocks of this slab, and its end.
        let words = unsafe { &*block };
        if cfg!(feature = "checks") && words.key.get() != self.key() {
            return Err(block.cast());
        }
        self.line
            .free
            .store(words.next.load(Ordering::Relaxed), Ordering::Relaxed);
        if cfg!(feature = "checks") {
            // A forked child that finds this thread between the two stores
            // has a block that is on no list, not a block without a mark.
            compiler_fence(Ordering::Release);
            words.key.set(0);
        }
        Ok(block.cast())
    }

    /// Whether what [`Slab::pop`] refused was the end of the list.
    #[inline]
    pub fn is_end(refused: *mut u8) -> bool {
        refused == end().cast() || refused == parked().cast()
    }

    /// Puts a block on the local list. Returns whether it was the last free
    /// before the holder must look at the slab.
    ///
    /// # Errors
    ///
    /// `Err(())` when the block is the list's first already.
    ///
    /// # Safety
    ///
    /// As for [`Slab::pop`]; the block is one of this slab.
    #[inline(always)]
    pub unsafe fn push(&self, block: *mut u8) -> Result<bool, ()> {
        let block = block.cast::<Block>();
        let first = self.line.free.load(Ordering::Relaxed);
        if cfg!(feature = "checks") && first == block {
            return Err(());
        }
        // SAFETY: the block is one of this slab, and the caller's.
        let words = unsafe { &*block };
        words.next.store(first, Ordering::Relaxed);
        if cfg!(feature = "checks") {
            words.key.set(self.key());
        }
        // A forked child that finds this thread between the stores has a
        // block that is on no list, not a list that ends in the void. And the
        // Release pairs with the Acquire of who walks the list meanwhile.
        self.line.free.store(block, Ordering::Release);
        compiler_fence(Ordering::Release);
        // SAFETY: the counter is the owner's, and so the calling thread's.
        Ok(unsafe { folded::count_down::<COUNTER>(self.at()) })
    }

    /// Puts a block that another thread frees in the remote queue.
    ///
    /// # Safety
    ///
    /// The block is one of this slab, and the caller's.
    pub unsafe fn push_remote(&self, block: *mut u8) -> Pushed {
        let open = matches!(self.kind(), Kind::Small | Kind::Medium);
        self.remote
            .queue
            .push(block as usize, end() as usize, open, |below| {
                // SAFETY: as the caller promises.
                unsafe { self.put_on(block, below) };
            })
    }

    /// [`Slab::push_remote`] where there is nothing to decide; `None`, and
    /// nothing is done, where there is. That is so for what is no slab, too.
    ///
    /// # Safety
    ///
    /// As for [`Slab::push_remote`], if it is a slab.
    #[inline(always)]
    pub unsafe fn push_remote_open(&self, block: *mut u8) -> Option<Pushed> {
        self.remote.queue.push_open(block as usize, |below| {
            // SAFETY: as the caller promises.
            unsafe { self.put_on(block, below) };
        })
    }

    /// Makes a block a free one, in front of another.
    ///
    /// # Safety
    ///
    /// As for [`Slab::push_remote`].
    #[inline(always)]
    unsafe fn put_on(&self, block: *mut u8, below: usize) {
        // SAFETY: the block is one of this slab, and the caller's.
        let words = unsafe { &*block.cast::<Block>() };
        words.next.store(below as *mut Block, Ordering::Relaxed);
        if cfg!(feature = "checks") {
            words.key.set(self.key());
        }
    }

    /// Moves what is in the remote queue to the local list; returns how many
    /// blocks.
    ///
    /// # Safety
    ///
    /// As for [`Slab::pop`].
    pub unsafe fn collect(&self) -> u32 {
        let Some((top, count)) = self.remote.queue.take(end() as usize) else {
            return 0;
        };
        let top = top as *mut Block;
        let local = self.line.free.load(Ordering::Relaxed);
        if local != end() {
            // Find the end of the chain, no further than it can be.
            let mut last = top;
            for _ in 1..count {
                // SAFETY: the queue holds blocks of this slab, and `count`
                // of them, linked.
                last = unsafe { &*last }.next.load(Ordering::Relaxed);
            }
            // SAFETY: as above.
            unsafe { &*last }.next.store(local, Ordering::Relaxed);
        }
        self.line.free.store(top, Ordering::Relaxed);
        count
    }

    /// Retires for good a slab whose contents a fork has wiped: no block is in
    /// a list any more, and none will be. Nobody else is at it.
    pub fn retire_wiped(&self) {
        self.set_kind(Kind::Wiped);
        self.set_state(State::Full);
        self.line.free.store(end(), Ordering::Relaxed);
        self.remote.queue.reset();
    }
}
