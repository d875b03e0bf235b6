//! The buddy system: which pages of the window are free, in runs.
//!
//! A *run* of order k is 2^k pages, aligned to its size. Taking splits a
//! larger run in two halves; giving back joins a run with its buddy,
//! `index ^ (1 << order)`, as long as that is free too. What a request does
//! not need of its run goes back at once as smaller runs.
//!
//! The state is bits. Pages are grouped in *units* of 512 (2 MiB, a huge
//! page), and no run is longer than a unit:
//!
//! ```text
//! Unit   free[state]: 512 bits for order 0, 256 for order 1, .. 1 for order 9
//!        clean:       512 bits, one for each page known to read as zero
//!        pages:       512 bits, one for each free page
//! Node   for each (state, order) 64 bits: which of 64 children has such a run
//!
//!        top[2] -> level2[128] -> level1[8192] -> units[524288]
//! ```
//!
//! A free run is in one of two states: *clean*, all its pages read as zero
//! and most likely have no memory behind them, or *dirty*. Dirty runs are
//! taken first, because a page that is resident costs nothing to touch.
//!
//! It is pure: it knows indices, never addresses, and maps nothing.
//!
//! [`unit`] has the bits of one unit, [`backing`] what the kernel does about it,
//! [`tree`] finds the units that have a kind of run, [`range`] places of any
//! length across runs, [`check`] says whether all of it is consistent.

mod backing;
#[cfg(any(test, debug_assertions))]
mod check;
mod range;
mod tree;
mod unit;

#[cfg(test)]
mod tests;

use core::mem;
use core::ops::Range;
use core::ptr;

use tree::{HOLE, kind_of, parts_of};
use unit::{State, words_of};

pub use backing::Backing;
pub use tree::Node;
pub use unit::Unit;

/// The number of a page in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageIndex(pub u32);

/// The order of the longest run: a unit.
pub const MAX_ORDER: usize = 9;
/// The pages of a unit.
pub const UNIT_PAGES: u32 = 1 << MAX_ORDER;
/// The most units a buddy system can have.
pub const MAX_UNITS: usize = 2 * FAN * FAN * FAN;

const FAN: usize = 64;
const ORDERS: usize = MAX_ORDER + 1;
/// The order of the longest OS page: 64 KiB.
const MAX_GRAIN: usize = 4;
/// After so many purges that failed no more are tried in one go.
const PURGE_FAILURES: u32 = 8;

/// The bytes of a unit's state, and of a node's.
pub const UNIT_BYTES: usize = mem::size_of::<Unit>();
/// See [`UNIT_BYTES`].
pub const NODE_BYTES: usize = mem::size_of::<Node>();
/// The units that one node of the lowest level stands for.
pub const NODE_UNITS: usize = FAN;

/// A run that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its first page.
    pub first: PageIndex,
    /// How many pages, exactly as many as were asked for.
    pub pages: u32,
    /// Whether all its pages are known to read as zero.
    pub clean: bool,
}

/// The free runs of a whole window. What a small heap needs comes first, in as few
/// pages as possible.
#[repr(C)]
pub struct Buddy {
    units: *mut Unit,
    level1: *mut Node,
    free_pages: usize,
    clean_pages: usize,
    /// The order of an OS page: the kernel gives memory for so many pages at once.
    grain: usize,
    split_units: usize,
    coarse_units: usize,
    /// The kinds that any unit has, a bit for each.
    present: u32,
    top: [Node; 2],
    level2: [Node; FAN * 2],
}

// SAFETY: the pointers are to storage that only this value reaches.
unsafe impl Send for Buddy {}

/// The order of the shortest run with at least this many pages.
fn order_for(pages: u32) -> usize {
    pages.next_power_of_two().trailing_zeros() as usize
}

impl Buddy {
    /// A buddy system without storage, which must not be used yet.
    pub const fn unmapped() -> Self {
        Self {
            units: ptr::null_mut(),
            level1: ptr::null_mut(),
            level2: [Node::EMPTY; FAN * 2],
            top: [Node::EMPTY; 2],
            free_pages: 0,
            clean_pages: 0,
            grain: 0,
            split_units: 0,
            coarse_units: 0,
            present: 0,
        }
    }

    /// Gives the buddy system its storage, zeroed: a [`Unit`] for every 512
    /// pages that it is ever given, and a [`Node`] for every 64 units.
    ///
    /// # Safety
    ///
    /// The storage outlives the buddy system and nobody else uses it. It may
    /// be mapped later than this, but before the pages it is for are given.
    pub unsafe fn set_storage(&mut self, units: *mut Unit, level1: *mut Node) {
        self.units = units;
        self.level1 = level1;
    }

