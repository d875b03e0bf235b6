//! Perturbing: blocks are filled when they are freed and when they are handed
//! out, so that a program that reads what it must not finds nonsense, and finds
//! it each time. `M_PERTURB` of mallopt(3).
//!
//! The fast paths know nothing of it. While it is on, threads get no heaps of
//! their own and live off the shared one, so that every request takes the slow
//! path, and slabs are watched, so that every free does. A thread that had a
//! heap when it was switched on, other than the one that did it, goes on
//! without.
//!
//! In a hardened build freed blocks are zeroed, and only fresh ones are filled.

use super::caller::Fresh;
use super::{EMPTY, GONE, Heap, Kind, lock_shared, mine, registry};
use crate::options;

/// Fills a block that is about to be handed out, if need be, up to its end at
/// `size` bytes.
#[inline]
pub(super) fn fill_fresh(fresh: Fresh, size: usize) -> Fresh {
    match options::perturb() {
        0 => fresh,
        byte => {
            // SAFETY: the block is that long, and nobody's yet.
            unsafe { fresh.block.write_bytes(!byte, size) };
            Fresh::used(fresh.block)
        }
    }
}

/// Fills a block that is being freed, if need be.
///
/// # Safety
///
/// The block is that long and its user has given it up.
#[cfg(not(feature = "hardened"))]
pub(super) unsafe fn fill_freed(block: *mut u8, size: usize) {
    match options::perturb() {
        0 => {}
        // SAFETY: as the caller promises.
        byte => unsafe { block.write_bytes(byte, size) },
    }
}

/// Puts the option in force where threads and slabs are already. The caller
/// holds no lock.
pub(super) fn start() {
    let heap = mine();
    if options::perturb() == 0 || core::ptr::eq(heap, &GONE) {
        return;
    }
    registry::go_without();
    if !core::ptr::eq(heap, &EMPTY) {
        registry::leave(heap);
    }
    let _guard = lock_shared();
    #[cfg(not(feature = "hardened"))]
    super::SHARED.for_each_slab(crate::slab::Slab::watch);
}

impl Heap {
    /// Gives the slabs of the calling thread's heap, which it uses no more, to
    /// the shared heap.
    pub(super) fn retire_thread(&'static self) {
        let _guard = self.lock.lock();
        debug_assert_eq!(self.kind(), Kind::Thread);
        self.inherit();
    }
}
