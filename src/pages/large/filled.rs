//! Which large blocks get huge pages: those of a program that fills its own.
//!
//! A block of some MiB that is filled costs a fault for each page, hundreds of
//! times as many as with huge pages; one that is touched here and there would
//! grow by them to many times its memory. So a block in pages is looked at when
//! the next one is mapped, and when it is freed. After a few that were all in
//! memory the next ones get huge pages, but now and then one, to learn from. A
//! block that is freed and was not filled puts an end to that.
//!
//! None of this in a guest whose host takes back what is free in huge pages: there
//! a huge page costs more than the small ones that it saves.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::options::{self, HugePages};
use crate::os::{guest, memory, usage};
use crate::pages::fresh;

/// Shorter blocks have no part in it, in bytes: their last, partial huge page
/// would be most of them.
const LEAST: usize = 4 << 20;
/// How many pages of a block are looked at.
const SAMPLES: usize = 16;
/// How often a block must have been found filled.
const ENOUGH: u32 = 2;
/// One in so many goes without huge pages.
const PROBE: u32 = 32;

/// How often in a row a block was filled, up to [`ENOUGH`]; or [`NO_USE`]. All of
/// these are relaxed, and guesses.
static FILLED: AtomicU32 = AtomicU32::new(0);
static MAPPED: AtomicU32 = AtomicU32::new(0);
/// The last block that was mapped in pages.
static LAST: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// Nobody needs to know: huge pages are dear here.
const NO_USE: u32 = u32::MAX;

/// Whether it is to be found out if blocks of this length are filled.
fn is_learning(length: usize) -> bool {
    length >= LEAST
        && options::thp() == HugePages::Adaptive
        && fresh::are_huge_pages_short()
        && FILLED.load(Ordering::Relaxed) != NO_USE
}

/// Whether a new mapping of this length is to be in huge pages.
pub(super) fn earns_huge_pages(length: usize) -> bool {
    if !is_learning(length) {
        return length >= LEAST && options::thp() == HugePages::Always;
    }
    let filled = FILLED.load(Ordering::Relaxed);
    if filled < ENOUGH {
        let [address, length] = [0, 1].map(|i| LAST[i].load(Ordering::Relaxed));
        // What has not been filled yet may still be.
        if length > 0 && is_filled(address, length) {
            note(filled + 1);
        }
    }
    FILLED.load(Ordering::Relaxed) == ENOUGH
        && MAPPED.fetch_add(1, Ordering::Relaxed) % PROBE != PROBE - 1
}

/// Whether new mappings of this length are in huge pages mostly, as far as is known.
pub(super) fn are_huge(length: usize) -> bool {
    length >= LEAST
        && match options::thp() {
            HugePages::Always => true,
            HugePages::Adaptive => FILLED.load(Ordering::Relaxed) == ENOUGH,
            HugePages::Never | HugePages::System => false,
        }
}

/// Notes how often in a row a block was filled.
fn note(filled: u32) {
    let is_no_use = filled == ENOUGH && guest::host_takes_free_memory();
    FILLED.store(if is_no_use { NO_USE } else { filled }, Ordering::Relaxed);
}

/// Notes a new mapping in pages.
pub(super) fn note_mapped(address: usize, length: usize) {
    if is_learning(length) {
        LAST[0].store(address, Ordering::Relaxed);
        LAST[1].store(length, Ordering::Relaxed);
    }
}

/// Looks at a block that is being freed.
pub(super) fn note_freed(address: usize, length: usize) {
    if !is_learning(length) {
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
        note(next);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A mapping of `length` bytes whose first `filled` are in memory.
    fn mapping(length: usize, filled: usize) -> usize {
        let address = memory::map(length).expect("memory");
        // SAFETY: the mapping is this test's, and that long.
        unsafe { (address as *mut u8).write_bytes(1, filled) };
        address
    }

    #[test]
    fn filled_blocks_earn_huge_pages_and_sparse_ones_lose_them() {
        let length = LEAST + memory::page_size();
        let whole = mapping(length, length);
        let sparse = mapping(length, length / 2);
        assert!(is_filled(whole, length) && !is_filled(sparse, length));

        if !fresh::are_huge_pages_short() {
            note_freed(whole, length);
            return assert!((0..PROBE).all(|_| !earns_huge_pages(length)));
        }
        FILLED.store(0, Ordering::Relaxed);
        note_mapped(sparse, length);
        // What has just been mapped tells nothing yet.
        assert!(!earns_huge_pages(length));
        assert_eq!(FILLED.load(Ordering::Relaxed), 0);
        note_mapped(whole, length);
        assert!(!earns_huge_pages(length));
        assert_eq!(FILLED.load(Ordering::Relaxed), 1);
        note_freed(whole, length);
        if guest::host_takes_free_memory() {
            assert_eq!(FILLED.load(Ordering::Relaxed), NO_USE);
            assert!(!earns_huge_pages(length));
            FILLED.store(ENOUGH, Ordering::Relaxed);
        }
        assert!(!earns_huge_pages(LEAST - 1));
        let earned = (0..PROBE).filter(|_| earns_huge_pages(length)).count();
        assert_eq!(earned, PROBE as usize - 1);
        note_freed(sparse, length);
        assert!(!earns_huge_pages(length));
        // SAFETY: nobody else knows the mappings.
        unsafe {
            memory::unmap(whole, length);
            memory::unmap(sparse, length);
        }
    }
}
