//! When somebody must come by to give memory back.
//!
//! A malloc has no clock that rings. What is free and not wanted any more is
//! found in slow paths, by the background thread, or not at all; this is the
//! time from which on they are to look, in milliseconds of the coarse clock.

use core::sync::atomic::{AtomicU64, Ordering};

const NEVER: u64 = u64::MAX;

/// Milliseconds in which all that is too much has gone back, if somebody comes
/// by at all; and how soon to come again as long as there is some.
const PACE: u64 = 500;
pub const AGAIN: u64 = 20;

/// How much of what is too much is to go, so long after the last time.
pub fn share(excess: usize, elapsed: u64) -> usize {
    // Bytes or pages of an address space of 2^48: the product has 64 bits.
    (excess as u64 * elapsed.clamp(1, PACE)).div_ceil(PACE) as usize
}

static DUE: AtomicU64 = AtomicU64::new(NEVER);

/// Asks for a look at `when` at the latest.
pub fn request(when: u64) {
    if when < DUE.load(Ordering::Relaxed) {
        // Relaxed, here and below: it is a time and nothing else, and a request
        // that is lost in a race comes again with the next run given back.
        DUE.fetch_min(when, Ordering::Relaxed);
    }
}

/// Whether there is something to look at, at some time.
#[inline]
pub fn is_pending() -> bool {
    DUE.load(Ordering::Relaxed) != NEVER
}

/// When; `None`: there is nothing to look at.
pub fn time() -> Option<u64> {
    let due = DUE.load(Ordering::Relaxed);
    (due != NEVER).then_some(due)
}

/// Takes the request if its time has come. Of several threads one gets it.
pub fn take(now: u64) -> bool {
    let due = DUE.load(Ordering::Relaxed);
    due <= now
        && DUE
            .compare_exchange(due, NEVER, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
}
