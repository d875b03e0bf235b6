//! The stretch: runs whose length is no power of two, cut one behind the other
//! from whole units.

use super::{MAX_ORDER, PageIndex, Run, UNIT_PAGES, Zone, window};

impl Zone {
    /// Takes a run whose length is not a power of two. Where no part of a
    /// unit serves, such runs are cut one behind the other from whole ones,
    /// the *stretch*, which wastes nothing between them.
    pub(super) fn take_dense(&mut self, pages: u32) -> Option<Run> {
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

    /// Gives back what is left of the stretch.
    pub(super) fn close_stretch(&mut self) {
        let Run { first, pages, .. } = self.stretch;
        self.stretch.pages = 0;
        self.buddy.put_back(first, pages);
    }
}
