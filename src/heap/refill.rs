//! Refill: a class has no free block at hand.
//!
//! What costs least comes first: blocks that other threads have freed in the
//! current slab, blocks not cut yet in it, slabs that have woken up, slabs
//! of dead threads, blocks of a longer class, and last a new slab.

use super::caller::{Caller, Fresh};
use super::{GONE, Heap, Kind, SHARED, lock_shared, perturb, registry, report, request, tick};
use crate::pages::{PAGE, fresh, guarded, zone};
use crate::size_class::{GRAIN, SLAB_GUARD, STEP_MAX, SizeClass};
use crate::slab::{Slab, State};

/// Bytes of a class that a thread gets from the shared heap before it has a
/// slab of its own: a page for each class is dear for a thread that wants
/// two blocks.
const STARTER_BYTES: usize = 1024;

/// Allocates a request that found no block in the current slab of its class.
#[cold]
#[inline(never)]
pub(super) fn refill_small(size: usize, caller: impl Caller) -> *mut u8 {
    refill_aligned(size, 1, caller)
}

/// [`refill_small`] of a multiple of an alignment. Above 16 the block must be one of
/// just its class, whose blocks all lie so.
#[cold]
pub(super) fn refill_aligned(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    let class = SizeClass::for_medium(size.max(1));
    match refill(class, alignment > GRAIN, caller) {
        Some(fresh) => fresh.block,
        None => caller.failed(size, alignment),
    }
}

/// Allocates a block of a class that has none at hand, for the calling
/// thread. If it need not be exact, it may be of a longer class.
#[cold]
#[inline(never)]
pub(super) fn refill(class: SizeClass, is_exact: bool, caller: impl Caller) -> Option<Fresh> {
    let heap = registry::thread_heap(caller.settings());
    let attempt = || {
        if core::ptr::eq(heap, &GONE) {
            let fresh = {
                let _guard = lock_shared();
                SHARED.allocate_under_lock(class)
            };
            // A hardened build fills what was asked for, and no more.
            let is_hardened = cfg!(feature = "hardened");
            fresh.map(|fresh| match is_hardened {
                true => fresh,
                false => perturb::fill_fresh(fresh, class.size()),
            })
        } else {
            let _guard = heap.lock.lock();
            heap.refill(class, is_exact)
        }
    };
    // Out of memory: what is kept elsewhere may help.
    let fresh = attempt()
        .or_else(|| if report::reclaim() { attempt() } else { None })
        .or_else(|| fallback(class));
    tick::poll_now_and_then(heap);
    fresh
}

/// A page is easier to find than a slab. What is behind the block in a hardened
/// build depends on the size that was asked for, which is not known here.
fn fallback(class: SizeClass) -> Option<Fresh> {
    if cfg!(feature = "hardened") {
        return None;
    }
    request::run(class.size(), 1, None)
}

/// Makes the pages resident that are about to be cut, with some behind them.
#[cold]
fn fault_around(slab: &Slab) {
    let (start, next) = (slab.start(), slab.carved() as usize * slab.size());
    let end = start + slab.pages() as usize * PAGE - SLAB_GUARD;
    let to = slab.next_carving().end.next_multiple_of(PAGE);
    // SAFETY: the pages are the slab's, and nobody uses them yet.
    unsafe { fresh::fault_around(start, end, start + next, to) };
}

impl Heap {
    /// Takes a block of a class whose current slab has none. The caller
    /// holds the lock, and is the heap's thread if it has one. A block that need
    /// not be exact may be of a longer class.
    pub(super) fn refill(&'static self, class: SizeClass, is_exact: bool) -> Option<Fresh> {
        if self.has_current(class) {
            let slab = self.current(class);
            // Making the heap may have allocated from it.
            // SAFETY: the caller is the heap's thread, or it has none.
            if let Some(fresh) = unsafe { self.pop(slab) } {
                return Some(fresh);
            }
            if let Some(fresh) = self.replenish(slab) {
                return Some(fresh);
            }
            if slab.can_carve() {
                return self.without_locking(slab);
            }
            self.retire(slab);
        }
        self.drain();
        #[cfg(not(feature = "hardened"))]
        if let Some(slab) = self.unpark(class) {
            self.rearm(slab);
            self.list(slab);
        }
        while let Some(slab) = self
            .first_listed(class)
            .or_else(|| self.adopt_shared(class))
        {
            self.unlist(slab);
            self.make_current(slab);
            // SAFETY: the slab is this heap's, and so under the lock or the
            // thread's own.
            if let Some(fresh) = unsafe { self.pop(slab) } {
                return Some(fresh);
            }
            if let Some(fresh) = self.replenish(slab) {
                return Some(fresh);
            }
            if slab.can_carve() {
                return self.without_locking(slab);
            }
            self.retire(slab);
        }
        if self.has_current(class) {
            self.unset_current(class);
        }
        if self.takes_starters(class) {
            let _guard = lock_shared();
            return SHARED.allocate_under_lock(class);
        }
        if !is_exact && let Some(fresh) = self.longer_block(class) {
            return Some(fresh);
        }
        let slab = self.new_slab(class)?;
        self.make_current(slab);
        self.replenish(slab).or_else(|| self.without_locking(slab))
    }

