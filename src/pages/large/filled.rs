//! Which large blocks get huge pages: those of a program that fills its own.
//!
//! A block of some MiB that is filled costs a fault for each page, hundreds of
//! times as many as with huge pages; one that is touched here and there would
//! grow by them to many times its memory. So a block in pages is looked at when
//! the next one is mapped, and when it is freed. After a few that were all in
//! memory the next ones get huge pages, but now and then one, to learn from. A
//! block that is freed and was not filled puts an end to that.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::options::{self, HugePages};
use crate::os::{memory, usage};

/// Shorter blocks have no part in it, in bytes: their last, partial huge page
/// would be most of them.
const LEAST: usize = 4 << 20;
/// How many pages of a block are looked at.
const SAMPLES: usize = 16;
/// How often a block must have been found filled.
const ENOUGH: u32 = 2;
/// One in so many goes without huge pages.
const PROBE: u32 = 32;

/// How often in a row a block was filled, up to [`ENOUGH`]. All of these are
/// relaxed, and guesses.
static FILLED: AtomicU32 = AtomicU32::new(0);
static MAPPED: AtomicU32 = AtomicU32::new(0);
/// The last block that was mapped in pages.
static LAST: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// Whether a new mapping of this length is to be in huge pages.
pub(super) fn earns_huge_pages(length: usize) -> bool {
    if length < LEAST {
        return false;
    }
    match options::thp() {
        HugePages::Always => true,
        HugePages::Adaptive => {
            let [address, length] = [0, 1].map(|i| LAST[i].load(Ordering::Relaxed));
            // What has not been filled yet may still be.
            if FILLED.load(Ordering::Relaxed) < ENOUGH && length > 0 && is_filled(address, length) {
                FILLED.fetch_add(1, Ordering::Relaxed);
            }
            FILLED.load(Ordering::Relaxed) >= ENOUGH
                && MAPPED.fetch_add(1, Ordering::Relaxed) % PROBE != PROBE - 1
        }
        HugePages::System | HugePages::Never => false,
    }
}

/// Notes a new mapping in pages.
pub(super) fn note_mapped(address: usize, length: usize) {
    if length >= LEAST && options::thp() == HugePages::Adaptive {
        LAST[0].store(address, Ordering::Relaxed);
        LAST[1].store(length, Ordering::Relaxed);
    }
}

/// Looks at a block that is being freed.
pub(super) fn note_freed(address: usize, length: usize) {
    if length < LEAST || options::thp() != HugePages::Adaptive {
        return;
    }
    if LAST[0].load(Ordering::Relaxed) == address {
        LAST[1].store(0, Ordering::Relaxed);
    }
    let filled = FILLED.load(Ordering::Relaxed);
    let next = if is_filled(address, length) {
        (filled + 1).min(ENOUGH)
    } else {
        0
    };
    if next != filled {
        FILLED.store(next, Ordering::Relaxed);
    }
}

/// Whether all of a mapping is in memory, as far as samples tell. The mapping
/// may be gone.
fn is_filled(address: usize, length: usize) -> bool {
    let page = memory::page_size();
    let stride = length / SAMPLES / page * page;
    (0..SAMPLES)
        // Not always the same place in a stretch, which may be the one that
        // the program has filled.
        .map(|sample| address + sample * stride + sample * 37 * page % stride)
        .all(|at| usage::resident(at, page) == Some(page))
}
