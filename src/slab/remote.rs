//! The remote queue: blocks of a slab that other threads have freed.
//!
//! A stack whose links lie in the blocks and whose word packs
//!
//! ```text
//!   63                        16  15      14     13   12        0
//!  | the top's address, or full | queued | over | open |   count   |
//! ```
//!
//! Any thread pushes one block with a compare-and-swap; the holder takes all
//! with a swap. Nobody pops a single block, so a word that is equal again
//! means a stack with the same top, and there is no ABA problem.
//!
//! An *open* queue is that of a slab of an ordinary kind that is not full and has
//! had a block before: who frees one there tests that bit, and has nothing else to
//! decide. The rest is [`RemoteQueue::push`]'s. What is no slab has a word of 0.
//!
//! A *full* slab is on none of the holder's lists; the push that turns it
//! *queued* obliges the pusher to put the slab in the holder's inbox. A queued
//! slab is not given back before it has come out of an inbox.
//!
//! The count never gets *over* its bits but by double frees. The carry closes the
//! queue, so that it is noticed.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::const_fn;

/// A slab has up to 4,096 blocks.
const COUNT: u64 = (1 << 13) - 1;
const ONE: u64 = 1;
const OPEN: u64 = 1 << 13;
const OVER: u64 = 1 << 14;
const QUEUED: u64 = 1 << 15;
/// In place of an address, which is a multiple of 16.
const FULL: u64 = 1 << 16;
/// Addresses are below 2^48, as all of a program's are that asks for no others.
const TOP_SHIFT: u32 = 16;

/// What a push found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The block is in the queue, which now holds this many.
    In(u32),
    /// The block is in the queue, and the pusher must put the slab in its
    /// holder's inbox.
    Announce,
    /// The block was the queue's top already: it was freed a moment ago. Or
    /// there are more blocks in the queue than any slab has.
    Twice,
}

/// Blocks that other threads have freed, by address.
pub struct RemoteQueue {
    word: AtomicU64,
}

fn count_of(word: u64) -> u32 {
    // With the carry it is still a number that is too large, and as no slab has so
    // many blocks, the chain is a ring.
    (word & (COUNT | OVER)) as u32
}

#[inline(always)]
fn top_of(word: u64) -> usize {
    (word >> TOP_SHIFT) as usize
}

#[inline(always)]
fn with_top(block: usize) -> u64 {
    (block as u64) << TOP_SHIFT
}

impl RemoteQueue {
    const_fn! {
        /// An empty queue of a slab that is on its holder's lists.
        pub fn new() -> Self {
            Self {
                word: AtomicU64::new(0),
            }
        }
    }