    /// Whether the next block of a class comes from the shared heap; counts.
    fn takes_starters(&self, class: SizeClass) -> bool {
        if self.kind() != Kind::Thread || self.first.get() || class.size() > STEP_MAX {
            return false;
        }
        let started = &self.started[class.index()];
        let more = usize::from(started.get()) * class.size() < STARTER_BYTES;
        if more {
            started.set(started.get() + 1);
        }
        more
    }

    /// A block of a current slab whose list is empty. `None`: it is full, or,
    /// if it can still be carved, its next page cannot be locked.
    pub(super) fn replenish(&self, slab: &'static Slab) -> Option<Fresh> {
        // All blocks that have been cut are handed out.
        // SAFETY: as in `refill`.
        let collected = unsafe { slab.collect() };
        let mut direct = None;
        if collected == 0 {
            if !slab.can_carve() || !self.lock_next(slab) {
                return None;
            }
            if fresh::faults_around() {
                fault_around(slab);
            }
            // SAFETY: as in `refill`; the list is empty.
            direct = unsafe { slab.carve_next() };
        }
        slab.arm_current((slab.carved() - collected).max(slab.pause()), tick::cap());
        if let Some(block) = direct {
            return Some(Fresh {
                block,
                clean: slab.is_zeroed(),
            });
        }
        // SAFETY: as in `refill`.
        unsafe { self.pop_sure(slab) }
    }

    /// Makes a slab that is on no list the current one of its class.
    pub(super) fn make_current(&self, slab: &'static Slab) {
        debug_assert!(slab.is_valid() && !slab.remote().is_queued());
        slab.set_state(State::Current);
        slab.arm_current(slab.handed_out().max(slab.pause()), tick::cap());
        self.set_current(slab.class(), slab);
    }

    /// Leaves a slab whose blocks are all handed out to itself, until one in
    /// sixteen (of slabs with few blocks, in eight) has been freed here, or
    /// one by another thread.
    fn retire(&self, slab: &'static Slab) {
        let capacity = slab.carved();
        let wake = (capacity / 16).max((capacity / 8).clamp(1, 24));
        slab.set_state(State::Full);
        slab.arm(wake, capacity - wake);
        if !slab.remote().set_full() {
            // Blocks have come in since the slab was found full.
            self.rearm(slab);
            self.list(slab);
        }
    }

    /// A slab of the class whose thread has died.
    fn adopt_shared(&self, class: SizeClass) -> Option<&'static Slab> {
        if self.kind() != Kind::Thread {
            return None;
        }
        loop {
            if let Some(slab) = self.adopt_listed(class) {
                return Some(slab);
            }
            if !registry::bury_an_orphan() {
                return None;
            }
        }
    }

    fn adopt_listed(&self, class: SizeClass) -> Option<&'static Slab> {
        if SHARED.first_listed(class).is_none() && !SHARED.inbox.has_any() {
            return None;
        }
        let _guard = SHARED.lock.lock();
        SHARED.drain();
        let slab = SHARED.first_listed(class)?;
        SHARED.unlist(slab);
        SHARED.disown(slab);
        self.adopt(slab);
        self.rearm(slab);
        self.list(slab);
        Some(slab)
    }

    /// A new slab, on no list.
    fn new_slab(&self, class: SizeClass) -> Option<&'static Slab> {
        let pages = class.slab_pages() as u32;
        let lease = if self.locking().is_some() {
            guarded::take(pages, 1)
        } else {
            zone::lock().take(pages, (class.slab_alignment() / PAGE) as u32)
        }?;
        let slab = Slab::set_up(lease, Some(class), self.id());
        #[cfg(feature = "hardened")]
        super::hardened::begin(slab);
        self.adopt(slab);
        slab.publish();
        Some(slab)
    }
}
