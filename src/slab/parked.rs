//! A slab that trim has taken the pages of while its owner may be about to
//! pop a block; the protocol is in `heap::park`.

use crate::sync::atomic::Ordering;
use core::ptr;

use super::descriptor::Slab;
use super::list::{Block, end};

impl Slab {
    /// Empties the lists of a slab whose blocks are all free, while its owner
    /// may be about to pop the first. Returns that, if there is one, and the
    /// end of the blocks that have been cut.
    pub fn empty_list(&self) -> (Option<usize>, usize) {
        let first = self.line.free.load(Ordering::Relaxed);
        self.remote.queue.take();
        self.line.emptied.set(first);
        self.line.free.store(end(), Ordering::Relaxed);
        let cut = self.start() + self.carved() as usize * self.size();
        ((first != end()).then_some(first as usize), cut)
    }

    /// Whether [`Slab::empty_list`] was done and not undone.
    pub fn is_emptied(&self) -> bool {
        !self.line.emptied.get().is_null()
    }

    /// The blocks handed out of a parked slab: none, or the one whose pop was
    /// under way when the list was emptied, unless it is free again.
    pub fn parked_handed_out(&self) -> u32 {
        if !self.is_emptied() {
            return self.carved() - self.count_free().unwrap_or(0);
        }
        let now = self.line.free.load(Ordering::Relaxed);
        u32::from(now != end() && now != self.line.emptied.get())
    }

    /// Gives a parked slab its free blocks back and makes its count exact.
    /// The caller is its owner, or its owner does not exist any more.
    pub fn refill_parked(&self) {
        let handed_out = self.parked_handed_out();
        if self.is_emptied() {
            let taken = self.line.emptied.get() as usize;
            let carved = self.carved() as usize;
            self.line.emptied.set(ptr::null_mut());
            self.line.free.store(end(), Ordering::Relaxed);
            // What is in the purged pages is gone.
            self.clean.store(0, Ordering::Relaxed);
            if handed_out == 0 {
                self.remote.queue.take();
                self.set_carved(0);
            } else {
                let size = self.size();
                let blocks = (0..carved).map(|block| self.start() + block * size);
                for block in blocks.filter(|&block| block != taken) {
                    // SAFETY: the block is free and in no list.
                    let words = unsafe { &*(block as *const Block) };
                    words.key.set(self.key());
                    words
                        .next
                        .store(self.line.free.load(Ordering::Relaxed), Ordering::Relaxed);
                    self.line.free.store(block as *mut Block, Ordering::Relaxed);
                }
            }
        }
        self.arm(handed_out, 0);
    }
}