    /// Pushes a block if the queue is open; `None`: [`RemoteQueue::push`] is to.
    /// `link` writes into the block what is below it: another block, or what the
    /// queue ends in; it is called again when another thread was faster.
    #[inline(always)]
    pub fn push_open(&self, block: usize, mut link: impl FnMut(usize)) -> Option<Pushed> {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & OPEN != 0 {
            let below = top_of(word);
            // By the difference the rest of the word stays as it is.
            let difference = with_top(block.wrapping_sub(below));
            if difference == 0 {
                return Some(Pushed::Twice);
            }
            link(below);
            let new = word.wrapping_add(difference).wrapping_add(ONE);
            // Release pairs with the Acquire in `take`: the holder sees the
            // links and the marks. Nothing is read through the word here.
            match self
                .word
                .compare_exchange_weak(word, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(before) => return Some(Pushed::In((before & COUNT) as u32 + 1)),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Pushes a block, whatever the word says, and opens the queue if that may
    /// be `open`. An empty one ends in `end`.
    pub fn push(
        &self,
        block: usize,
        end: usize,
        open: bool,
        mut link: impl FnMut(usize),
    ) -> Pushed {
        debug_assert!(top_of(with_top(block)) == block && top_of(with_top(end)) == end);
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if u64::from(count_of(word)) >= COUNT {
                return Pushed::Twice;
            }
            let below = if word & COUNT == 0 { end } else { top_of(word) };
            if below == block {
                return Pushed::Twice;
            }
            link(below);
            let (announce, state) = queued_by(word);
            let new = with_top(block) | state | (u64::from(open) * OPEN);
            let new = new + (word & COUNT) + ONE;
            // Release: as in `push_open`.
            match self
                .word
                .compare_exchange_weak(word, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) if announce => return Pushed::Announce,
                Ok(_) => return Pushed::In(count_of(new)),
                Err(now) => word = now,
            }
        }
    }

    /// Counts a block that was handed back by other means than the links, and
    /// tells whether the pusher must announce the slab.
    #[cfg(all(feature = "hardened", not(loom)))]
    pub fn count_one(&self) -> Pushed {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (announce, state) = queued_by(word);
            let new = (state | (word & COUNT)) + ONE;
            match self
                .word
                .compare_exchange_weak(word, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) if announce => return Pushed::Announce,
                Ok(_) => return Pushed::In(count_of(new)),
                Err(now) => word = now,
            }
        }
    }

    /// Takes all blocks; what else the word says stays. Returns the top one and
    /// how many. The queue ends in `end` from now on.
    pub fn take(&self, end: usize) -> Option<(usize, u32)> {
        let mut word = self.word.load(Ordering::Relaxed);
        while count_of(word) != 0 {
            // Acquire pairs with the Release in `push_open` and `push`.
            match self.word.compare_exchange_weak(
                word,
                with_top(end) | (word & (QUEUED | OPEN)),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some((top_of(word), count_of(word))),
                Err(now) => word = now,
            }
        }
        None
    }

    /// The top block, and how many there are from it on down, while others may
    /// push more, or take them.
    pub fn peek(&self) -> Option<(usize, u32)> {
        let word = self.word.load(Ordering::Acquire);
        let count = count_of(word);
        (count != 0).then(|| (top_of(word), count))
    }

    /// Whether the next push announces the slab, or one has.
    #[cfg(any(test, debug_assertions))]
    pub fn is_full_or_queued(&self) -> bool {
        self.word.load(Ordering::Relaxed) & (FULL | QUEUED) != 0
    }

    /// How many blocks are in the queue.
    pub fn count(&self) -> u32 {
        // Acquire: who finds all blocks of a slab free may give it back, and
        // must see what their pushers wrote.
        count_of(self.word.load(Ordering::Acquire))
    }

    /// Has the next push announce the slab. Returns `false`, and does
    /// nothing, when blocks have come in meanwhile.
    pub fn set_full(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        // Relaxed: the word alone matters. It changes by a push only.
        count_of(word) == 0
            && word & (FULL | QUEUED) == 0
            && self
                .word
                .compare_exchange(word, FULL, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether the next push is to announce the slab.
    #[cfg(all(feature = "hardened", not(loom)))]
    pub fn is_full(&self) -> bool {
        self.word.load(Ordering::Relaxed) & FULL != 0
    }

    /// Undoes [`RemoteQueue::set_full`]. Returns `false`, and does nothing,
    /// when a push was faster and the slab is on its way to an inbox.
    pub fn unset_full(&self) -> bool {
        self.word
            .compare_exchange(FULL, 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether the slab is in an inbox or on its way there.
    pub fn is_queued(&self) -> bool {
        self.word.load(Ordering::Relaxed) & QUEUED != 0
    }

    /// Notes that the slab has come out of its holder's inbox.
    pub fn unset_queued(&self) {
        debug_assert!(self.is_queued());
        // Relaxed: the inbox has ordered what went before.
        self.word.fetch_and(!QUEUED, Ordering::Relaxed);
    }

    /// Has the next block come in by [`RemoteQueue::push`].
    pub fn close(&self) {
        self.word.fetch_and(!OPEN, Ordering::Relaxed);
    }

    /// Empties the queue of a slab that nobody uses, and closes it.
    pub fn reset(&self) {
        self.word.store(0, Ordering::Relaxed);
    }
}

/// Whether the push that finds this word must announce the slab, and what the word
/// says then of its standing.
#[inline]
fn queued_by(word: u64) -> (bool, u64) {
    let announce = word & FULL != 0;
    let state = if announce { QUEUED } else { word & QUEUED };
    (announce, state)
}

impl Default for RemoteQueue {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Two blocks that are freed in turn, until it is noticed.
    fn pushes_in_turn(open: bool) -> usize {
        let queue = RemoteQueue::new();
        let push = |block| {
            let pushed = queue.push_open(block, |_| ());
            pushed.unwrap_or_else(|| queue.push(block, 48, open, |_| ()))
        };
        let noticed = (0..1 << 20).find(|number| push(16 + 16 * (number % 2)) == Pushed::Twice);
        let count = noticed.expect("no slab has as many blocks");
        assert!(queue.count() as usize >= count);
        assert!(!queue.is_full_or_queued() && queue.take(48).is_some());
        count
    }

    #[test]
    fn more_blocks_than_a_slab_has_are_noticed() {
        assert_eq!(pushes_in_turn(true), COUNT as usize + 1);
        assert_eq!(pushes_in_turn(false), COUNT as usize);
    }
}
