//! The model: what the buddy system must do, page by page.
//!
//! It has no runs. It derives them from the pages by the rule that a
//! free run is an aligned power of two of free pages whose buddy is not wholly
//! free, and predicts what a request gets: the run that fits best among those
//! with a dirty page, then among the clean ones, the lowest of these, halved
//! until it fits, a half with a dirty page before one without, the lower half
//! before the upper one.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use super::super::*;

/// Units that the model has at most; the last is given bit by bit.
pub const UNITS: usize = 3;
pub const PAGES: u32 = UNITS as u32 * UNIT_PAGES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// Not given yet, or in a hole; what would be known of it in a hole.
    Absent(bool),
    Taken,
    /// Free; whether it is clean.
    Free(bool),
}

/// One thing that happens. Numbers are taken modulo what there is to choose.
#[derive(Clone, Debug)]
pub enum Step {
    Take {
        pages: u32,
        alignment: u32,
        most: usize,
    },
    TakeAnywhere {
        pages: u32,
        alignment: u32,
    },
    TakeRange {
        first: u32,
        pages: u32,
    },
    /// Gives back what was taken, as a whole or but for the first `keep`.
    Give {
        which: usize,
        keep: u32,
        dirty: u32,
    },
    /// More pages at the end.
    Grow {
        pages: u32,
    },
    /// Every `refuse`th run cannot be purged; 0: each can.
    Purge {
        least: usize,
        wanted: usize,
        refuse: usize,
    },
    DigHole {
        from: usize,
    },
    FillHole,
    RestoreHole,
}

/// Zeroed storage for so many units.
pub fn units(number: usize) -> Box<[Unit]> {
    // SAFETY: a unit is words, for which zero is a value.
    (0..number).map(|_| unsafe { mem::zeroed() }).collect()
}

/// Zeroed storage for the lowest nodes above so many units.
pub fn nodes(units: usize) -> Box<[Node]> {
    let number = units.div_ceil(NODE_UNITS);
    // SAFETY: a node is words, for which zero is a value.
    (0..number).map(|_| unsafe { mem::zeroed() }).collect()
}

pub struct Model {
    pub buddy: Buddy,
    /// The order of an OS page.
    grain: usize,
    pages: Vec<Page>,
    /// Ranges that were taken, first page and length.
    pub taken: Vec<(u32, u32)>,
    pub holes: BTreeSet<usize>,
    /// Pages that were given, without regard to holes.
    pub end: u32,
    // The buddy system's storage, which it points to.
    _units: Box<[Unit]>,
    _nodes: Box<[Node]>,
}

impl Model {
    pub fn new(grain: usize) -> Self {
        let (mut units, mut nodes) = (units(UNITS), nodes(UNITS));
        let mut buddy = Buddy::unmapped();
        // SAFETY: the storage is zeroed, and lives as long as the model.
        unsafe { buddy.set_storage(units.as_mut_ptr(), nodes.as_mut_ptr()) };
        buddy.set_grain(grain);
        let mut model = Self {
            buddy,
            grain,
            pages: vec![Page::Absent(true); PAGES as usize],
            taken: Vec::new(),
            holes: BTreeSet::new(),
            end: 1,
            _units: units,
            _nodes: nodes,
        };
        // As in a window: page 0 is never given.
        model.grow(UNIT_PAGES + UNIT_PAGES / 2 - 1);
        model
    }

    fn range(first: u32, pages: u32) -> std::ops::Range<usize> {
        first as usize..(first + pages) as usize
    }

    /// Whether all pages of a range are free.
    fn is_free(&self, first: u32, pages: u32) -> bool {
        let range = self.pages.get(Self::range(first, pages));
        range.is_some_and(|range| range.iter().all(|page| matches!(page, Page::Free(_))))
    }

    /// Whether all pages of a range are free and clean.
    fn is_clean(&self, first: u32, pages: u32) -> bool {
        self.pages[Self::range(first, pages)]
            .iter()
            .all(|&page| page == Page::Free(true))
    }

