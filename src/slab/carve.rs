//! Carving: cutting blocks from a slab's pages, no more of them than are
//! wanted, since a page that is not touched costs nothing.

use core::ops::Range;

use crate::sync::atomic::Ordering;

use super::descriptor::Slab;
use super::interior::bound_of;
#[cfg(not(feature = "hardened"))]
use super::list::{Block, end as end_of_list};
#[cfg(not(feature = "hardened"))]
use crate::pages::{PAGE, fresh};

/// Bytes that are cut at a time of pages that were used before, if a page has but a
/// block or two. Of shorter ones a thread may not want so many.
#[cfg(not(feature = "hardened"))]
const USED_STEP: usize = 4 * PAGE;

impl Slab {
    /// Whether blocks can still be cut.
    pub fn can_carve(&self) -> bool {
        self.carved() < self.capacity()
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// The bytes that are cut at a time: a page, or of pages that were used before,
    /// and so are mostly resident, some more.
    #[cfg(not(feature = "hardened"))]
    fn step(&self) -> usize {
        if self.is_clean() || self.size() < PAGE / 2 {
            PAGE
        } else {
            USED_STEP
        }
    }

    /// How many blocks will have been cut after the next time: one alone, or those
    /// that end within the step.
    #[cfg(not(feature = "hardened"))]
    fn next_carved(&self) -> u32 {
        if self.is_next_alone() {
            self.carved() + 1
        } else {
            self.carved_by_step()
        }
    }

    /// The same of blocks that are not cut alone.
    #[cfg(not(feature = "hardened"))]
    fn carved_by_step(&self) -> u32 {
        let (size, carved) = (self.size(), self.carved());
        let offset = carved as usize * size;
        let step_end = (offset + size).next_multiple_of(self.step());
        let blocks = (step_end - offset) / size;
        (carved + blocks as u32).min(self.capacity())
    }

    /// Whether the next block is cut alone: where it is as long as a step, or the
    /// first to reach one that is most likely not resident. Whoever has asked for it
    /// is about to touch that page, and the others on it are cut without a fault.
    #[cfg(not(feature = "hardened"))]
    fn is_next_alone(&self) -> bool {
        let (size, offset) = (self.size(), self.carved() as usize * self.size());
        let is_first = offset.is_multiple_of(PAGE) || offset / PAGE != (offset + size - 1) / PAGE;
        size >= self.step() || is_first && self.is_clean() && !fresh::faults_around()
    }

    /// Where [`Slab::carve`] or [`Slab::carve_one`] cuts blocks next.
    pub fn next_carving(&self) -> Range<usize> {
        let size = self.size();
        let end = |blocks: u32| self.start() + blocks as usize * size;
        end(self.carved())..end(self.next_carved())
    }

    /// Cuts the next blocks and makes them free; there are no others. One that is cut
    /// alone is returned.
    ///
    /// # Safety
    ///
    /// As for [`Slab::pop`], and [`Slab::can_carve`].
    #[cfg(not(feature = "hardened"))]
    pub unsafe fn carve_next(&self) -> Option<*mut u8> {
        // SAFETY: as the caller promises.
        unsafe {
            if self.is_next_alone() {
                return Some(self.carve_one());
            }
            self.carve();
        }
        None
    }

    /// Cuts the blocks that end within the step and puts them on the local list,
    /// which is empty.
    ///
    /// # Safety
    ///
    /// As for [`Slab::pop`], and [`Slab::can_carve`].
    #[cfg(not(feature = "hardened"))]
    unsafe fn carve(&self) {
        let (size, carved) = (self.size(), self.carved());
        let end = self.carved_by_step();
        let mut address = self.start() + carved as usize * size;
        let last = self.start() + (end as usize - 1) * size;
        self.line
            .free
            .store(address as *mut Block, Ordering::Relaxed);
        let key = self.key();
        // SAFETY: the addresses are of blocks of this slab that nobody has
        // had yet.
        let cut = |address: usize, next: usize| unsafe {
            let words = &*(address as *const Block);
            words.key.set(key);
            words.next.store(next as *mut Block, Ordering::Relaxed);
        };
        while address + 4 * size <= last {
            cut(address, address + size);
            cut(address + size, address + 2 * size);
            cut(address + 2 * size, address + 3 * size);
            cut(address + 3 * size, address + 4 * size);
            address += 4 * size;
        }
        while address < last {
            cut(address, address + size);
            address += size;
        }
        cut(last, end_of_list() as usize);
        self.set_carved(end);
    }

    /// Cuts one block and returns it; of a clean run, untouched.
    ///
    /// # Safety
    ///
    /// As for [`Slab::carve`].
    #[cfg(not(feature = "hardened"))]
    unsafe fn carve_one(&self) -> *mut u8 {
        let carved = self.carved();
        self.set_carved(carved + 1);
        let block = self.start() + carved as usize * self.size();
        if !self.is_zeroed() {
            // What an earlier use of the run left may be this very mark.
            // SAFETY: the block is one that nobody has had yet.
            unsafe { &*(block as *const Block) }.key.set(0);
        }
        block as *mut u8
    }

    pub(super) fn set_carved(&self, carved: u32) {
        self.line.carved.store(carved, Ordering::Relaxed);
        let reciprocal = self.reciprocal.load(Ordering::Relaxed);
        let bound = bound_of(reciprocal, self.size(), carved);
        self.bound.store(bound, Ordering::Relaxed);
    }
}
