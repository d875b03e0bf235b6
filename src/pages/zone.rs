//! The zone: runs of pages for slabs and for requests too long for a slab.
//!
//! It joins the buddy system, which knows indices, with the window, which
//! knows addresses, and decides when to map more and what to give back.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::buddy::{Buddy, MAX_ORDER, PageIndex, Run, UNIT_PAGES};
use super::peak::RecentPeak;
use super::window::{self, PAGE, PAGE_SHIFT, Window};
use crate::os::memory;
use crate::sync::{Lock, Locked, LockedGuard};

/// Pages of the first span, and the least by which the window grows when
/// memory is short.
const FIRST_SPAN: u32 = 256;
const LEAST_SPAN: u32 = 16;
/// Pages of the longest span: 16 MiB.
const LONGEST_SPAN: u32 = 4096;

/// Pages that may be free and resident in any case.
const SPARE: usize = 128;
/// The least and the most pages to purge at a time: few system calls, and
/// none that takes long.
const PURGE_LEAST: usize = 64;
const PURGE_MOST: usize = 1024;
/// The order of the shortest run that is worth a system call: 64 KiB.
const PURGE_ORDER: usize = 4;

/// Bytes in a descriptor slot: three cache lines.
pub const DESCRIPTOR_BYTES: usize = 192;

/// A taken run with a slot for its descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// The pages.
    pub run: Run,
    /// The address of [`DESCRIPTOR_BYTES`] bytes. They hold what the last
    /// user left there, zeros at first.
    pub descriptor: usize,
    /// Whether the run lies between guards; see `pages::guarded`.
    pub guarded: bool,
}

/// What the zone has, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Mapped for blocks.
    pub mapped: usize,
    /// Of that, in no run.
    pub free: usize,
    /// Of that, known to be clean: purged or never touched.
    pub clean: usize,
    /// Mapped for page map, descriptors and buddy system.
    pub metadata: usize,
    /// The most that `mapped` has been.
    pub peak_mapped: usize,
}

/// The window with its buddy system.
pub struct Zone {
    window: Window,
    buddy: Buddy,
    /// The rest of a unit that runs are being cut from.
    stretch: Run,
    /// Descriptor slots given back, linked through their first word.
    slots: usize,
    mapped_pages: usize,
    peak_pages: usize,
    /// The recent peak of pages in use.
    used: RecentPeak,
    /// How many pages a span has at least (`M_TOP_PAD`).
    pad: u32,
}

static ZONE: Locked<Zone> = Locked::new(Zone {
    window: Window::none(),
    buddy: Buddy::unmapped(),
    stretch: Run {
        first: PageIndex(0),
        pages: 0,
        clean: false,
    },
    slots: 0,
    mapped_pages: 0,
    peak_pages: 0,
    used: RecentPeak::new(),
    pad: 0,
});

/// Takes the lock of the zone.
pub fn lock() -> LockedGuard<'static, Zone> {
    ZONE.lock()
}

/// The zone's lock itself, for fork.
pub fn raw_lock() -> &'static Lock {
    ZONE.raw()
}

/// Sets by how many bytes the window grows at least (`M_TOP_PAD`).
pub fn set_growth(bytes: usize) {
    lock().pad = (bytes >> PAGE_SHIFT).min(1 << 20) as u32;
}

impl Zone {
    /// Takes a run of `pages` pages, at most a unit, aligned to `alignment`
    /// pages (a power of two), and a descriptor slot. `None`: out of memory.
    pub fn take(&mut self, pages: u32, alignment: u32) -> Option<Lease> {
        debug_assert!((1..=UNIT_PAGES).contains(&pages) && alignment <= UNIT_PAGES);
        let descriptor = self.take_slot()?;
        let run = if pages.is_power_of_two() || alignment > 1 {
            self.take_aligned(pages, alignment)
        } else {
            self.take_dense(pages)
        };
        let run = run.or_else(|| self.take_last(pages, alignment));
        let Some(run) = run else {
            self.give_slot(descriptor);
            return None;
        };
        self.balance();
        Some(Lease {
            run,
            descriptor,
            guarded: false,
        })
    }

    /// Purges free runs as long as what is resident exceeds the recent peak
    /// of what was in use by more than a little: pages that nobody found use
    /// for make room for those that are about to be touched, and go back when
    /// the program needs less.
    fn balance(&mut self) {
        let (free, clean) = self.buddy.free_pages();
        let used = self.mapped_pages - free;
        let spare = self.used.note(used) - used + used / 16 + SPARE;
        let excess = (free - clean).saturating_sub(spare);
        if excess >= PURGE_LEAST && !self.used.is_resting() {
            let purged = self.purge_pages(excess.min(PURGE_MOST), PURGE_ORDER);
            if purged == 0 {
                // Locked pages, or many short runs: not worth another try
                // before long.
                self.used.rest();
            }
        }
    }

