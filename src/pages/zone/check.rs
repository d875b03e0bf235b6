//! The check: whether window, buddy system, descriptor slots and counters agree.

use core::sync::atomic::Ordering;

use super::slots::{COUNT, HOLDER, NEXT, word};
use super::{DESCRIPTOR_BYTES, PageIndex, UNIT_PAGES, Zone, window};
use crate::fatal::{Broken, Checked, ensure};

impl Zone {
    /// Whether all of it is consistent. Returns how much was looked at: pages,
    /// and free slots.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn check(&mut self) -> Result<usize, Broken> {
        self.window.check()?;
        if !window::is_open() {
            return Ok(0);
        }
        let units = self.units();
        ensure(
            self.buddy.is_valid(units),
            "free pages that do not add up",
            window::base(),
        )?;
        let (free, clean) = self.buddy.free_pages();
        ensure(
            clean <= free && free <= self.mapped_pages && self.mapped_pages <= window::pages(),
            "more free pages than there are",
            window::base(),
        )?;
        for unit in 0..units {
            let first = unit * UNIT_PAGES as usize;
            let buddy = &mut self.buddy;
            self.window
                .check_map(first, UNIT_PAGES as usize, DESCRIPTOR_BYTES, |page| {
                    buddy.is_free(page)
                })?;
        }
        self.check_stretch()?;
        self.check_slots()?;
        Ok(units * UNIT_PAGES as usize + self.free_slots)
    }

    /// Whether what is left of the stretch is in the window, and in no run.
    fn check_stretch(&mut self) -> Checked {
        let (first, pages) = (self.stretch.first.0, self.stretch.pages);
        for page in first..first + pages {
            let is_taken = (page as usize) < window::pages() && !self.buddy.is_free(page);
            ensure(
                is_taken && window::entry_of(page as usize).is_none(),
                "a stretch in use",
                window::address_of(PageIndex(page)),
            )?;
        }
        Ok(())
    }

    /// Whether the free descriptor slots are as many as are counted, all of them
    /// slots and in no heap, and the rest is taken.
    fn check_slots(&self) -> Checked {
        let (start, slots) = self.window.descriptors(DESCRIPTOR_BYTES);
        let is_slot = |slot: usize| {
            let offset = slot.wrapping_sub(start);
            offset < slots * DESCRIPTOR_BYTES && offset.is_multiple_of(DESCRIPTOR_BYTES)
        };
        let (mut at, mut count) = (self.slots, 0);
        while at != 0 {
            ensure(is_slot(at), "a free descriptor that is none", at)?;
            let length = word(at, COUNT).load(Ordering::Relaxed);
            let end = at + length.saturating_sub(1) * DESCRIPTOR_BYTES;
            ensure(
                length > 0 && length <= slots && is_slot(end),
                "free descriptors beyond their end",
                at,
            )?;
            for slot in (at..=end).step_by(DESCRIPTOR_BYTES) {
                let holder = word(slot, HOLDER).load(Ordering::Relaxed);
                ensure(holder == 0, "a free descriptor with a holder", slot)?;
            }
            count += length;
            ensure(count <= self.free_slots, "free descriptors in a loop", at)?;
            at = word(at, NEXT).load(Ordering::Relaxed);
        }
        ensure(
            count == self.free_slots && self.free_slots + self.taken == slots,
            "descriptors that do not add up",
            start,
        )
    }

    /// Breaks one of the counters, for a test; the other call undoes it.
    #[cfg(test)]
    fn poke(&mut self, what: Poke) {
        match what {
            Poke::Window => self.window.poke(),
            Poke::Buddy => self.buddy.poke(0),
            Poke::Slots => self.free_slots ^= 1 << 20,
            Poke::Taken => self.taken ^= 1,
        }
    }
}

#[cfg(test)]
#[derive(Clone, Copy, Debug)]
enum Poke {
    Window,
    Buddy,
    Slots,
    Taken,
}

#[cfg(test)]
mod tests {
    use super::Poke;
    use crate::pages::zone;

    #[test]
    fn a_broken_zone_is_found() {
        let mut zone = zone::lock();
        let lease = zone.take(3, 1).expect("memory");
        assert!(zone.check().is_ok());
        for (poke, what) in [
            (Poke::Window, "metadata that is not mapped"),
            (Poke::Buddy, "free pages that do not add up"),
            (Poke::Slots, "descriptors that do not add up"),
            (Poke::Taken, "descriptors that do not add up"),
        ] {
            zone.poke(poke);
            let broken = zone.check().expect_err("the check finds it");
            assert_eq!(broken.what, what, "{poke:?}");
            zone.poke(poke);
            assert!(zone.check().is_ok(), "{poke:?}");
        }
        // SAFETY: the run was taken above, and nobody has it.
        unsafe { zone.give(lease, 0) };
    }

    #[test]
    fn a_page_map_entry_that_must_not_be_is_found() {
        let mut zone = zone::lock();
        let lease = zone.take(1, 1).expect("memory");
        let first = lease.run.first;
        for (wrong, what) in [
            (
                lease.descriptor + 8,
                "a page-map entry that names no descriptor",
            ),
            (lease.descriptor, "a page-map entry of a free page"),
        ] {
            crate::pages::window::set_descriptor(first, 1, Some(wrong));
            if what.ends_with("page") {
                // SAFETY: the run was taken above, and nobody has it.
                unsafe { zone.give(lease, 0) };
            }
            let broken = zone.check().expect_err("the check finds it");
            assert_eq!(broken.what, what);
            crate::pages::window::set_descriptor(first, 1, None);
        }
        assert!(zone.check().is_ok());
    }
}