    /// Whether there is a free run of an order at a page: its pages are free,
    /// and its buddy's are not.
    fn is_run(&self, first: u32, order: usize) -> bool {
        let joined = order < MAX_ORDER && self.is_free(first ^ (1 << order), 1 << order);
        self.is_free(first, 1 << order) && !joined
    }

    /// The lowest free run of an order and a state.
    fn lowest(&self, order: usize, clean: bool) -> Option<u32> {
        (0..PAGES)
            .step_by(1 << order)
            .find(|&first| self.is_run(first, order) && self.is_clean(first, 1 << order) == clean)
    }

    /// What a request must get.
    fn prediction(&self, pages: u32, alignment: u32, most: usize) -> Option<u32> {
        let order = pages.max(alignment).next_power_of_two().ilog2() as usize;
        let (mut first, mut found) = [false, true]
            .into_iter()
            .flat_map(|clean| (order..=most).map(move |order| (clean, order)))
            .find_map(|(clean, order)| Some((self.lowest(order, clean)?, order)))?;
        while found > order {
            found -= 1;
            let upper = first + (1 << found);
            if self.is_clean(first, 1 << found) && !self.is_clean(upper, 1 << found) {
                first = upper;
            }
        }
        Some(first)
    }

    fn note_taken(&mut self, run: Run) {
        let Run {
            first,
            pages,
            clean,
        } = run;
        assert!(self.is_free(first.0, pages), "{run:?} was not free");
        assert_eq!(clean, self.is_clean(first.0, pages), "{run:?}");
        self.pages[Self::range(first.0, pages)].fill(Page::Taken);
        self.taken.push((first.0, pages));
    }

    fn give(&mut self, first: u32, pages: u32, dirty: u32) {
        self.buddy.give(PageIndex(first), pages, dirty);
        self.pages[Self::range(first, dirty)].fill(Page::Free(false));
        self.pages[Self::range(first + dirty, pages - dirty)].fill(Page::Free(true));
    }

    fn grow(&mut self, pages: u32) {
        let pages = pages.min(PAGES - self.end);
        if pages > 0 {
            self.give(self.end, pages, 0);
            self.end += pages;
        }
    }

    fn take_anywhere(&mut self, pages: u32, alignment: u32) {
        let mut places = (0..PAGES).step_by(alignment as usize);
        let expected = places.find(|&first| self.is_free(first, pages));
        let run = self.buddy.take_anywhere(pages, alignment, 0..UNITS);
        assert_eq!(run.map(|run| run.first.0), expected);
        if let Some(run) = run {
            assert_eq!(run.pages, pages);
            self.note_taken(run);
        }
    }

    fn purge(&mut self, least: usize, wanted: usize, refuse: usize) {
        let is_refused = |count: usize| refuse > 0 && count.is_multiple_of(refuse);
        let mut visited = Vec::new();
        let purged = self.buddy.purge(least, wanted, |first, pages, _| {
            visited.push((first.0, pages));
            !is_refused(visited.len())
        });
        let (mut expected, mut sum, mut failures) = (Vec::new(), 0, 0);
        let least = least.max(self.grain);
        for order in (least..ORDERS).rev() {
            let mut from = 0;
            while sum < wanted && failures < PURGE_FAILURES {
                let run = (from >> order << order..PAGES)
                    .step_by(1 << order)
                    .find(|&it| self.is_run(it, order) && !self.is_clean(it, 1 << order));
                let Some(run) = run else { break };
                // The first dirty part, no longer than what is left to do.
                let most = ((wanted - sum).ilog2() as usize).max(least);
                let part = 1 << order.min(most);
                let mut parts = (run..run + (1 << order)).step_by(part as usize);
                let first = parts.find(|&first| !self.is_clean(first, part)).unwrap();
                expected.push((first, part));
                if is_refused(expected.len()) {
                    failures += 1;
                    from = run + (1 << order);
                    continue;
                }
                sum += part as usize - self.clean_of(first, part);
                let pages = &mut self.pages[Self::range(first, part)];
                pages.fill(Page::Free(true));
                from = first + part;
            }
        }
        assert_eq!(visited, expected);
        assert_eq!(purged, sum);
    }

