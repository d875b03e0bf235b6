//! Descriptor slots that are free, and what of the metadata can go back.
//!
//! Free slots are linked as ranges: a slot holds the next range's address in
//! its first word and the number of free slots from itself on in its third. So
//! all but the first slot of a range may lie in pages that were given back. A
//! thread with a stale pointer may still read a free slot: its first word, the
//! owner, is never a heap, and its second, the holder, is null.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::{DESCRIPTOR_BYTES, PAGE, UNIT_PAGES, Zone, window};
use crate::os::memory;
use crate::pages::{fresh, stranded};

/// Free slots that are not worth looking at.
const FEW: usize = 256;

pub(super) const NEXT: usize = 0;
#[cfg(any(test, debug_assertions))]
pub(super) const HOLDER: usize = 1;
pub(super) const COUNT: usize = 2;

/// A word of a free slot.
pub(super) fn word(slot: usize, place: usize) -> &'static AtomicUsize {
    // SAFETY: a slot is a descriptor's memory, which is never unmapped, and
    // is reached by atomic words alone while it is free.
    unsafe { &*(slot as *const AtomicUsize).add(place) }
}

impl Zone {
    /// A slot for a descriptor; `None`: out of memory.
    pub(super) fn take_slot(&mut self) -> Option<usize> {
        if !window::is_open() {
            self.open()?;
        }
        let first = self.slots;
        if first == 0 {
            return self.window.new_descriptor(DESCRIPTOR_BYTES);
        }
        self.free_slots -= 1;
        let left = word(first, COUNT).load(Ordering::Relaxed) - 1;
        if left == 0 {
            self.slots = word(first, NEXT).load(Ordering::Relaxed);
        } else {
            word(first, COUNT).store(left, Ordering::Relaxed);
        }
        Some(first + left * DESCRIPTOR_BYTES)
    }

    pub(super) fn give_slot(&mut self, slot: usize) {
        self.free_slots += 1;
        self.link_slots(slot, 1);
    }

    fn link_slots(&mut self, first: usize, count: usize) {
        word(first, NEXT).store(self.slots, Ordering::Relaxed);
        word(first, COUNT).store(count, Ordering::Relaxed);
        self.slots = first;
    }

    /// Gives back what of the metadata describes nothing: descriptors, and the
    /// page map of units that are free.
    pub(super) fn purge_metadata(&mut self) {
        self.purge_map();
        if self.free_slots >= FEW {
            self.purge_slots();
        }
    }

    /// The entries of free pages are zero, and so is a page that was given back.
    fn purge_map(&mut self) {
        let mut from = 0;
        while let Some(first) = self.buddy.next_whole(from) {
            let mut end = first + 1;
            while self.buddy.next_whole(end) == Some(end) {
                end += 1;
            }
            let map = |unit: usize| window::map_address(unit * UNIT_PAGES as usize);
            purge_inside(map(first), map(end));
            from = end;
        }
    }

    /// Joins the free slots to ranges, lowest first, and gives back the whole
    /// pages in them.
    fn purge_slots(&mut self) {
        let (start, slots) = self.window.descriptors(DESCRIPTOR_BYTES);
        let Some(length) = memory::round_to_pages(slots.div_ceil(8)) else {
            return;
        };
        let Ok(scratch) = memory::map(length) else {
            return;
        };
        // SAFETY: the mapping is this long, zeroed, and nobody else's.
        let bits = unsafe { core::slice::from_raw_parts_mut(scratch as *mut u64, length / 8) };
        let mut at = self.slots;
        while at != 0 {
            let first = (at - start) / DESCRIPTOR_BYTES;
            for slot in first..first + word(at, COUNT).load(Ordering::Relaxed) {
                bits[slot / 64] |= 1 << (slot % 64);
            }
            at = word(at, NEXT).load(Ordering::Relaxed);
        }
        let is_free = |slot: usize| bits[slot / 64] >> (slot % 64) & 1 != 0;
        let mut end = slots;
        self.slots = 0;
        while end > 0 {
            let mut first = end;
            while first > 0 && is_free(first - 1) {
                first -= 1;
            }
            if first < end {
                let address = start + first * DESCRIPTOR_BYTES;
                self.link_slots(address, end - first);
                purge_inside(
                    address + (COUNT + 1) * size_of::<usize>(),
                    start + end * DESCRIPTOR_BYTES,
                );
            }
            end = first.saturating_sub(1);
        }
        // SAFETY: the mapping was made above, for this alone.
        unsafe { stranded::unmap(scratch, length) };
    }
}

/// Purges the whole OS pages of a range of metadata that holds nothing.
fn purge_inside(from: usize, to: usize) {
    let page = memory::page_size().max(PAGE);
    let (from, to) = (from.next_multiple_of(page), to / page * page);
    if from < to {
        // SAFETY: the range describes nothing, and reads of it may find zeros.
        unsafe { fresh::purge(from, to - from) };
    }
}
