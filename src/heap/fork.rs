//! fork(2) while other threads allocate.
//!
//! Before the fork every lock is taken, so no slow path is half done. Another
//! thread may be anywhere in a fast path, though: its stores are ordered so
//! that the worst the child sees is a block that is on no list, which it
//! never gets back. They are ordered for the compiler, which is enough on every
//! processor: the kernel takes the right to write from all pages, and waits
//! until every processor is done with what it stores by that right. So of the
//! thread's stores the child sees the first ones, however many.
//!
//! The child's other heaps have no threads any more; their slabs go to the shared
//! heap, as if the threads had died. Locked heaps have
//! lost what was in their memory.

use super::registry::{for_each_unlocked, raw_lock};
use super::{Heap, Kind, SHARED, background};
use crate::pages::{large, zone};
use crate::slab::State;
use crate::sync::forking;

/// Takes all locks, in the order of the slow paths.
pub(super) unsafe extern "C" fn prepare() {
    #[cfg(feature = "valgrind")]
    let _quiet = crate::os::valgrind::Quiet::begin();
    raw_lock().hold();
    // From the first lock on, for signal handlers that run meanwhile; after it,
    // for another thread that forks.
    forking(true);
    // SAFETY: the registry's lock is held.
    unsafe { for_each_unlocked(|heap| heap.lock.hold()) };
    zone::raw_lock().hold();
    large::raw_lock().hold();
}

/// Releases them in the parent.
pub(super) unsafe extern "C" fn parent() {
    #[cfg(feature = "valgrind")]
    let _quiet = crate::os::valgrind::Quiet::begin();
    // SAFETY: `prepare` took all of these in this thread.
    unsafe {
        large::raw_lock().let_go();
        zone::raw_lock().let_go();
        for_each_unlocked(|heap| heap.lock.let_go());
        forking(false);
        raw_lock().let_go();
    }
}

/// Releases them in the child, and buries the threads that are not there.
pub(super) unsafe extern "C" fn child() {
    #[cfg(feature = "valgrind")]
    let _quiet = crate::os::valgrind::Quiet::begin();
    let mut orphans = false;
    // SAFETY: this is the process's only thread, and `prepare` has seen to
    // it that nothing under a lock is half done.
    unsafe {
        large::raw_lock().reset();
        zone::raw_lock().reset();
        for_each_unlocked(|heap| {
            heap.lock.reset();
            orphans |= heap.kind() == Kind::Thread && !heap.is_mine();
        });
        for_each_unlocked(Heap::retire_wiped);
        #[cfg(feature = "hardened")]
        for_each_unlocked(Heap::forget_random);
        if orphans {
            // A thread between the push into a full slab's queue and the push
            // into the inbox has left a slab that nobody would ever look at.
            for_each_unlocked(Heap::drain);
            for_each_unlocked(Heap::drain);
            for_each_unlocked(Heap::find_lost);
        }
        raw_lock().reset();
        forking(false);
        #[cfg(feature = "hardened")]
        if orphans {
            super::hardened::note_lost_threads();
        }
        if orphans {
            for_each_unlocked(|heap| {
                if heap.kind() == Kind::Thread && !heap.is_mine() {
                    #[cfg(feature = "hardened")]
                    heap.end_quarantine();
                    let _guard = heap.lock.lock();
                    heap.inherit();
                }
            });
        }
    }
    debug_assert!(matches!(SHARED.kind(), Kind::Shared | Kind::Spare));
    background::after_fork();
}

impl Heap {
    /// Takes in the slabs that are queued but in no inbox.
    fn find_lost(&'static self) {
        self.for_each_slab(|slab| {
            if slab.state() == State::Full && slab.remote().is_queued() {
                self.receive(slab);
            }
        });
    }
}
