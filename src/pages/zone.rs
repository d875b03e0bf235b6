//! The zone: runs of pages for slabs and for requests too long for a slab.
//!
//! It joins the buddy system, which knows indices, with the window, which
//! knows addresses. [`growth`] maps more, [`filled`] says in which pages, [`decay`] gives back, [`stretch`] cuts
//! runs of odd lengths, [`slots`] has the descriptors' memory.

#[cfg(any(test, debug_assertions))]
mod check;
mod decay;
mod filled;
mod growth;
mod slots;
mod stretch;

use super::buddy::{Backing, Buddy, MAX_ORDER, PageIndex, Run, UNIT_PAGES};
use super::peak::RecentPeak;
use super::window::{self, PAGE, PAGE_SHIFT, Window};
use super::{fresh, limit};
use crate::sync::{Lock, Locked, LockedGuard};

/// Pages of the first span, and the least by which the window grows when
/// memory is short.
const FIRST_SPAN: u32 = 256;
const LEAST_SPAN: u32 = 16;
/// Pages of the longest span: 16 MiB.
const LONGEST_SPAN: u32 = 4096;

/// Bytes in a descriptor slot: three cache lines; in a hardened build with the
/// marks of its blocks.
pub const DESCRIPTOR_BYTES: usize = if cfg!(feature = "hardened") {
    192 + 1024
} else {
    192
};

/// A taken run with a slot for its descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// The pages.
    pub run: Run,
    /// The address of [`DESCRIPTOR_BYTES`] bytes. They hold what the last
    /// user left there, zeros at first.
    pub descriptor: usize,
    /// Whether all its pages read as zero.
    pub zeroed: bool,
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
    /// Of that, in OS pages known to be clean: purged or never touched.
    pub clean: usize,
    /// Mapped for page map, descriptors and buddy system.
    pub metadata: usize,
    /// The most that `mapped` has been.
    pub peak_mapped: usize,
    /// Of `mapped`, the pools of 2 MiB and of 1 GiB pages.
    pub pools: [usize; 2],
    /// How many runs are taken; no bytes.
    pub taken: usize,
}

/// The window with its buddy system.
#[repr(C)]
pub struct Zone {
    window: Window,
    /// The rest of a unit that runs are being cut from.
    stretch: Run,
    /// Descriptor slots that are free: see [`slots`].
    slots: usize,
    free_slots: usize,
    /// The pools of 2 MiB and 1 GiB pages.
    pools: [Pool; 2],
    mapped_pages: usize,
    peak_pages: usize,
    /// How many runs are taken.
    taken: usize,
    /// The recent peak of pages in use.
    used: RecentPeak,
    /// When [`Zone::tick`] was last called.
    last_tick: u64,
    grown: filled::Grown,
    /// Pages purged since metadata was last looked through.
    purged: usize,
    /// Bytes charged to the limit.
    charged: usize,
    /// The last, being the longest.
    buddy: Buddy,
}

/// Pages of the window that are of a pool of huge pages.
#[derive(Clone, Copy, Debug)]
struct Pool {
    first: u32,
    pages: u32,
}

impl Pool {
    const NONE: Self = Self { first: 0, pages: 0 };

    fn has(&self, page: PageIndex) -> bool {
        page.0.wrapping_sub(self.first) < self.pages
    }
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
    free_slots: 0,
    pools: [Pool::NONE; 2],
    mapped_pages: 0,
    peak_pages: 0,
    taken: 0,
    used: RecentPeak::new(),
    last_tick: 0,
    grown: filled::Grown::nothing(),
    purged: 0,
    charged: 0,
});

/// Takes the lock of the zone.
pub fn lock() -> LockedGuard<'static, Zone> {
    ZONE.lock()
}

/// The zone's lock itself, for fork.
pub fn raw_lock() -> &'static Lock {
    ZONE.raw()
}

/// Opens the window, with what the options want of it at the start.
pub fn open() {
    let mut zone = lock();
    if !window::is_open() {
        // Without memory for it the first request fails, and is told so.
        let _ = zone.open();
    }
}

impl Zone {
    /// Takes a run of `pages` pages, at most a unit, aligned to `alignment`
    /// pages (a power of two), and a descriptor slot. `None`: out of memory, or
    /// beyond the limit.
    pub fn take(&mut self, pages: u32, alignment: u32) -> Option<Lease> {
        debug_assert!((1..=UNIT_PAGES).contains(&pages) && alignment <= UNIT_PAGES);
        let descriptor = self.take_slot()?;
        let run = if alignment > 1 {
            self.take_aligned(pages, alignment)
        } else {
            self.buddy.take_dirty(pages).or_else(|| {
                if pages.is_power_of_two() {
                    self.take_aligned(pages, 1)
                } else {
                    self.take_dense(pages)
                }
            })
        };
        let run = run.or_else(|| self.take_last(pages, alignment));
        let Some(run) = run else {
            self.give_slot(descriptor);
            return None;
        };
        self.lease(run, descriptor)
    }

    /// Makes a lease of a run that was just taken; `None`, beyond the limit.
    fn lease(&mut self, run: Run, descriptor: usize) -> Option<Lease> {
        if limit::is_on() && !self.charge() {
            self.buddy.put_back(run.first, run.pages);
            self.give_slot(descriptor);
            return None;
        }
        self.taken += 1;
        self.balance();
        Some(Lease {
            run,
            descriptor,
            zeroed: run.clean && self.clean_is_zero(run.first),
            guarded: false,
        })
    }

