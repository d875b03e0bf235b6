//! Frees that the fast path leaves: blocks of longer slabs, of other
//! threads' slabs, and runs.

use core::ptr;

#[cfg(not(feature = "hardened"))]
use super::fast::{freed_twice, release_own};
use super::settle::announce;
#[cfg(not(feature = "hardened"))]
use super::watched;
use super::{Heap, lookup, tick};
use crate::fatal::die;
use crate::pages::{guarded, large, window, zone};
#[cfg(not(feature = "hardened"))]
use crate::slab::Kind;
use crate::slab::{Pushed, Slab, State};
use crate::sync::atomic::{AtomicBool, Ordering};

/// Frees an address in the window that does not lie in a small slab of the
/// calling thread's, whose heap's identity is `mine`: mostly it lies in a longer
/// one, or in another thread's.
#[cfg(not(feature = "hardened"))]
#[inline(never)]
pub(super) fn free_elsewhere(address: *mut u8, slab: &'static Slab, mine: *mut ()) {
    if slab.is_not_held_by(mine) {
        return free_not_mine(slab, address);
    }
    if cfg!(feature = "checks") && !slab.is_medium_block(address as usize) {
        return lookup::free_outside(address);
    }
    // SAFETY: the slab is the calling thread's, and the address is a block.
    unsafe { release_own(slab, address) }
}

/// Frees an address in the window that is not in a slab of the calling thread's.
#[cfg(not(feature = "hardened"))]
#[inline(always)]
fn free_not_mine(slab: &'static Slab, address: *mut u8) {
    // A queue is open where the kind has been looked at.
    if slab.is_medium_block(address as usize) {
        // SAFETY: if it is a slab the address is a block of it.
        match unsafe { slab.push_remote_open(address) } {
            None => {}
            Some(Pushed::Twice) => return freed_twice(address),
            Some(pushed) => return notify(slab, pushed),
        }
    }
    free_by_kind(slab, address);
}

/// Frees an address by what it lies in, which may be nothing.
#[cfg(not(feature = "hardened"))]
#[cold]
#[inline(never)]
fn free_by_kind(slab: &'static Slab, address: *mut u8) {
    match slab.kind() {
        Kind::Run => free_run(address),
        Kind::Small | Kind::Medium if slab.is_medium_block(address as usize) => {
            free_remote(slab, address);
        }
        _ => watched::free(slab, address),
    }
}

/// Whether any block was ever freed by a thread that does not own it.
static OTHERS_FREE: AtomicBool = AtomicBool::new(false);

/// Whether threads free blocks that they do not own.
pub(super) fn others_free() -> bool {
    OTHERS_FREE.load(Ordering::Relaxed)
}

/// Frees a block of another heap's slab, whose queue need not be open.
#[cfg(not(feature = "hardened"))]
#[inline(never)]
pub(super) fn free_remote(slab: &'static Slab, address: *mut u8) {
    note_others_free();
    // SAFETY: the address is a block of the slab, by the caller's test.
    match unsafe { slab.push_remote(address) } {
        Pushed::Twice => freed_twice(address),
        pushed => notify(slab, pushed),
    }
}

/// Ends the free of a block of another heap's slab, which has begun.
#[cfg(feature = "hardened")]
#[inline(never)]
pub(super) fn hand_back(slab: &'static Slab, block: usize) {
    note_others_free();
    // SAFETY: the address is a block, whose free has begun, by the caller.
    let pushed = unsafe { slab.hand_back(block) };
    notify(slab, pushed);
}

#[inline(always)]
fn note_others_free() {
    if !others_free() {
        // Relaxed: a counter that is armed the other way is looked at later.
        OTHERS_FREE.store(true, Ordering::Relaxed);
    }
}

/// Has the holder of a slab, into whose remote queue a block has come, look at
/// it, if need be.
#[inline(always)]
fn notify(slab: &'static Slab, pushed: Pushed) {
    match pushed {
        Pushed::Twice => {}
        Pushed::Announce => {
            announce(slab);
            if slab.handed_out() <= slab.remote().count() {
                give_back_elsewhere(slab);
            }
        }
        Pushed::In(count) => {
            if slab.handed_out() <= count {
                give_back_elsewhere(slab);
            }
        }
    }
}

/// Gives back a slab of another heap's that seems to be wholly free, so that
/// it does not wait for a thread that may sleep for long.
#[cold]
fn give_back_elsewhere(slab: &'static Slab) {
    // The slab may be another one by now, of another heap, or none:
    // everything is looked at anew under its holder's lock.
    while let Some(heap) = Heap::from_id(slab.holder()) {
        let _guard = heap.lock.lock();
        if slab.holder() != heap.id() {
            continue;
        }
        heap.drain();
        if slab.holder() == heap.id() && slab.kind().is_slab() && slab.state() == State::Listed {
            heap.give_back_if_free(slab);
        }
        break;
    }
    tick::poll();
}

/// Frees a run.
#[inline(never)]
pub(super) fn free_run(address: *mut u8) {
    let Some(slab) = Slab::of(window::base(), address as usize) else {
        return;
    };
    let done = match Heap::from_id(slab.holder()) {
        Some(heap) => {
            let _guard = heap.lock.lock();
            take_down_run(address, Some(heap))
        }
        None => take_down_run(address, None),
    };
    if !done {
        return lookup::free_outside(address);
    }
    tick::poll();
}

/// Takes a run out of the page map and gives it back. Returns `false` where
/// another thread has done so already.
fn take_down_run(address: *mut u8, heap: Option<&'static Heap>) -> bool {
    {
        let mut zone = zone::lock();
        // Under the lock only one of two frees finds the run.
        let run = Slab::of(window::base(), address as usize)
            .filter(|slab| slab.kind().is_run() && slab.is_block(address as usize))
            .filter(|slab| slab.holder() == heap.map_or(ptr::null_mut(), Heap::id));
        let Some(run) = run else {
            return false;
        };
        if let Some(heap) = heap {
            heap.disown(run);
        }
        #[cfg(feature = "hardened")]
        let is_whole = run.take_down_fence();
        #[cfg(not(feature = "hardened"))]
        let is_whole = true;
        let (lease, dirty) = run.take_down();
        if !is_whole {
            return true;
        }
        // SAFETY: the run was a block, and this is the one free of it.
        unsafe {
            if lease.guarded {
                drop(zone);
                guarded::give(lease, dirty);
            } else {
                zone.give(lease, dirty);
            }
        }
    }
    large::note_freed(address as usize);
    true
}

/// Frees all that an explicit heap has; nothing of it is in use.
pub(super) fn free_all(heap: &'static Heap) {
    heap.for_each_slab(|slab| {
        // The heap's owner says that no block is in use any more.
        #[cfg(feature = "hardened")]
        super::hardened::clear_all(slab);
        heap.give_back(slab);
    });
    large::free_all_of(heap.id() as usize);
}

/// Ends the process over an address that is no block.
pub(super) fn invalid(what: &str, twice: &str, address: *mut u8) -> ! {
    if large::freed_recently(address as usize) {
        die(twice, address as usize);
    }
    die(what, address as usize);
}
