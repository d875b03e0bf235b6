//! The bits of one unit: which runs in it are free, which pages clean.

use super::tree::kind_of;
use super::{Buddy, MAX_GRAIN, MAX_ORDER, MAX_UNITS, ORDERS, UNIT_PAGES};

/// The words of a unit's bits in one state.
const WORDS: usize = 16;

/// What is known of a free run's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Dirty = 0,
    Clean = 1,
}

/// The free runs of 512 pages; all zero where nothing is free.
#[repr(C)]
pub struct Unit {
    pub(super) free: [[u64; WORDS]; 2],
    pub(super) clean: [u64; 8],
    /// A bit for each page that is free, in whatever run.
    pub(super) pages: [u64; 8],
    /// The shortest range that was looked for here in vain; 0, none.
    pub(super) tried: u64,
    /// A `Backing`.
    pub(super) backing: u64,
}

impl Unit {
    /// Whether nothing in the unit is free.
    pub(super) fn is_empty(&self) -> bool {
        self.free.as_flattened().iter().all(|&word| word == 0)
    }
}

/// The bit of a run within its unit's words.
#[inline]
pub(super) fn bit_of(order: usize, page: u32) -> usize {
    // Orders lie one behind the other: 512 bits, 256, 128, ...
    1024 - (1024 >> order) + ((page % UNIT_PAGES) >> order) as usize
}

/// The words that hold an order's bits, with the mask of those bits in them.
#[inline]
pub(super) fn words_of(order: usize) -> (core::ops::Range<usize>, u64) {
    let start = 1024 - (1024 >> order);
    let bits = 512 >> order;
    if bits >= 64 {
        (start / 64..(start + bits) / 64, u64::MAX)
    } else {
        (
            start / 64..start / 64 + 1,
            ((1 << bits) - 1) << (start % 64),
        )
    }
}

/// The lowest bits of the groups of 2^`grain` bits that are all set.
fn whole_groups(mut bits: u64, grain: usize) -> u64 {
    const LOWEST: [u64; MAX_GRAIN + 1] = {
        let mut masks = [0; MAX_GRAIN + 1];
        let mut grain = 0;
        while grain <= MAX_GRAIN {
            masks[grain] = u64::MAX / ((1 << (1 << grain)) - 1);
            grain += 1;
        }
        masks
    };
    for step in 0..grain {
        bits &= bits >> (1 << step);
    }
    bits & LOWEST[grain]
}

impl Buddy {
    /// A unit's bits.
    pub(super) fn unit(&mut self, unit: usize) -> &mut Unit {
        debug_assert!(unit < MAX_UNITS);
        // SAFETY: `set_storage` promises a unit for every page given, and
        // `self` is borrowed for as long.
        unsafe { &mut *self.units.add(unit) }
    }

    /// Puts a free run in, whose buddy is not free.
    pub(super) fn insert(&mut self, state: State, order: usize, page: u32) {
        let unit = (page / UNIT_PAGES) as usize;
        let bit = bit_of(order, page);
        self.unit(unit).free[state as usize][bit / 64] |= 1 << (bit % 64);
        self.set_free(page, 1 << order, true);
        self.mark(kind_of(state, order), unit);
        self.free_pages += 1 << order;
        self.clean_pages += self.clean_in(state, order, page);
    }

    /// Takes a free run of this order out if there is one at `page`.
    pub(super) fn remove(&mut self, order: usize, page: u32) -> Option<State> {
        let unit = (page / UNIT_PAGES) as usize;
        let bit = bit_of(order, page);
        for state in [State::Dirty, State::Clean] {
            let words = &mut self.unit(unit).free[state as usize];
            if words[bit / 64] >> (bit % 64) & 1 == 0 {
                continue;
            }
            words[bit / 64] &= !(1 << (bit % 64));
            let (range, mask) = words_of(order);
            if words[range].iter().all(|word| word & mask == 0) {
                self.unmark(kind_of(state, order), unit);
            }
            self.set_free(page, 1 << order, false);
            self.free_pages -= 1 << order;
            self.clean_pages -= self.clean_in(state, order, page);
            return Some(state);
        }
        None
    }

    /// The clean pages of a free run, of which some of a dirty one may be: those
    /// of OS pages of which all are.
    pub(super) fn clean_in(&mut self, state: State, order: usize, page: u32) -> usize {
        let grain = self.grain;
        if order < grain {
            return 0;
        }
        if state == State::Clean {
            return 1 << order;
        }
        let mut count = 0;
        self.clean_bits(page, 1 << order, |word, mask| {
            count += whole_groups(*word & mask, grain).count_ones() as usize;
        });
        count << grain
    }