    /// Takes a run that is not in a pool of huge pages, whose parts the kernel
    /// treats alike.
    pub fn take_outside_pools(&mut self, pages: u32, alignment: u32) -> Option<Lease> {
        let pools = self.pools.iter().map(|pool| pool.first + pool.pages);
        let from = pools.max().unwrap_or(0).div_ceil(UNIT_PAGES) as usize;
        if from == 0 {
            return self.take(pages, alignment);
        }
        let descriptor = self.take_slot()?;
        let find = |zone: &mut Self| {
            let units = from..zone.units();
            zone.buddy.take_anywhere(pages, alignment, units)
        };
        let run = find(self).or_else(|| {
            self.grow(UNIT_PAGES)?;
            find(self)
        });
        let Some(run) = run else {
            self.give_slot(descriptor);
            return None;
        };
        self.lease(run, descriptor)
    }

    /// Whether a page is in a unit that a huge page backs.
    pub fn is_coarse(&mut self, page: PageIndex) -> bool {
        self.buddy.backing(page.0) == Backing::Huge
    }

    /// Whether a clean page reads as zero: not where it was given back lazily
    /// or, in a pool, for show.
    fn clean_is_zero(&self, page: PageIndex) -> bool {
        fresh::purged_reads_zero() && !self.pools.iter().any(|pool| pool.has(page))
    }

    /// Charges what has come into use to the limit, if need be after purging
    /// what is free. Returns `false` where it is too much all the same.
    #[cold]
    fn charge(&mut self) -> bool {
        let more = |zone: &Self| zone.committed().saturating_sub(zone.charged);
        let mut wanted = more(self);
        // What is resident and taken again is nothing more.
        if wanted > 0 && limit::is_above_soft(wanted) {
            self.purge();
            wanted = more(self);
        }
        if !limit::charge(wanted) {
            self.purge();
            wanted = more(self);
            if !limit::charge(wanted) {
                return false;
            }
        }
        self.charged += wanted;
        true
    }

    /// Takes back what is charged for memory that is clean again.
    fn settle_charge(&mut self) {
        if self.charged == 0 {
            // Without a limit nothing ever is.
            return;
        }
        let less = self.charged.saturating_sub(self.committed());
        if less > 0 {
            limit::uncharge(less);
            self.charged -= less;
        }
    }

    /// Bytes of metadata mapped.
    fn metadata_bytes(&self) -> usize {
        self.window.metadata().iter().map(|range| range.1).sum()
    }

    /// Bytes that may have memory behind them.
    fn committed(&self) -> usize {
        let pages = self.mapped_pages - self.buddy.free_pages().1;
        (pages << PAGE_SHIFT) + self.metadata_bytes()
    }

    fn take_aligned(&mut self, pages: u32, alignment: u32) -> Option<Run> {
        self.buddy.take(pages, alignment, MAX_ORDER).or_else(|| {
            self.grow(pages.max(alignment).next_power_of_two())?;
            self.buddy.take(pages, alignment, MAX_ORDER)
        })
    }

    /// Takes a run where memory is short: a place that is no power of two,
    /// if need be with the last pages that can be mapped.
    fn take_last(&mut self, pages: u32, alignment: u32) -> Option<Run> {
        self.close_stretch();
        let units = 0..self.units();
        self.buddy
            .take_anywhere(pages, alignment, units)
            .or_else(|| {
                self.map_span(pages.next_multiple_of(LEAST_SPAN))?;
                let units = 0..self.units();
                self.buddy.take_anywhere(pages, alignment, units)
            })
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
            ..
        } = lease;
        debug_assert!(!guarded);
        let dirty = if run.clean {
            dirty.min(run.pages)
        } else {
            run.pages
        };
        self.buddy.give(run.first, run.pages, dirty);
        self.give_slot(descriptor);
        self.settle_charge();
        self.taken -= 1;
        self.balance();
    }

    /// Makes a run longer in place by `more` pages. Returns whether they
    /// were free, and then whether they are clean.
    pub fn extend(&mut self, end: PageIndex, more: u32) -> Option<bool> {
        if (end.0 + more) as usize > window::pages() {
            return None;
        }
        let clean = self.buddy.take_range(end, more)?;
        if limit::is_on() && !self.charge() {
            self.buddy.put_back(end, more);
            return None;
        }
        Some(clean)
    }

    /// Gives part of a run back that was taken and not used.
    ///
    /// # Safety
    ///
    /// The pages are the caller's and nothing refers to them.
    pub unsafe fn put_back(&mut self, first: PageIndex, pages: u32) {
        self.buddy.put_back(first, pages);
        self.settle_charge();
    }

    /// Gives the tail of a run back.
    ///
    /// # Safety
    ///
    /// The pages are the caller's and nothing refers to them.
    pub unsafe fn shorten(&mut self, first: PageIndex, pages: u32) {
        self.buddy.give(first, pages, pages);
        self.balance();
    }

    /// What the zone has.
    pub fn figures(&mut self) -> Figures {
        self.close_stretch();
        let (free, clean) = self.buddy.free_pages();
        Figures {
            mapped: self.mapped_pages << PAGE_SHIFT,
            free: free << PAGE_SHIFT,
            clean: clean << PAGE_SHIFT,
            metadata: self.metadata_bytes(),
            peak_mapped: self.peak_pages << PAGE_SHIFT,
            pools: self.pools.map(|pool| (pool.pages as usize) << PAGE_SHIFT),
            taken: self.taken,
        }
    }

    /// Where the metadata lies: addresses and bytes mapped.
    pub fn metadata(&self) -> [(usize, usize); 4] {
        self.window.metadata()
    }
}