    /// Sets the order of an OS page, up to [`MAX_GRAIN`], before any page is given.
    pub fn set_grain(&mut self, order: usize) {
        debug_assert!(order <= MAX_GRAIN && self.free_pages == 0);
        self.grain = order;
    }

    /// Pages that are free, and of those the pages in OS pages that are wholly
    /// free and known to be clean: the others may have memory behind them.
    pub fn free_pages(&self) -> (usize, usize) {
        (self.free_pages, self.clean_pages)
    }

    /// The pages of the unit of a page that are taken, a bit for each.
    pub fn taken_in(&mut self, page: u32) -> [u64; (UNIT_PAGES / 64) as usize] {
        self.unit((page / UNIT_PAGES) as usize)
            .pages
            .map(|free| !free)
    }

    /// Gives a range of pages to the buddy system: new ones, or a run that is
    /// no longer used. Its first `dirty` pages may hold anything; the rest
    /// are known to read as zero.
    ///
    /// Part of a coarse unit is resident as the whole is.
    pub fn give(&mut self, first: PageIndex, pages: u32, dirty: u32) {
        debug_assert!(dirty <= pages);
        let dirty = if pages < UNIT_PAGES && pages > 0 && self.backing(first.0) == Backing::Huge {
            pages
        } else {
            dirty
        };
        self.set_clean(first.0, dirty, false);
        self.set_clean(first.0 + dirty, pages - dirty, true);
        self.put_back(first, pages);
    }

    /// Gives back what was taken and not used: it is known to be what it was.
    pub fn put_back(&mut self, first: PageIndex, pages: u32) {
        self.forget_tries(first.0, pages);
        self.join_range(first.0, pages);
    }

    /// Takes exactly `pages` pages, at most a unit, aligned to a power of two
    /// of at least `pages` and `alignment` pages, from a run of an order up
    /// to `most`.
    pub fn take(&mut self, pages: u32, alignment: u32, most: usize) -> Option<Run> {
        debug_assert!(pages >= 1 && alignment.is_power_of_two());
        let order = order_for(pages.max(alignment));
        // Dirty before clean, and of each the shortest that will do.
        let kind = self.first_kind(order..=most)?;
        let (state, mut found) = parts_of(kind);
        let unit = self.find(kind)?;
        let (range, mask) = words_of(found);
        let words = &self.unit(unit).free[state as usize];
        let word = range.clone().find(|&i| words[i] & mask != 0)?;
        let bit = word * 64 + (words[word] & mask).trailing_zeros() as usize;
        let place = (bit - (1024 - (1024 >> found))) << found;
        let mut page = unit as u32 * UNIT_PAGES + place as u32;
        self.take_out(found, page);
        while found > order {
            found -= 1;
            let upper = page + (1 << found);
            let (low, high) = (
                self.state_of_run(found, page),
                self.state_of_run(found, upper),
            );
            // Keep the lower half, unless only the upper one is resident.
            if low == State::Clean && high == State::Dirty {
                self.insert(low, found, page);
                page = upper;
            } else {
                self.insert(high, found, upper);
            }
        }
        let clean = self.state_of(page, pages) == State::Clean;
        self.insert_range(page + pages, (1 << order) - pages);
        self.note_free(page, pages, false);
        Some(Run {
            first: PageIndex(page),
            pages,
            clean,
        })
    }

    /// Takes exactly `pages` pages that start at a multiple of `alignment`,
    /// wherever they are, in these units: a search through all of
    /// them, for when nothing else helps.
    pub fn take_anywhere(
        &mut self,
        pages: u32,
        alignment: u32,
        units: Range<usize>,
    ) -> Option<Run> {
        let start = units.start as u32 * UNIT_PAGES;
        let (mut page, mut first) = (start, start);
        while page < units.end as u32 * UNIT_PAGES {
            if page.is_multiple_of(UNIT_PAGES) && self.unit((page / UNIT_PAGES) as usize).is_empty()
            {
                // Most likely a gap in the window, which may be long.
                page += UNIT_PAGES;
                first = page;
                continue;
            }
            match self.run_around(page) {
                Some((run, order)) => page = run + (1 << order),
                None => {
                    page += 1;
                    first = page.next_multiple_of(alignment);
                }
            }
            if page >= first && page - first >= pages {
                let clean = self.take_range(PageIndex(first), pages)?;
                return Some(Run {
                    first: PageIndex(first),
                    pages,
                    clean,
                });
            }
        }
        None
    }

