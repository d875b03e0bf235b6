//! A slab that trim has taken the pages of while its owner may be about to
//! pop a block; the protocol is in `heap::park`.

use core::ptr;

use super::descriptor::Slab;
use super::list::{Block, end, parked};
use crate::pages::PAGE;
use crate::sync::atomic::Ordering;

/// What [`Slab::empty_list`] has emptied.
pub struct Emptied {
    /// The block that the owner may be popping; `None`: there was none.
    pub first: Option<usize>,
    /// The end of the slab. What was never cut may be resident, too, in a huge
    /// page.
    pub end: usize,
}

impl Slab {
    /// Empties the lists of a slab whose blocks are all free, while its owner
    /// may be popping the first. `None`: they are not all free, or that pop
    /// has just been done; the owner finds out which.
    pub fn empty_list(&self) -> Option<Emptied> {
        let first = self.line.free.load(Ordering::Relaxed);
        let mut free = self.remote.queue.count();
        let has_end = self.walk(first, |_| free += 1);
        if !has_end || free != self.carved() {
            return None;
        }
        self.line.emptied.set(first);
        // A pop that is under way stores the block behind the first over
        // this, whenever it gets there. One that got there before has left
        // something else than the first.
        let now = self.line.free.swap(parked(), Ordering::Relaxed);
        self.remote.queue.take();
        if now != first {
            self.line.free.store(now, Ordering::Relaxed);
            return None;
        }
        Some(Emptied {
            first: (first != end()).then_some(first as usize),
            end: self.start() + self.pages() as usize * PAGE,
        })
    }

    /// Whether [`Slab::empty_list`] has been at the lists.
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
        u32::from(now != parked() && now != self.line.emptied.get())
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
                self.count_unfilled();
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
