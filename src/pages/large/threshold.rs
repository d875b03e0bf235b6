//! The mmap threshold: above it requests are large.
//!
//! It adapts as glibc's does (mallopt(3), `M_MMAP_THRESHOLD`): a freed mapping
//! raises it to its size, up to [`ADAPTIVE_MAX`], since a program that frees such
//! blocks is likely to want more of them. A threshold that somebody set stays.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::RUN_MAX;
use crate::options::{self, Id, TABLE};

/// The highest that the threshold becomes by itself. Longer runs come and go
/// at lengths that do not fit each other, and cost more memory than they save
/// in system calls.
const ADAPTIVE_MAX: usize = 512 << 10;

static THRESHOLD: AtomicUsize =
    AtomicUsize::new(TABLE[Id::mmap_threshold as usize].default as usize);

static ADAPTIVE: AtomicBool = AtomicBool::new(true);

/// Requests above this many bytes are large.
#[inline]
pub fn threshold() -> usize {
    // Relaxed: a request near the threshold may go either way.
    THRESHOLD.load(Ordering::Relaxed)
}

/// Goes by the options from now on: a threshold that is set no longer adapts,
/// nor does it where one of those is set that glibc takes for a sign that
/// somebody tunes (mallopt(3)). With a reserve, what fits in there is to be
/// taken from there.
pub(super) fn start() {
    let signs = [Id::mmap_threshold, Id::mmap_max, Id::growth, Id::spare];
    let has_reserve = options::reserve() > 0;
    if has_reserve || signs.into_iter().any(options::is_set) {
        ADAPTIVE.store(false, Ordering::Relaxed);
    }
    let threshold = if has_reserve && !options::is_set(Id::mmap_threshold) {
        RUN_MAX
    } else {
        options::mmap_threshold()
    };
    if !ADAPTIVE.load(Ordering::Relaxed) {
        THRESHOLD.store(threshold, Ordering::Relaxed);
    }
}

/// Notes that a mapping of this length was freed.
pub(super) fn adapt(length: usize) {
    if length <= ADAPTIVE_MAX && length > threshold() && ADAPTIVE.load(Ordering::Relaxed) {
        THRESHOLD.store(length, Ordering::Relaxed);
    }
}