    /// Takes a range if every page of it is free: how a run grows in place.
    /// Returns whether it was, and whether it is clean.
    pub fn take_range(&mut self, first: PageIndex, pages: u32) -> Option<bool> {
        if !self.are_free(first.0, pages) {
            return None;
        }
        let (mut page, end) = (first.0, first.0 + pages);
        let mut gap = self.gap_around(page, page + 1);
        while page < end {
            if page.is_multiple_of(UNIT_PAGES) {
                gap = self.gap_around(page, page + 1);
            }
            let (run, order) = gap.run_at(page);
            self.take_out(order, run);
            let run_end = run + (1 << order);
            self.insert_range(run, page - run);
            if run_end > end {
                self.insert_range(end, run_end - end);
            }
            page = run_end;
        }
        self.note_free(first.0, pages, false);
        Some(self.state_of(first.0, pages) == State::Clean)
    }

    /// Visits dirty free runs of order `least` or an OS page and above, the longest first,
    /// until those for which `purge` returns true, which become clean, are
    /// have `wanted` dirty pages or more, or too many have failed: locked pages
    /// most likely, and then all. Returns how many they have. Of a run that is
    /// longer than what is still wanted it is an aligned part. `purge` is told
    /// what the unit is to be backed with from then on, if that is something else.
    pub fn purge(
        &mut self,
        least: usize,
        wanted: usize,
        mut purge: impl FnMut(PageIndex, u32, Option<Backing>) -> bool,
    ) -> usize {
        let least = least.max(self.grain);
        let (mut purged, mut failures) = (0, 0);
        for order in (least..ORDERS).rev() {
            let mut from = 0;
            while purged < wanted
                && failures < PURGE_FAILURES
                && let Some(page) = self.next_dirty(order, from)
            {
                let backing = self.backing_without(page, order);
                let change = (backing != self.backing(page)).then_some(backing);
                let part = self.part_to_purge(page, order, least, wanted - purged);
                let (first, pages) = (part.0.0, part.1);
                if purge(part.0, pages, change) {
                    self.set_unit_backing(page, backing);
                    self.remove(order, page);
                    purged += self.change_clean(first, pages, true);
                    self.insert_range(page, 1 << order);
                    from = first + pages;
                } else {
                    failures += 1;
                    from = page + (1 << order);
                }
            }
        }
        purged
    }

    /// What to purge of a dirty run, when so many pages are wanted: the first part
    /// of a suitable order that is dirty. What is huge, or is to be, goes whole.
    fn part_to_purge(
        &mut self,
        page: u32,
        order: usize,
        least: usize,
        wanted: usize,
    ) -> (PageIndex, u32) {
        let part = match self.backing(page) {
            Backing::Pages => order.min((wanted.ilog2() as usize).max(least)),
            Backing::Huge | Backing::Split => order,
        };
        let mut parts = (page..page + (1 << order)).step_by(1 << part);
        let first = parts.find(|&first| self.state_of_run(part, first) == State::Dirty);
        (PageIndex(first.unwrap_or(page)), 1 << part)
    }

    /// The lowest unit at or above `from` that is wholly free.
    pub fn next_whole(&mut self, from: usize) -> Option<usize> {
        [State::Dirty, State::Clean]
            .into_iter()
            .filter_map(|state| self.next_marked(kind_of(state, MAX_ORDER), from))
            .min()
    }

    /// Takes a unit that is wholly free out, to be unmapped: it becomes a
    /// hole. The lowest one at or above `from`, with its number.
    pub fn dig_hole(&mut self, from: usize) -> Option<usize> {
        let unit = self.next_whole(from)?;
        self.remove(MAX_ORDER, unit as u32 * UNIT_PAGES);
        self.note_free(unit as u32 * UNIT_PAGES, UNIT_PAGES, false);
        self.mark(HOLE, unit);
        Some(unit)
    }

    /// The lowest hole.
    pub fn hole(&mut self) -> Option<usize> {
        self.find(HOLE)
    }

    /// Fills a hole that has been mapped anew; its pages are free and clean,
    /// backed in this way.
    pub fn fill_hole(&mut self, unit: usize, backing: Backing) {
        self.unmark(HOLE, unit);
        self.set_unit_backing(unit as u32 * UNIT_PAGES, backing);
        self.give(PageIndex(unit as u32 * UNIT_PAGES), UNIT_PAGES, 0);
    }

    /// Puts back as free a hole that could not be unmapped.
    pub fn restore_hole(&mut self, unit: usize) {
        self.unmark(HOLE, unit);
        self.join_range(unit as u32 * UNIT_PAGES, UNIT_PAGES);
    }
}