    /// Purges about so many pages of free runs of an order or longer, the
    /// longest first. Returns how many.
    fn purge_pages(&mut self, pages: usize, least: usize) -> usize {
        let os_page = (memory::page_size() / PAGE).trailing_zeros() as usize;
        self.buddy.purge(least.max(os_page), pages, |first, pages| {
            // SAFETY: the run is free, so its contents are dead, and the
            // zone's lock keeps it free.
            unsafe { memory::purge(window::address_of(first), (pages as usize) << PAGE_SHIFT) }
        })
    }

    fn take_aligned(&mut self, pages: u32, alignment: u32) -> Option<Run> {
        self.buddy.take(pages, alignment, MAX_ORDER).or_else(|| {
            self.grow(pages.max(alignment).next_power_of_two())?;
            self.buddy.take(pages, alignment, MAX_ORDER)
        })
    }

    /// Takes a run whose length is not a power of two. Where no part of a
    /// unit serves, such runs are cut one behind the other from whole ones,
    /// the *stretch*, which wastes nothing between them.
    fn take_dense(&mut self, pages: u32) -> Option<Run> {
        if let Some(run) = self.buddy.take(pages, 1, MAX_ORDER - 1) {
            return Some(run);
        }
        if self.stretch.pages < pages && !self.lengthen_stretch(false) {
            // Units that are there come before new ones.
            if let Some(unit) = self.buddy.take(UNIT_PAGES, 1, MAX_ORDER) {
                self.close_stretch();
                self.stretch = unit;
            } else if !self.lengthen_stretch(true) {
                self.close_stretch();
                self.stretch = self.take_aligned(UNIT_PAGES, 1)?;
            }
        }
        let run = Run {
            pages,
            ..self.stretch
        };
        self.stretch.first.0 += pages;
        self.stretch.pages -= pages;
        Some(run)
    }

    /// Adds the unit behind the stretch to it, if that is free, or, where the
    /// window ends there and may `grow`, new.
    fn lengthen_stretch(&mut self, grow: bool) -> bool {
        let end = self.stretch.first.0 + self.stretch.pages;
        if self.stretch.pages == 0 || !end.is_multiple_of(UNIT_PAGES) {
            return false;
        }
        if end as usize == window::pages() && (!grow || self.grow(UNIT_PAGES).is_none())
            || end as usize + UNIT_PAGES as usize > window::pages()
        {
            return false;
        }
        let Some(clean) = self.buddy.take_range(PageIndex(end), UNIT_PAGES) else {
            return false;
        };
        self.stretch.pages += UNIT_PAGES;
        self.stretch.clean &= clean;
        true
    }

    /// Takes a run where memory is short: a place that is no power of two,
    /// if need be with the last pages that can be mapped.
    fn take_last(&mut self, pages: u32, alignment: u32) -> Option<Run> {
        self.close_stretch();
        let units = self.units();
        self.buddy
            .take_anywhere(pages, alignment, units)
            .or_else(|| {
                self.map_span(pages.next_multiple_of(LEAST_SPAN))?;
                let units = self.units();
                self.buddy.take_anywhere(pages, alignment, units)
            })
    }

    /// Gives back what is left of the stretch.
    fn close_stretch(&mut self) {
        let Run {
            first,
            pages,
            clean,
        } = self.stretch;
        self.stretch.pages = 0;
        self.buddy.give(first, pages, if clean { 0 } else { pages });
    }

    fn units(&self) -> usize {
        window::pages().div_ceil(UNIT_PAGES as usize)
    }

    /// Gives a run back with its descriptor slot. Its first `dirty` pages
    /// may have been written to.
    ///
    /// # Safety
    ///
    /// The run and the slot were taken together, nothing refers to them, and
    /// no page-map entry names the slot.
    pub unsafe fn give(&mut self, lease: Lease, dirty: u32) {
        let Lease {
            run,
            descriptor,
            guarded,
        } = lease;
        debug_assert!(!guarded);
        let dirty = if run.clean {
            dirty.min(run.pages)
        } else {
            run.pages
        };
        self.buddy.give(run.first, run.pages, dirty);
        self.give_slot(descriptor);
        self.balance();
    }

    /// Makes a run longer in place by `more` pages. Returns whether they
    /// were free, and then whether they are clean.
    pub fn extend(&mut self, end: PageIndex, more: u32) -> Option<bool> {
        if (end.0 + more) as usize > window::pages() {
            return None;
        }
        self.buddy.take_range(end, more)
    }

