//! When free memory goes back to the kernel.
//!
//! A program that has needed so much a moment ago may again: as long as what
//! it uses and what is free and resident stay below the *recent peak* of what
//! it used, together, free memory stays. The peak is forgotten after one to two
//! purge delays; what is kept beyond need then goes back at the pace at which
//! somebody comes by. A busy program comes by often and gives little each time;
//! an idle one seldom, and gives all.

use super::{Backing, PAGE_SHIFT, PageIndex, UNIT_PAGES, Zone, window};
use crate::options::{self, Purge};
use crate::os::{memory, process};
use crate::pages::{due, fresh};

/// The pages to purge at a time while the program takes and gives runs: few system
/// calls, and none that takes more than some ten microseconds.
const PURGE_LEAST: usize = 64;
/// After so many purged pages their metadata may be worth to go back, too.
const MUCH: usize = 1024;
/// Pages that are free beyond what may stay for which somebody is to come by,
/// once nobody may need them any more: 2 MiB.
const WORTH_A_VISIT: usize = 512;
/// The order of the shortest run that is worth a system call: 64 KiB.
const PURGE_ORDER: usize = 4;
/// The most shorter runs to purge at a time.
const SHORT_MOST: usize = 512;

/// Tells the kernel what a page's unit is to be backed with.
fn advise(page: PageIndex, backing: Backing) {
    let unit = PageIndex(page.0 / UNIT_PAGES * UNIT_PAGES);
    let bytes = (UNIT_PAGES as usize) << PAGE_SHIFT;
    memory::advise_huge(window::address_of(unit), bytes, backing == Backing::Huge);
}

impl Zone {
    /// Pages in runs.
    pub(super) fn used_pages(&self) -> usize {
        self.mapped_pages - self.buddy.free_pages().0
    }

    /// Pages that are free and may be resident, and how many of them are too
    /// many, at present and when the peak is forgotten.
    fn excess(&mut self, now: u64) -> (usize, usize) {
        let (free, clean) = self.buddy.free_pages();
        let used = self.mapped_pages - free;
        let peak = self.used.note(used, now / options::purge_delay());
        let mut spare = used / 16 + (options::spare() >> PAGE_SHIFT);
        if self.buddy.has_coarse() {
            // The one that runs are being taken from is free but for these.
            spare += UNIT_PAGES as usize;
        }
        let dirty = free - clean;
        (
            dirty.saturating_sub(peak - used + spare),
            dirty.saturating_sub(spare),
        )
    }

    /// Purges what is too much, after a run was taken or given.
    #[inline]
    pub(super) fn balance(&mut self) {
        match options::purge() {
            Purge::Never => {}
            Purge::Now => {
                self.purge_pages(usize::MAX, 0);
            }
            Purge::Delayed => self.balance_delayed(),
        }
    }

    fn balance_delayed(&mut self) {
        let now = process::coarse_milliseconds();
        let (excess, later) = self.excess(now);
        if excess >= PURGE_LEAST && !self.used.is_resting() {
            let purged = self.purge_pages(PURGE_LEAST, PURGE_ORDER);
            if purged == 0 {
                // Locked pages, or many short runs: not worth another try
                // before long.
                self.used.rest();
            }
        }
        if later >= WORTH_A_VISIT {
            self.come_again(now, false);
        }
    }

    /// Has [`Zone::tick`] called once there is something to do.
    fn come_again(&self, now: u64, soon: bool) {
        let delay = options::purge_delay();
        due::request(if soon {
            now + due::AGAIN
        } else {
            (now / delay + 1) * delay
        });
    }

    /// Purges what is too much by now. Returns whether that was anything.
    pub fn tick(&mut self, now: u64) -> bool {
        if options::purge() != Purge::Delayed {
            return false;
        }
        let elapsed = now.wrapping_sub(self.last_tick);
        self.last_tick = now;
        let (excess, later) = self.excess(now);
        let share = due::share(excess, elapsed).max(PURGE_LEAST);
        let mut purged = 0;
        if excess >= PURGE_LEAST {
            purged = self.purge_pages(share, PURGE_ORDER);
            if purged < share {
                purged += self.purge_pages((share - purged).min(SHORT_MOST), 0);
            }
        }
        let refused = excess >= PURGE_LEAST && purged == 0;
        if later >= PURGE_LEAST + purged && !refused {
            self.come_again(now, excess >= PURGE_LEAST + purged);
        } else if self.purged >= MUCH {
            self.purged = 0;
            self.purge_metadata();
        }
        purged > 0
    }

    /// Purges about so many pages of free runs of an order or longer, the
    /// longest first. Returns how many.
    pub(super) fn purge_pages(&mut self, pages: usize, least: usize) -> usize {
        let pools = self.pools;
        let purge = |first: PageIndex, pages: u32, backing: Option<Backing>| {
            if pools.iter().any(|pool| pool.has(first)) {
                // What is in a pool has no other use, so it counts as purged.
                return true;
            }
            if let Some(backing) = backing {
                advise(first, backing);
            }
            // SAFETY: the run is free, so its contents are dead, and the
            // zone's lock keeps it free.
            unsafe { fresh::purge(window::address_of(first), (pages as usize) << PAGE_SHIFT) }
        };
        let purged = self.buddy.purge(least, pages, purge);
        self.purged = self.purged.saturating_add(purged);
        self.settle_charge();
        purged
    }

    /// Has the units of a range backed by pages, so that the kernel does not make huge
    /// ones of them again when parts are purged. Returns whether they are: not where
    /// too many units are so already.
    pub fn split(&mut self, first: PageIndex, end: PageIndex) -> bool {
        let mut units = first.0 / UNIT_PAGES..end.0.div_ceil(UNIT_PAGES);
        units.all(|unit| {
            let page = unit * UNIT_PAGES;
            let advise = |backing| advise(PageIndex(page), backing);
            self.buddy.split(page, advise)
        })
    }

    /// Purges every free run that is not clean, and metadata that describes
    /// nothing. Returns the bytes of the runs: whether the metadata had memory
    /// behind it is not known.
    pub fn purge(&mut self) -> usize {
        self.purge_beyond(0)
    }

    /// [`Zone::purge`], but for so many bytes, or a few more, that stay.
    pub fn purge_beyond(&mut self, spare: usize) -> usize {
        self.close_stretch();
        let (free, clean) = self.buddy.free_pages();
        let pages = (free - clean).saturating_sub(spare >> PAGE_SHIFT);
        let purged = self.purge_pages(pages, 0) << PAGE_SHIFT;
        self.purge_metadata();
        purged
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
            let page = unit as u32 * UNIT_PAGES;
            let address = window::address_of(PageIndex(page));
            let is_pool = self.pools.iter().any(|pool| pool.has(PageIndex(page)));
            // SAFETY: the unit is wholly free, so nothing refers to it.
            if !is_pool && unsafe { memory::unmap(address, UNIT_BYTES) } {
                unmapped += UNIT_BYTES;
                self.mapped_pages -= UNIT_PAGES as usize;
            } else {
                self.buddy.restore_hole(unit);
            }
            from = unit + 1;
        }
        self.settle_charge();
        unmapped
    }
}