    fn dig_hole(&mut self, from: usize) {
        let is_free = |&unit: &usize| self.is_free(unit as u32 * UNIT_PAGES, UNIT_PAGES);
        let expected = (from..UNITS).find(is_free);
        assert_eq!(self.buddy.dig_hole(from), expected);
        if let Some(unit) = expected {
            self.holes.insert(unit);
            for page in &mut self.pages[Self::range(unit as u32 * UNIT_PAGES, UNIT_PAGES)] {
                *page = Page::Absent(*page == Page::Free(true));
            }
        }
    }

    /// Fills the lowest hole, with clean pages or with those that were there.
    fn end_hole(&mut self, filled: bool) {
        let hole = self.buddy.hole();
        assert_eq!(hole, self.holes.pop_first());
        let Some(unit) = hole else { return };
        if filled {
            self.buddy.fill_hole(unit, Backing::Pages);
        } else {
            self.buddy.restore_hole(unit);
        }
        for page in &mut self.pages[Self::range(unit as u32 * UNIT_PAGES, UNIT_PAGES)] {
            *page = match page {
                Page::Absent(clean) => Page::Free(filled || *clean),
                page => panic!("{page:?} in a hole"),
            };
        }
    }

    pub fn step(&mut self, step: &Step) {
        match *step {
            Step::Take {
                pages,
                alignment,
                most,
            } => {
                let expected = self.prediction(pages, alignment, most);
                let run = self.buddy.take(pages, alignment, most);
                assert_eq!(run.map(|run| run.first.0), expected);
                if let Some(run) = run {
                    assert_eq!(run.pages, pages);
                    assert!(
                        run.first
                            .0
                            .is_multiple_of(pages.next_power_of_two().max(alignment))
                    );
                    self.note_taken(run);
                }
            }
            Step::TakeAnywhere { pages, alignment } => self.take_anywhere(pages, alignment),
            Step::TakeRange { first, pages } => {
                let pages = pages.min(PAGES - first);
                let expected = self
                    .is_free(first, pages)
                    .then(|| self.is_clean(first, pages));
                let clean = self.buddy.take_range(PageIndex(first), pages);
                assert_eq!(clean, expected);
                if let Some(clean) = clean {
                    let first = PageIndex(first);
                    self.note_taken(Run {
                        first,
                        pages,
                        clean,
                    });
                }
            }
            Step::Give { which, keep, dirty } if !self.taken.is_empty() => {
                let which = which % self.taken.len();
                let (first, pages) = self.taken.swap_remove(which);
                let keep = if keep < pages { keep } else { 0 };
                if keep > 0 {
                    self.taken.push((first, keep));
                }
                self.give(first + keep, pages - keep, dirty.min(pages - keep));
            }
            Step::Give { .. } => {}
            Step::Grow { pages } => self.grow(pages),
            Step::Purge {
                least,
                wanted,
                refuse,
            } => self.purge(least, wanted, refuse),
            Step::DigHole { from } => self.dig_hole(from),
            Step::FillHole => self.end_hole(true),
            Step::RestoreHole => self.end_hole(false),
        }
        self.check();
    }

    fn check(&mut self) {
        assert!(self.buddy.is_valid(UNITS));
        let free = self
            .pages
            .iter()
            .filter(|page| matches!(page, Page::Free(_)));
        let free = free.count();
        assert_eq!(self.buddy.free_pages(), (free, self.clean_of(0, PAGES)));
    }

    /// The pages of a range that are in OS pages of which all are free and clean.
    fn clean_of(&self, first: u32, pages: u32) -> usize {
        let os_pages = self.pages[Self::range(first, pages)].chunks(1 << self.grain);
        let is_clean = |pages: &&[Page]| pages.iter().all(|&page| page == Page::Free(true));
        os_pages.filter(is_clean).count() << self.grain
    }
}
