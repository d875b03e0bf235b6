//! Ticks: what has been free for long goes back, at the ends of slow paths.
//!
//! The fast paths have no time for a clock, and a program that only frees what
//! it has just allocated may stay on them for minutes. So as long as there is
//! something to give back, current slabs count to a low *cap*: their threads
//! come by every few frees. The cap doubles as long as they come by often,
//! so that a busy program does not feel it.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::{Heap, background, registry, report};
use crate::options::{self, Purge};
use crate::os::process;
use crate::pages::{due, large, zone};
use crate::size_class::SizeClass;

/// Frees until an idle program comes by, and the most until a busy one does.
const LEAST_CAP: u32 = 1;
const MOST_CAP: u32 = 64;
/// Of how many slow paths of a busy program one comes by.
const BUSY_VISITS: u8 = 8;
/// Milliseconds between two visits of a busy program, at most.
const BUSY: u64 = 20;

/// How often a program that was busy when the last of what was due went is
/// looked at again.
const MOST_CHANCES: u32 = 3;
static CHANCES: AtomicU32 = AtomicU32::new(0);

static CAP: AtomicU32 = AtomicU32::new(LEAST_CAP);
/// When somebody last came by while there was something to give back.
static LAST: AtomicU64 = AtomicU64::new(0);
/// Whether the current slabs have been told of the cap.
static HASTENED: AtomicBool = AtomicBool::new(false);

/// After how many frees the thread of a current slab is to come by.
#[inline]
pub(super) fn cap() -> u32 {
    if due::is_pending() {
        CAP.load(Ordering::Relaxed)
    } else {
        u32::MAX
    }
}

/// Gives back what is due. The caller holds no lock.
#[inline]
pub(super) fn poll() {
    #[cfg(debug_assertions)]
    super::check::now_and_then();
    if due::is_pending() {
        come_by();
    }
}

/// The same after a slow path that comes with any use of the heap. Of those of a busy
/// program one in [`BUSY_VISITS`] does: to read the clock takes as long as a refill.
#[inline]
pub(super) fn poll_now_and_then(heap: &Heap) {
    if due::is_pending() && CAP.load(Ordering::Relaxed) == MOST_CAP {
        // Relaxed: threads that share a heap may lose a count.
        let visits = heap.visits.load(Ordering::Relaxed).wrapping_add(1);
        heap.visits.store(visits, Ordering::Relaxed);
        if !visits.is_multiple_of(BUSY_VISITS) {
            return;
        }
    }
    poll();
}

#[cold]
fn come_by() {
    let now = process::coarse_milliseconds();
    // Relaxed, all of them: what is lost in a race is a guess about pace. And
    // stored only when they change: threads come by together all the time.
    let last = LAST.load(Ordering::Relaxed);
    if last != now {
        LAST.store(now, Ordering::Relaxed);
    }
    let busy = now.wrapping_sub(last) <= BUSY;
    let cap = CAP.load(Ordering::Relaxed);
    let next = if busy {
        (cap * 2).min(MOST_CAP)
    } else {
        LEAST_CAP
    };
    if next != cap {
        CAP.store(next, Ordering::Relaxed);
    }
    if !HASTENED.load(Ordering::Relaxed) && !HASTENED.swap(true, Ordering::Relaxed) {
        registry::for_each(Heap::hasten);
    }
    run(now);
    background::start_if_wanted();
}

/// Gives back what is due at `now`. When that was the last of it and the
/// program is idle, the slabs go, too, that are kept for it to go on with.
pub(super) fn run(now: u64) {
    if !due::take(now) {
        return;
    }
    if zone::lock().tick(now) {
        CHANCES.store(MOST_CHANCES, Ordering::Relaxed);
    }
    large::tick(now);
    if due::is_pending() {
        return;
    }
    if options::purge() != Purge::Delayed {
        HASTENED.store(false, Ordering::Relaxed);
        return;
    }
    let idle = CAP.load(Ordering::Relaxed) == LEAST_CAP
        || now.wrapping_sub(LAST.load(Ordering::Relaxed)) > BUSY;
    if idle {
        HASTENED.store(false, Ordering::Relaxed);
        report::trim_beyond(options::spare());
    } else if CHANCES.load(Ordering::Relaxed) > 0 {
        // It may be idle from now on, and then nothing else brings anybody here.
        CHANCES.fetch_sub(1, Ordering::Relaxed);
        due::request(now + options::purge_delay());
    } else {
        HASTENED.store(false, Ordering::Relaxed);
    }
}

impl Heap {
    /// Has the heap's thread come by soon. The caller holds the lock.
    fn hasten(&'static self) {
        let cap = CAP.load(Ordering::Relaxed);
        for class in SizeClass::all().filter(|&class| self.has_current(class)) {
            self.current(class).hasten(cap);
        }
    }
}
