//! How the window grows: spans, and the pools that are taken at the start.

use super::{
    Backing, FIRST_SPAN, LEAST_SPAN, LONGEST_SPAN, PAGE, PAGE_SHIFT, PageIndex, Pool, UNIT_PAGES,
    Zone, window,
};
use crate::options::{self, Id};
use crate::os::{memory, process};
use crate::pages::fresh::{self, Purpose};
use crate::text::Text;

const PAGES_2M: u32 = UNIT_PAGES;
const PAGES_1G: u32 = UNIT_PAGES << 9;

impl Zone {
    /// Maps more, so that a run of 2^k pages can be taken.
    pub(super) fn grow(&mut self, pages: u32) -> Option<()> {
        debug_assert!(pages.is_power_of_two());
        if self.fill_hole() {
            return Some(());
        }
        let end = window::pages() as u32;
        // What an aligned run needs from the end of the window on.
        let needed = end.next_multiple_of(pages) + pages - end;
        // In whole units, an eighth of what there is: the number of system
        // calls stays logarithmic, the surplus small.
        let pad = (options::growth() >> PAGE_SHIFT).min(1 << 20) as u32;
        let part = if self.is_to_be_proven() {
            0
        } else {
            self.mapped_pages as u32 / 8
        };
        let wanted = part.clamp(pad, LONGEST_SPAN.max(pad));
        let wanted = (end + needed.max(wanted)).next_multiple_of(UNIT_PAGES) - end;
        self.map_span(wanted)
            .or_else(|| self.map_span(needed.next_multiple_of(LEAST_SPAN)))
    }

    /// Chooses the window and maps its first span.
    pub(super) fn open(&mut self) -> Option<()> {
        let mapped = self
            .window
            .open(FIRST_SPAN)
            .or_else(|_| self.window.open(LEAST_SPAN))
            .ok()?;
        let (units, nodes) = self.window.buddy_storage();
        // SAFETY: the storage is mapped in step with the window, zeroed, and
        // only for this.
        unsafe {
            self.buddy.set_storage(units as *mut _, nodes as *mut _);
        }
        let os_page = (memory::page_size() / PAGE).trailing_zeros();
        self.buddy.set_grain(os_page as usize);
        self.count_mapped(mapped);
        // Page 0 is the descriptor nobody owns.
        self.buddy.give(PageIndex(1), mapped - 1, 0);
        self.take_pools();
        self.take_reserve();
        Some(())
    }

    /// Takes the pools of huge pages, as many as there are.
    fn take_pools(&mut self) {
        for (id, pages, shift) in [
            (Id::hugetlb_1g, PAGES_1G, 30),
            (Id::hugetlb_2m, PAGES_2M, 21),
        ] {
            let wanted = options::value(id).div_ceil(u64::from(pages) << PAGE_SHIFT);
            let got = if wanted > 0 {
                self.window.grow_pool(wanted as usize, pages, shift)
            } else {
                None
            };
            let count = got.map_or(0, |(_, count)| count as u64);
            if count < wanted {
                fell_short(id, count, wanted);
            }
            if let Some((first, count)) = got {
                let length = count as u32 * pages;
                self.count_mapped(length);
                self.buddy.give(first, length, 0);
                self.pools[usize::from(shift == 30)] = Pool {
                    first: first.0,
                    pages: length,
                };
            }
        }
    }

    /// Maps the reserve, as much of it as can be had, in spans.
    fn take_reserve(&mut self) {
        let wanted = (options::reserve() >> PAGE_SHIFT) as u32;
        let mut left = wanted.next_multiple_of(UNIT_PAGES);
        while left > 0 && self.map_span(left.min(UNIT_PAGES << 9)).is_some() {
            left -= left.min(UNIT_PAGES << 9);
        }
        if left > 0 {
            let wanted = wanted.next_multiple_of(UNIT_PAGES);
            fell_short(
                Id::reserve,
                u64::from((wanted - left) / UNIT_PAGES),
                u64::from(wanted / UNIT_PAGES),
            );
        }
        if wanted > 0 && left == 0 && options::prefault() {
            // A descriptor for each run of the shortest usual length.
            let slots = wanted as usize / 16 + 64;
            self.window
                .reserve_descriptors(slots * super::DESCRIPTOR_BYTES);
        }
    }

    pub(super) fn map_span(&mut self, pages: u32) -> Option<()> {
        let is_whole = |pages: usize| pages.is_multiple_of(UNIT_PAGES as usize);
        let huge = is_whole(window::pages()) && is_whole(pages as usize) && self.earns_huge_pages();
        let first = self.window.grow(pages, huge).ok()?;
        if huge {
            self.buddy.set_backing(first, pages, Backing::Huge);
        }
        self.grown.note(first, pages, huge);
        self.count_mapped(pages);
        self.buddy.give(first, pages, 0);
        Some(())
    }

    /// Maps a unit that was unmapped before.
    fn fill_hole(&mut self) -> bool {
        let Some(unit) = self.buddy.hole() else {
            return false;
        };
        let first = PageIndex(unit as u32 * UNIT_PAGES);
        let address = window::address_of(first);
        let huge = self.earns_huge_pages();
        let bytes = (UNIT_PAGES as usize) << PAGE_SHIFT;
        if fresh::map_at(address, bytes, Purpose::Blocks(huge)).is_err() {
            return false;
        }
        let backing = if huge { Backing::Huge } else { Backing::Pages };
        self.buddy.fill_hole(unit, backing);
        self.grown.note(first, UNIT_PAGES, huge);
        self.count_mapped(UNIT_PAGES);
        true
    }

    fn count_mapped(&mut self, pages: u32) {
        self.mapped_pages += pages as usize;
        self.peak_pages = self.peak_pages.max(self.mapped_pages);
    }
}

/// Says that the kernel has not given what was asked for at the start.
fn fell_short(id: Id, got: u64, wanted: u64) {
    let mut line = Text::<160>::new();
    line.text("bifold: BIFOLD_");
    line.capitals(options::TABLE[id as usize].name);
    line.text(": got ");
    line.decimal(got as usize);
    line.text(" of ");
    line.decimal(wanted as usize);
    line.text(match id {
        Id::hugetlb_1g => " pages of 1 GiB\n",
        Id::hugetlb_2m => " pages of 2 MiB\n",
        _ => " times 2 MiB\n",
    });
    process::write_stderr(line.bytes());
}
