//! The check of a slab's lists of free blocks.

use super::super::descriptor::Slab;
use super::super::kind::State;
use super::super::list::{Block, end};
use crate::fatal::{Broken, Checked, ensure};
use crate::pages::PAGE;
use crate::size_class::{GRAIN, SMALL_SLAB_PAGES};
use crate::sync::atomic::Ordering;

/// Which blocks of a slab have been seen, by number.
struct Seen([u64; MOST_BLOCKS / 64]);

/// The most blocks that a slab has.
const MOST_BLOCKS: usize = SMALL_SLAB_PAGES * PAGE / GRAIN;

impl Seen {
    const fn none() -> Self {
        Self([0; MOST_BLOCKS / 64])
    }

    /// Notes a block. Returns whether it is seen for the first time.
    fn note(&mut self, number: usize) -> bool {
        let (word, bit) = (&mut self.0[number / 64], 1 << (number % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

impl Slab {
    /// Whether the blocks in the remote queue are free ones of this slab, and as
    /// many as are counted. The caller holds the holder's lock.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn check_remote(&self) -> Checked {
        self.check_queue(&mut Seen::none())
    }

    /// [`Slab::check_remote`], and whether the local list is of other free blocks
    /// of this slab, and its count, where that is exact. Nobody is at the list.
    /// Returns how many blocks it has.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn check_lists(&self) -> Result<u32, Broken> {
        let mut seen = Seen::none();
        let first = self.line.free.load(Ordering::Relaxed);
        let free = self.check_list(first, u32::MAX, &mut seen)?;
        self.check_queue(&mut seen)?;
        if self.state() != State::Current {
            let handed_out = self.handed_out();
            ensure(
                handed_out.wrapping_add(free) == self.carved(),
                "blocks that do not add up",
                self.key(),
            )?;
            ensure(
                self.remote().count() <= handed_out,
                "more blocks freed than handed out",
                self.key(),
            )?;
        }
        Ok(free)
    }

    fn check_queue(&self, seen: &mut Seen) -> Checked {
        let Some((top, count)) = self.remote().peek() else {
            return Ok(());
        };
        let length = self.check_list(top as *mut Block, count, seen)?;
        ensure(
            length == count,
            "a remote queue that is shorter than its count",
            self.key(),
        )
    }

    /// Whether a list is of blocks of this slab that are free and have not been
    /// seen. Returns how many there are, up to `most`.
    fn check_list(&self, first: *mut Block, most: u32, seen: &mut Seen) -> Result<u32, Broken> {
        let (mut block, mut length) = (first, 0);
        while block != end() && length < most {
            let address = block as usize;
            ensure(
                self.is_block(address),
                "a free list that leads astray",
                self.start(),
            )?;
            ensure(
                seen.note((address - self.start()) / self.size()),
                "a block that is free twice",
                address,
            )?;
            // SAFETY: the address is that of a block of this slab.
            let is_marked = unsafe { self.is_marked(block.cast()) };
            ensure(
                is_marked || !cfg!(feature = "checks"),
                "a free block without its mark",
                address,
            )?;
            length += 1;
            // SAFETY: as above.
            block = unsafe { &*block }.next.load(Ordering::Relaxed);
        }
        Ok(length)
    }

    /// Breaks something, for a test; the other call undoes it.
    #[cfg(test)]
    pub fn poke(&self, what: Poke) {
        let flip = |word: &crate::sync::atomic::AtomicU32| word.fetch_xor(1, Ordering::Relaxed);
        match what {
            Poke::Carved => {
                flip(&self.line.carved);
            }
            Poke::Bound => {
                self.bound.fetch_xor(1, Ordering::Relaxed);
            }
            Poke::Size => {
                flip(&self.size);
            }
            Poke::Counter => {
                flip(&self.line.counter.frees);
            }
            Poke::Mark => {
                let first = self.line.free.load(Ordering::Relaxed);
                // SAFETY: the list is not empty, and the caller has the slab.
                let key = unsafe { &(*first).key };
                key.set(key.get() ^ 1);
            }
            Poke::Link => {
                let first = self.line.free.load(Ordering::Relaxed);
                let wrong = first.wrapping_byte_add(8);
                // SAFETY: as above.
                let next = unsafe { &(*first).next };
                let saved = next.swap(wrong, Ordering::Relaxed);
                if saved == wrong {
                    next.store(end(), Ordering::Relaxed);
                }
            }
        }
    }
}

/// What [`Slab::poke`] breaks.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub enum Poke {
    Carved,
    Bound,
    Size,
    Counter,
    Mark,
    /// Undone, the list ends where it was broken.
    Link,
}
