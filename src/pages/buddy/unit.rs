//! The bits of one unit: which runs in it are free, which pages clean.

use super::tree::kind_of;
use super::{Buddy, MAX_GRAIN, MAX_ORDER, MAX_UNITS, UNIT_PAGES};

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

/// The fewest runs that a range is made of: first pages and orders.
fn runs_of(first: u32, pages: u32) -> impl Iterator<Item = (u32, usize)> {
    let (mut next, end) = (first, first + pages);
    core::iter::from_fn(move || {
        let page = next;
        let longest = (end - page).checked_ilog2()? as usize;
        let order = longest.min(page.trailing_zeros() as usize).min(MAX_ORDER);
        next = page + (1 << order);
        Some((page, order))
    })
}

/// Whether all bits are set in the aligned range of an order from a page on.
fn is_whole(bits: &[u64; 8], page: u32, order: usize) -> bool {
    let word = page as usize / 64;
    if order < 6 {
        let mask = (u64::MAX >> (64 - (1 << order))) << (page % 64);
        return bits[word] & mask == mask;
    }
    bits[word..word + (1 << (order - 6))]
        .iter()
        .all(|&word| word == u64::MAX)
}

/// The last bit that is not set below a page.
fn taken_below(bits: &[u64; 8], page: u32) -> Option<u32> {
    let mut word = page as usize / 64;
    let mut taken = !bits[word] & ((1 << (page % 64)) - 1);
    while taken == 0 {
        word = word.checked_sub(1)?;
        taken = !bits[word];
    }
    Some(word as u32 * 64 + taken.ilog2())
}

/// The first bit that is not set from a page on.
fn taken_from(bits: &[u64; 8], page: u32) -> Option<u32> {
    let mut word = page as usize / 64;
    let mut taken = !*bits.get(word)? & (u64::MAX << (page % 64));
    while taken == 0 {
        word += 1;
        taken = !*bits.get(word)?;
    }
    Some(word as u32 * 64 + taken.trailing_zeros())
}

/// Free pages between two that are not: the numbers of these in the unit, or
/// [`UNIT_PAGES`] where it ends.
pub(super) struct Gap {
    below: u32,
    above: u32,
}

impl Gap {
    /// The run that a page in the gap lies in, if the gap is free: the longest
    /// that has neither end. Aligned ranges of order k have all bits but the
    /// lowest k in common.
    pub(super) fn run_at(&self, page: u32) -> (u32, usize) {
        let place = page % UNIT_PAGES;
        let order = (place ^ self.below)
            .ilog2()
            .min((place ^ self.above).ilog2());
        (page >> order << order, order as usize)
    }
}

impl Buddy {
    /// A unit's bits.
    pub(super) fn unit(&mut self, unit: usize) -> &mut Unit {
        debug_assert!(unit < MAX_UNITS);
        // SAFETY: `set_storage` promises a unit for every page given, and
        // `self` is borrowed for as long.
        unsafe { &mut *self.units.add(unit) }
    }

    /// Puts a free run in, whose buddy is not free. Its pages are noted as free.
    pub(super) fn insert(&mut self, state: State, order: usize, page: u32) {
        let unit = (page / UNIT_PAGES) as usize;
        let bit = bit_of(order, page);
        self.unit(unit).free[state as usize][bit / 64] |= 1 << (bit % 64);
        self.mark(kind_of(state, order), unit);
    }

    /// Takes a free run of this order out, whose pages stay noted as free.
    /// Returns its state; `None`: there is none.
    pub(super) fn remove(&mut self, order: usize, page: u32) -> Option<State> {
        let index = (page / UNIT_PAGES) as usize;
        let bit = bit_of(order, page);
        let free = &mut self.unit(index).free;
        let is_in = |state: &State| free[*state as usize][bit / 64] >> (bit % 64) & 1 != 0;
        let state = [State::Dirty, State::Clean].into_iter().find(is_in)?;
        let words = &mut free[state as usize];
        words[bit / 64] &= !(1 << (bit % 64));
        let (range, mask) = words_of(order);
        let is_last =
            words[bit / 64] & mask == 0 && words[range].iter().all(|word| word & mask == 0);
        if is_last {
            self.unmark(kind_of(state, order), index);
        }
        Some(state)
    }

    /// Puts a range in as the fewest runs, none of whose buddies is free.
    pub(super) fn insert_range(&mut self, first: u32, pages: u32) {
        for (page, order) in runs_of(first, pages) {
            let state = self.state_of_run(order, page);
            self.insert(state, order, page);
        }
    }

    /// Takes out the runs that a range is made of.
    fn remove_range(&mut self, first: u32, pages: u32) {
        for (page, order) in runs_of(first, pages) {
            let state = self.remove(order, page);
            debug_assert!(state.is_some());
        }
    }

