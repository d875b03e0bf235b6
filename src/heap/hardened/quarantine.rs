//! Quarantine: a freed block waits before it can be handed out again.
//!
//! A thread's freed blocks change places with others in an array, by chance, and
//! what comes out of it queues up. So a block stays away for so many frees at
//! least, and for how many nobody can tell.
//!
//! ```text
//!   freed ---> one of 128, by chance ---> queue of 128 ---> free
//! ```
//!
//! Longer blocks have a queue only, so that little memory waits: 256 KiB and 1
//! MiB at most for each thread.

use core::cell::Cell;

/// The longest block that waits with the small ones.
const SMALL_MAX: usize = 1 << 10;
const SMALL: usize = 128;
const LONG: usize = 16;

/// Where blocks wait, by their addresses; 0 is no block.
pub struct Quarantine {
    mixed: [Cell<usize>; SMALL],
    small: Queue<SMALL>,
    long: Queue<LONG>,
}

struct Queue<const LENGTH: usize> {
    blocks: [Cell<usize>; LENGTH],
    /// Where the oldest is.
    oldest: Cell<usize>,
}

impl<const LENGTH: usize> Queue<LENGTH> {
    const fn new() -> Self {
        Self {
            blocks: [const { Cell::new(0) }; LENGTH],
            oldest: Cell::new(0),
        }
    }

    #[inline(always)]
    fn exchange(&self, block: usize) -> usize {
        let at = self.oldest.get();
        self.oldest.set((at + 1) % LENGTH);
        // The remainder changes nothing, and saves a comparison.
        self.blocks[at % LENGTH].replace(block)
    }
}

impl Quarantine {
    pub const fn new() -> Self {
        Self {
            mixed: [const { Cell::new(0) }; SMALL],
            small: Queue::new(),
            long: Queue::new(),
        }
    }

    /// Puts a block of `size` bytes in; returns one that has waited, or 0. Of what
    /// `random` returns seven bits count; if that is `None`, so is what this returns,
    /// and nothing is done.
    #[inline(always)]
    pub fn exchange(
        &self,
        block: usize,
        size: usize,
        random: impl FnOnce() -> Option<u32>,
    ) -> Option<usize> {
        if size > SMALL_MAX {
            return Some(self.long.exchange(block));
        }
        let mixed = &self.mixed[random()? as usize % SMALL];
        Some(self.small.exchange(mixed.replace(block)))
    }

    /// Takes all blocks out.
    pub fn empty(&self, each: impl FnMut(usize)) {
        let queues = self.small.blocks.iter().chain(&self.long.blocks);
        let places = self.mixed.iter().chain(queues);
        places
            .map(|place| place.replace(0))
            .filter(|&block| block != 0)
            .for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use super::{LONG, Quarantine, SMALL};
    use std::collections::BTreeSet;

    #[test]
    fn blocks_stay_away_and_come_out_once() {
        for (size, least) in [(64, SMALL), (4096, LONG)] {
            let quarantine = Quarantine::new();
            let mut inside = BTreeSet::new();
            for block in 1..10_000 {
                inside.insert(block);
                assert!(size > 1024 || quarantine.exchange(block, size, || None).is_none());
                let random = || Some((block as u32 * 37) >> 3);
                let out = quarantine.exchange(block, size, random).expect("a number");
                if out != 0 {
                    assert!(
                        inside.remove(&out) && block - out >= least,
                        "{block}: {out}"
                    );
                }
            }
            quarantine.empty(|block| assert!(inside.remove(&block)));
            assert!(inside.is_empty());
        }
    }
}
