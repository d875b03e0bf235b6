//! What a slab's lists and the marks of its blocks say: how many are free, and which.

use super::descriptor::Slab;
use super::list::{Block, end, parked};
use crate::sync::atomic::{AtomicUsize, Ordering};

impl Slab {
    /// Counts the local list, whose owner may be changing it. `None`: it is
    /// longer than it can be or leads astray, because of a double free or a
    /// write after free, or because the owner was faster.
    pub fn count_free(&self) -> Option<u32> {
        let mut count = 0;
        self.walk(self.line.free.load(Ordering::Acquire), |_| count += 1)
            .then_some(count)
    }

    /// How many blocks are live at least, guessed from a few that lie across the slab:
    /// to count takes the longer the more are free. `None`: the slab has few blocks, or
    /// all of these have the mark of a free one.
    pub fn guess_live(&self) -> Option<u32> {
        const LOOKED_AT: u32 = 8;
        let apart = self.carved() / LOOKED_AT;
        // Of slabs with many blocks alone, which are shorter than a page: a longer one
        // the program may have made unreadable.
        if !cfg!(feature = "checks") || apart < 4 {
            return None;
        }
        let key = self.key();
        let is_live = |number: u32| {
            let block = self.start() + (number * apart) as usize * self.size();
            // SAFETY: the block has been cut, and the slab is still there. A live one's
            // words are its program's, which may be writing: whatever is read will do.
            let word = unsafe { &*(block as *const Block) }.key.as_ptr();
            // SAFETY: as above, and it is aligned.
            unsafe { AtomicUsize::from_ptr(word) }.load(Ordering::Relaxed) != key
        };
        let live = (0..LOOKED_AT).filter(|&number| is_live(number)).count() as u32;
        // Half of what that comes to: to look again costs less than to look too late.
        (live > 0).then(|| (live * apart / 2).max(1))
    }

    /// Makes the count of a current slab exact, as it must be before the slab
    /// is listed. Nobody is at its list. A list that makes no sense counts as
    /// empty: whoever takes blocks from it reports that.
    pub fn recount(&self) {
        let free = self.count_free().unwrap_or(0);
        self.arm(self.carved() - free, 0);
    }

    /// Calls `each` with the blocks of a list. Returns whether the list has
    /// an end, and no more blocks than have been cut.
    #[inline]
    pub(super) fn walk(&self, first: *mut Block, mut each: impl FnMut(*mut Block)) -> bool {
        let (start, carved) = (self.start(), self.carved());
        let length = carved as usize * self.size();
        let mut left = carved;
        let mut block = first;
        while block != end() && block != parked() {
            let offset = (block as usize).wrapping_sub(start);
            if left == 0 || offset >= length || offset % 16 != 0 {
                return false;
            }
            left -= 1;
            each(block);
            // SAFETY: the address lies in the carved part of a slab that the
            // caller keeps from being given back, by the holder's lock or by
            // having a block of it.
            block = unsafe { &*block }.next.load(Ordering::Relaxed);
        }
        true
    }

    /// A block that does not have the mark of a free one, if any: a slab
    /// that is about to be given back, by the count, must have none.
    pub fn find_unfree(&self) -> Option<usize> {
        let (size, key) = (self.size(), self.key());
        let mut block = self.start();
        let end = block + self.carved() as usize * size;
        // SAFETY: the blocks have been cut, and the slab is still there.
        let wrong = |block: usize| unsafe { &*(block as *const Block) }.key.get() ^ key;
        while block + 4 * size <= end {
            // Four at a time, one branch: this runs for every block once in
            // the life of a slab.
            let any = wrong(block)
                | wrong(block + size)
                | wrong(block + 2 * size)
                | wrong(block + 3 * size);
            if any != 0 {
                break;
            }
            block += 4 * size;
        }
        while block < end {
            if wrong(block) != 0 {
                return Some(block);
            }
            block += size;
        }
        None
    }

    /// Whether a block is in the local list or the remote queue, as far as it
    /// can be told while others change them.
    pub fn has_free(&self, address: *mut u8) -> bool {
        let local = self.line.free.load(Ordering::Acquire);
        let remote = self.remote.queue.peek();
        let remote = remote.map_or(end(), |(top, _)| top as *mut Block);
        let mut found = false;
        for first in [local, remote] {
            self.walk(first, |block| found |= block.cast() == address);
        }
        found
    }

    /// Whether a block has the mark of a free one. So may one that is live,
    /// if the program has written just that there.
    ///
    /// # Safety
    ///
    /// The address is that of a block.
    #[inline(always)]
    pub unsafe fn is_marked(&self, address: *mut u8) -> bool {
        // SAFETY: as the caller promises.
        cfg!(feature = "checks") && unsafe { &*address.cast::<Block>() }.key.get() == self.key()
    }
}
