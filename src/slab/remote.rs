//! The remote queue: blocks of a slab that other threads have freed.
//!
//! A stack whose links lie in the blocks and whose word packs
//!
//! ```text
//!   63     50 49 48 47            24 23             0
//!  |        | state |     count     |  head block + 1 |
//! ```
//!
//! Any thread pushes one block with a compare-and-swap; the holder takes all
//! with a swap. Nobody pops a single block, so a word that is equal again
//! means a stack with the same top, and there is no ABA problem.
//!
//! The state says whether somebody must tell the holder. A *full* slab is on
//! none of the holder's lists; the push that turns it *queued* obliges the
//! pusher to put the slab in the holder's inbox. A queued slab is not given
//! back before it has come out of an inbox.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::const_fn;

const HEAD_BITS: u32 = 24;
const HEAD: u64 = (1 << HEAD_BITS) - 1;
const ONE: u64 = 1 << HEAD_BITS;
const COUNT: u64 = HEAD << HEAD_BITS;
const FULL: u64 = 1 << 48;
const QUEUED: u64 = 2 << 48;
const STATE: u64 = 3 << 48;

/// What a push found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The block is in the queue, which now holds this many.
    In(u32),
    /// The block is in the queue, and the pusher must put the slab in its
    /// holder's inbox.
    Announce,
    /// The block was the queue's top already: it was freed a moment ago.
    Twice,
}

/// Blocks that other threads have freed, by number.
pub struct RemoteQueue {
    word: AtomicU64,
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

    /// Pushes a block. `link` writes into the block which block is below it;
    /// it is called again when another thread was faster.
    #[inline]
    pub fn push(&self, block: u32, mut link: impl FnMut(Option<u32>)) -> Pushed {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let below = (word & HEAD) as u32;
            if below == block + 1 {
                return Pushed::Twice;
            }
            link(below.checked_sub(1));
            let mut new = (word & !HEAD | u64::from(block + 1)) + ONE;
            let announce = word & STATE == FULL;
            if announce {
                new = new & !STATE | QUEUED;
            }
            // Release pairs with the Acquire in `take`: the holder sees the
            // links and the marks. Nothing is read through the word here.
            match self
                .word
                .compare_exchange_weak(word, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) if announce => return Pushed::Announce,
                Ok(_) => return Pushed::In(((new & COUNT) >> HEAD_BITS) as u32),
                Err(now) => word = now,
            }
        }
    }

    /// Counts a block that was handed back by other means than the links, and
    /// tells whether the pusher must announce the slab.
    #[cfg(all(feature = "hardened", not(loom)))]
    pub fn count_one(&self) -> Pushed {
        // The queue is told from an empty one by its head: block 0.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let announce = word & STATE == FULL;
            let state = if announce { QUEUED } else { word & STATE };
            let new = (word & COUNT | state | 1) + ONE;
            match self
                .word
                .compare_exchange_weak(word, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) if announce => return Pushed::Announce,
                Ok(_) => return Pushed::In(((new & COUNT) >> HEAD_BITS) as u32),
                Err(now) => word = now,
            }
        }
    }

    /// Takes all blocks; the state stays. Returns the top one and how many.
    pub fn take(&self) -> Option<(u32, u32)> {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & HEAD != 0 {
            // Acquire pairs with the Release in `push`.
            match self.word.compare_exchange_weak(
                word,
                word & STATE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    let count = ((word & COUNT) >> HEAD_BITS) as u32;
                    return Some(((word & HEAD) as u32 - 1, count));
                }
                Err(now) => word = now,
            }
        }
        None
    }

    /// The top block, while others may take it.
    pub fn top(&self) -> Option<u32> {
        ((self.word.load(Ordering::Acquire) & HEAD) as u32).checked_sub(1)
    }

    /// The top block, and how many there are from it on down, while others may
    /// push more.
    #[cfg(any(test, debug_assertions))]
    pub fn peek(&self) -> Option<(u32, u32)> {
        let word = self.word.load(Ordering::Acquire);
        let top = ((word & HEAD) as u32).checked_sub(1)?;
        Some((top, ((word & COUNT) >> HEAD_BITS) as u32))
    }

    /// Whether the next push announces the slab, or one has.
    #[cfg(any(test, debug_assertions))]
    pub fn is_full_or_queued(&self) -> bool {
        self.word.load(Ordering::Relaxed) & STATE != 0
    }

    /// How many blocks are in the queue.
    pub fn count(&self) -> u32 {
        // Acquire: who finds all blocks of a slab free may give it back, and
        // must see what their pushers wrote.
        ((self.word.load(Ordering::Acquire) & COUNT) >> HEAD_BITS) as u32
    }

    /// Has the next push announce the slab. Returns `false`, and does
    /// nothing, when blocks have come in meanwhile.
    pub fn set_full(&self) -> bool {
        // Relaxed: the word alone matters.
        self.word
            .compare_exchange(0, FULL, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether the next push is to announce the slab.
    #[cfg(all(feature = "hardened", not(loom)))]
    pub fn is_full(&self) -> bool {
        self.word.load(Ordering::Relaxed) & STATE == FULL
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
        self.word.load(Ordering::Relaxed) & STATE == QUEUED
    }

    /// Notes that the slab has come out of its holder's inbox.
    pub fn unset_queued(&self) {
        debug_assert!(self.is_queued());
        // Relaxed: the inbox has ordered what went before.
        self.word.fetch_and(!STATE, Ordering::Relaxed);
    }

    /// Empties the queue of a slab that nobody uses.
    pub fn reset(&self) {
        self.word.store(0, Ordering::Relaxed);
    }
}

impl Default for RemoteQueue {
    fn default() -> Self {
        Self::new()
    }
}