    /// Notes whether pages are free, which all were not before, or all were, and
    /// counts them.
    pub(super) fn note_free(&mut self, first: u32, pages: u32, free: bool) {
        if !free {
            self.free_pages -= pages as usize;
            self.clean_pages -= self.clean_around(first, pages);
        }
        self.page_bits(first, pages, |unit, word, mask| {
            let bits = &mut unit.pages[word];
            *bits = if free { *bits | mask } else { *bits & !mask };
        });
        if free {
            self.free_pages += pages as usize;
            self.clean_pages += self.clean_around(first, pages);
        }
    }

    /// Notes whether whole OS pages that are free are known to read as zero.
    /// Returns of how many pages that was not known.
    pub(super) fn change_clean(&mut self, first: u32, pages: u32, clean: bool) -> usize {
        let known = self.clean_around(first, pages);
        self.set_clean(first, pages, clean);
        self.clean_pages -= known;
        self.clean_pages += if clean { pages as usize } else { 0 };
        pages as usize - known
    }

    /// The pages in the OS pages of a range that are free and known to read as
    /// zero as a whole.
    fn clean_around(&mut self, first: u32, pages: u32) -> usize {
        let grain = self.grain;
        let start = first >> grain << grain;
        let end = (first + pages).next_multiple_of(1 << grain);
        let mut count = 0;
        self.page_bits(start, end - start, |unit, word, mask| {
            let bits = unit.clean[word] & unit.pages[word] & mask;
            count += whole_groups(bits, grain).count_ones() as usize;
        });
        count << grain
    }

    /// Calls `each` with the words and masks of a range of pages' clean bits.
    fn clean_bits(&mut self, first: u32, pages: u32, mut each: impl FnMut(&mut u64, u64)) {
        self.page_bits(first, pages, |unit, word, mask| {
            each(&mut unit.clean[word], mask);
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
        if first % 64 + pages <= 64 {
            // By far the most frequent: one word has them all.
            if pages > 0 {
                let mask = (u64::MAX >> (64 - pages)) << (first % 64);
                let unit = self.unit((first / UNIT_PAGES) as usize);
                each(unit, (first % UNIT_PAGES / 64) as usize, mask);
            }
            return;
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

    /// The same of an aligned range of an order.
    pub(super) fn state_of_run(&mut self, order: usize, page: u32) -> State {
        let clean = &self.unit((page / UNIT_PAGES) as usize).clean;
        match is_whole(clean, page % UNIT_PAGES, order) {
            true => State::Clean,
            false => State::Dirty,
        }
    }

    /// Notes whether the pages of a range are known to read as zero.
    pub(super) fn set_clean(&mut self, first: u32, pages: u32, clean: bool) {
        self.clean_bits(first, pages, |word, mask| {
            *word = if clean { *word | mask } else { *word & !mask };
        });
    }

    /// Frees a range, and joins it with what is free around it.
    pub(super) fn join_range(&mut self, first: u32, pages: u32) {
        let (mut page, end) = (first, first + pages);
        while page < end {
            let unit_end = (page / UNIT_PAGES + 1) * UNIT_PAGES;
            self.join_in_unit(page, end.min(unit_end));
            page = unit_end;
        }
    }

    fn join_in_unit(&mut self, first: u32, end: u32) {
        let gap = self.gap_around(first, end);
        self.note_free(first, end - first, true);
        let mut page = first;
        while page < end {
            let (run, order) = gap.run_at(page);
            let run_end = run + (1 << order);
            // What was free of it before is in runs of its own.
            self.remove_range(run, page - run);
            if run_end > end {
                self.remove_range(end, run_end - end);
            }
            let state = self.state_of_run(order, run);
            self.insert(state, order, run);
            page = run_end;
        }
    }

    /// The free run that a page lies in.
    pub(super) fn run_around(&mut self, page: u32) -> Option<(u32, usize)> {
        self.is_free(page)
            .then(|| self.gap_around(page, page + 1).run_at(page))
    }

    /// The gap that a range lies in, which is all free, or is about to be; it ends
    /// in the same unit.
    pub(super) fn gap_around(&mut self, first: u32, end: u32) -> Gap {
        let pages = &self.unit((first / UNIT_PAGES) as usize).pages;
        let first = first % UNIT_PAGES;
        Gap {
            below: taken_below(pages, first).unwrap_or(UNIT_PAGES),
            above: taken_from(pages, end.wrapping_sub(1) % UNIT_PAGES + 1).unwrap_or(UNIT_PAGES),
        }
    }

    /// The lowest dirty run of an order that ends above a page.
    pub(super) fn next_dirty(&mut self, order: usize, from: u32) -> Option<u32> {
        let kind = kind_of(State::Dirty, order);
        let mut page = from >> order << order;
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
