//! The limit: how much memory bifold may have.
//!
//! What is charged is what may have memory behind it: all that is mapped but
//! for what is known to be clean. The kernel has given at most so much.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::options;

static CHARGED: AtomicUsize = AtomicUsize::new(0);

/// Whether there is a limit of either kind.
#[inline]
pub fn is_on() -> bool {
    options::limit() != isize::MAX as usize || options::soft_limit() != isize::MAX as usize
}

/// Charges bytes that are about to be used. Returns `false`, and charges
/// nothing, beyond the hard limit.
pub fn charge(bytes: usize) -> bool {
    let limit = options::limit();
    // Relaxed: the counter guards nothing but itself.
    CHARGED
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |charged| {
            charged.checked_add(bytes).filter(|&sum| sum <= limit)
        })
        .is_ok()
}

/// Whether so many bytes more are within the hard limit.
pub fn allows(bytes: usize) -> bool {
    let sum = CHARGED.load(Ordering::Relaxed).checked_add(bytes);
    sum.is_some_and(|sum| sum <= options::limit())
}

/// Takes a charge back.
pub fn uncharge(bytes: usize) {
    CHARGED.fetch_sub(bytes, Ordering::Relaxed);
}

/// Whether what is charged would be more than the soft limit with so many bytes
/// more.
pub fn is_above_soft(bytes: usize) -> bool {
    CHARGED.load(Ordering::Relaxed).saturating_add(bytes) > options::soft_limit()
}
