//! What the kernel backs a unit with.
//!
//! A unit that it backs with a huge page is *coarse*: the first page of it that
//! is touched makes all of it resident. So it is clean as a whole or not at all.
//! When part of one is given back it is *split*: from then on it is backed page
//! by page, or the first touch, or the kernel's own tidying, would bring all of
//! it back. A split unit that is given back whole is coarse again.

use super::unit::State;
use super::{Buddy, MAX_ORDER, PageIndex, UNIT_PAGES};

/// What backs a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Backing {
    /// Pages.
    Pages = 0,
    /// A huge page.
    Huge = 1,
    /// Pages, until all of it has been given back.
    Split = 2,
}

/// The most units that are split at a time. To the kernel each is a mapping of
/// its own, of which a process may have some 65,000.
const MOST_SPLIT: usize = 8192;

impl Buddy {
    /// What backs the unit of a page.
    pub fn backing(&mut self, page: u32) -> Backing {
        match self.unit((page / UNIT_PAGES) as usize).backing {
            0 => Backing::Pages,
            1 => Backing::Huge,
            _ => Backing::Split,
        }
    }

    /// Notes what backs the whole units of a range, which are not given yet.
    pub fn set_backing(&mut self, first: PageIndex, pages: u32, backing: Backing) {
        let units = first.0.div_ceil(UNIT_PAGES)..(first.0 + pages) / UNIT_PAGES;
        for unit in units {
            self.set_unit_backing(unit * UNIT_PAGES, backing);
        }
    }

    /// Notes what backs the unit of a page.
    pub(super) fn set_unit_backing(&mut self, page: u32, backing: Backing) {
        let was = self.backing(page);
        for (count, kind) in [
            (&mut self.split_units, Backing::Split),
            (&mut self.coarse_units, Backing::Huge),
        ] {
            *count += usize::from(backing == kind);
            *count -= usize::from(was == kind);
        }
        self.unit((page / UNIT_PAGES) as usize).backing = backing as u64;
    }

    /// Whether any unit is coarse.
    pub fn has_coarse(&self) -> bool {
        self.coarse_units > 0
    }

    /// Splits the unit of a page, of which some is to be given back though no run of it
    /// is free, if it is coarse. `advise` has the kernel do so. Returns whether the unit
    /// is backed by pages: not where too many are split already.
    pub fn split(&mut self, page: u32, advise: impl FnOnce(Backing)) -> bool {
        let backing = self.backing_without(page, 0);
        if backing != self.backing(page) {
            advise(backing);
            self.set_unit_backing(page, backing);
        }
        backing != Backing::Huge
    }

    /// What a unit is to be backed with when a run of it is given back.
    pub(super) fn backing_without(&mut self, page: u32, order: usize) -> Backing {
        match self.backing(page) {
            Backing::Huge if order < MAX_ORDER && self.split_units < MOST_SPLIT => Backing::Split,
            Backing::Split if order == MAX_ORDER => Backing::Huge,
            backing => backing,
        }
    }

    /// Takes a free run out that is about to be used, in part at least; its pages
    /// are noted as free until then. With the first page of it a coarse unit that
    /// was clean becomes resident as a whole.
    pub(super) fn take_out(&mut self, order: usize, page: u32) -> Option<State> {
        let state = self.remove(order, page)?;
        if order == MAX_ORDER && self.backing(page) == Backing::Huge {
            self.change_clean(page, UNIT_PAGES, false);
            return Some(State::Dirty);
        }
        Some(state)
    }
}