    /// Gives the tail of a run back.
    ///
    /// # Safety
    ///
    /// The pages are the caller's and nothing refers to them.
    pub unsafe fn shorten(&mut self, first: PageIndex, pages: u32) {
        self.buddy.give(first, pages, pages);
    }

    /// Purges every free run that is not clean. Returns the bytes purged.
    pub fn purge(&mut self) -> usize {
        self.close_stretch();
        self.purge_pages(usize::MAX, 0) << PAGE_SHIFT
    }

    /// Unmaps free units until `bytes` are gone or none is left, so that
    /// another kind of request can have the address space. Returns the bytes
    /// unmapped.
    pub fn unmap(&mut self, bytes: usize) -> usize {
        const UNIT_BYTES: usize = (UNIT_PAGES as usize) << PAGE_SHIFT;
        self.close_stretch();
        let (mut unmapped, mut from) = (0, 0);
        while unmapped < bytes {
            let Some(unit) = self.buddy.dig_hole(from) else {
                break;
            };
            let address = window::address_of(PageIndex(unit as u32 * UNIT_PAGES));
            // SAFETY: the unit is wholly free, so nothing refers to it.
            if unsafe { memory::unmap(address, UNIT_BYTES) } {
                unmapped += UNIT_BYTES;
                self.mapped_pages -= UNIT_PAGES as usize;
            } else {
                self.buddy.restore_hole(unit);
            }
            from = unit + 1;
        }
        unmapped
    }

    /// What the zone has.
    pub fn figures(&mut self) -> Figures {
        self.close_stretch();
        let (free, clean) = self.buddy.free_pages();
        Figures {
            mapped: self.mapped_pages << PAGE_SHIFT,
            free: free << PAGE_SHIFT,
            clean: clean << PAGE_SHIFT,
            metadata: self.window.metadata(),
            peak_mapped: self.peak_pages << PAGE_SHIFT,
        }
    }

    /// Whether buddy system and counters are consistent.
    #[cfg(debug_assertions)]
    pub fn is_valid(&mut self) -> bool {
        let units = self.units();
        self.buddy.is_valid(units)
    }

    /// Maps more, so that a run of 2^k pages can be taken.
    fn grow(&mut self, pages: u32) -> Option<()> {
        debug_assert!(pages.is_power_of_two());
        if self.fill_hole() {
            return Some(());
        }
        let end = window::pages() as u32;
        // What an aligned run needs from the end of the window on.
        let needed = end.next_multiple_of(pages) + pages - end;
        // In whole units, an eighth of what there is: the number of system
        // calls stays logarithmic, the surplus small.
        let wanted = (window::pages() as u32 / 8).clamp(self.pad, LONGEST_SPAN.max(self.pad));
        let wanted = (end + needed.max(wanted)).next_multiple_of(UNIT_PAGES) - end;
        self.map_span(wanted)
            .or_else(|| self.map_span(needed.next_multiple_of(LEAST_SPAN)))
    }

    /// Chooses the window and maps its first span.
    fn open(&mut self) -> Option<()> {
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
        self.count_mapped(mapped);
        // Page 0 is the descriptor nobody owns.
        self.buddy.give(PageIndex(1), mapped - 1, 0);
        Some(())
    }

    fn map_span(&mut self, pages: u32) -> Option<()> {
        let first = self.window.grow(pages).ok()?;
        self.count_mapped(pages);
        self.buddy.give(first, pages, 0);
        Some(())
    }

    /// Maps a unit that was unmapped before.
    fn fill_hole(&mut self) -> bool {
        let Some(unit) = self.buddy.hole() else {
            return false;
        };
        let address = window::address_of(PageIndex(unit as u32 * UNIT_PAGES));
        if memory::map_at(address, (UNIT_PAGES as usize) << PAGE_SHIFT).is_err() {
            return false;
        }
        self.buddy.fill_hole(unit);
        self.count_mapped(UNIT_PAGES);
        true
    }

    fn count_mapped(&mut self, pages: u32) {
        self.mapped_pages += pages as usize;
        self.peak_pages = self.peak_pages.max(self.mapped_pages);
    }

    fn take_slot(&mut self) -> Option<usize> {
        if !window::is_open() {
            self.open()?;
        }
        if self.slots == 0 {
            return self.window.new_descriptor(DESCRIPTOR_BYTES);
        }
        let slot = self.slots;
        // SAFETY: a slot given back holds the next one in its first word.
        self.slots = unsafe { &*(slot as *const AtomicUsize) }.load(Ordering::Relaxed);
        Some(slot)
    }

    fn give_slot(&mut self, slot: usize) {
        // SAFETY: the slot is nobody's now. Other threads may still read a
        // descriptor that was there, and find nothing that they own.
        unsafe { &*(slot as *const AtomicUsize) }.store(self.slots, Ordering::Relaxed);
        self.slots = slot;
    }
}