    /// Calls `each` with the words and masks of a range of pages' clean bits.
    fn clean_bits(&mut self, first: u32, pages: u32, mut each: impl FnMut(&mut u64, u64)) {
        self.page_bits(first, pages, |unit, word, mask| {
            each(&mut unit.clean[word], mask);
        });
    }

    /// Notes whether pages are free.
    fn set_free(&mut self, first: u32, pages: u32, free: bool) {
        self.page_bits(first, pages, |unit, word, mask| {
            let word = &mut unit.pages[word];
            *word = if free { *word | mask } else { *word & !mask };
        });
    }

    /// Whether a page is in a free run.
    pub fn is_free(&mut self, page: u32) -> bool {
        let unit = self.unit((page / UNIT_PAGES) as usize);
        unit.pages[(page % UNIT_PAGES / 64) as usize] >> (page % 64) & 1 != 0
    }

    /// Whether all pages of a range are free.
    pub(super) fn are_free(&mut self, first: u32, pages: u32) -> bool {
        let mut free = true;
        self.page_bits(first, pages, |unit, word, mask| {
            free &= unit.pages[word] & mask == mask;
        });
        free
    }

    /// Calls `each` with the unit, the word within it, and the mask of a range
    /// of pages' bits.
    #[inline]
    fn page_bits(&mut self, first: u32, pages: u32, mut each: impl FnMut(&mut Unit, usize, u64)) {
        if pages == 1 {
            // By far the most frequent.
            let unit = self.unit((first / UNIT_PAGES) as usize);
            return each(unit, (first % UNIT_PAGES / 64) as usize, 1 << (first % 64));
        }
        let (mut page, end) = (first, first + pages);
        while page < end {
            let stop = end.min((page / 64 + 1) * 64);
            let mask = (u64::MAX >> (64 - (stop - page))) << (page % 64);
            let unit = self.unit((page / UNIT_PAGES) as usize);
            each(unit, (page % UNIT_PAGES / 64) as usize, mask);
            page = stop;
        }
    }

    /// Whether all pages of a range are known to read as zero.
    pub(super) fn state_of(&mut self, first: u32, pages: u32) -> State {
        let mut clean = true;
        self.clean_bits(first, pages, |word, mask| clean &= *word & mask == mask);
        if clean { State::Clean } else { State::Dirty }
    }

    /// Notes whether the pages of a range are known to read as zero.
    pub(super) fn set_clean(&mut self, first: u32, pages: u32, clean: bool) {
        self.clean_bits(first, pages, |word, mask| {
            *word = if clean { *word | mask } else { *word & !mask };
        });
    }

    /// Frees one run and joins it with its buddies.
    fn join(&mut self, mut page: u32, mut order: usize) {
        let mut state = self.state_of(page, 1 << order);
        // A buddy whose first page is taken is not free as a whole.
        while order < MAX_ORDER && self.is_free(page ^ (1 << order)) {
            let Some(other) = self.remove(order, page ^ (1 << order)) else {
                break;
            };
            if other == State::Dirty {
                state = State::Dirty;
            }
            page &= !(1 << order);
            order += 1;
        }
        self.insert(state, order, page);
    }

    /// Frees a range as the fewest aligned runs.
    pub(super) fn join_range(&mut self, first: u32, pages: u32) {
        let (mut page, end) = (first, first + pages);
        while page < end {
            let aligned = (page.trailing_zeros() as usize).min(MAX_ORDER);
            let order = aligned.min((end - page).ilog2() as usize);
            self.join(page, order);
            page += 1 << order;
        }
    }

    /// The free run that a page lies in.
    pub(super) fn run_around(&mut self, page: u32) -> Option<(u32, usize)> {
        let unit = (page / UNIT_PAGES) as usize;
        (0..ORDERS).find_map(|order| {
            let bit = bit_of(order, page);
            let free = &self.unit(unit).free;
            let here = (free[0][bit / 64] | free[1][bit / 64]) >> (bit % 64) & 1 != 0;
            here.then(|| (page >> order << order, order))
        })
    }

    /// The lowest dirty run of an order at or above a page.
    pub(super) fn next_dirty(&mut self, order: usize, from: u32) -> Option<u32> {
        let kind = kind_of(State::Dirty, order);
        let mut page = from;
        loop {
            let unit = self.next_marked(kind, (page / UNIT_PAGES) as usize)?;
            let start = unit as u32 * UNIT_PAGES;
            let mut at = page.max(start);
            while at < start + UNIT_PAGES {
                let bit = bit_of(order, at);
                if self.unit(unit).free[0][bit / 64] >> (bit % 64) & 1 != 0 {
                    return Some(at);
                }
                at += 1 << order;
            }
            page = start + UNIT_PAGES;
        }
    }
}
