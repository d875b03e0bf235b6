//! Ranges: dirty free pages side by side, wherever they begin.
//!
//! What was freed of a length that is no power of two lies in runs of several
//! orders, none of which may be as long. So that the same length fits in there
//! again, ranges are looked for page by page: `x & x >> 1` has a bit for each
//! page whose neighbour is free, too, and so on, doubling.

use super::tree::kind_of;
use super::unit::State;
use super::{Buddy, MAX_ORDER, PageIndex, Run, UNIT_PAGES, Unit};

/// The words of a bit for each page of a unit.
const WORDS: usize = UNIT_PAGES as usize / 64;
/// The most units to search for one range, and to pass over because an
/// earlier search has found none there.
const MOST_SEARCHED: u32 = 6;
const MOST_PASSED: u32 = 64;

impl Buddy {
    /// Takes `pages` pages, at most a unit, that are all dirty, from the lowest
    /// of a few units that may have them, or from one and the next.
    pub fn take_dirty(&mut self, pages: u32) -> Option<Run> {
        debug_assert!((1..=UNIT_PAGES).contains(&pages));
        // Wherever it begins, a range holds an aligned run of half its length.
        let least = (pages.ilog2() as usize).saturating_sub(1);
        let kinds = kind_of(State::Dirty, least)..=kind_of(State::Dirty, MAX_ORDER);
        let (mut searched, mut passed, mut from) = (0, 0, 0);
        while searched < MOST_SEARCHED && passed < MOST_PASSED {
            let index = self.next_marked_any(kinds.clone(), from)?;
            from = index + 1;
            let unit = self.unit(index);
            if unit.tried != 0 && unit.tried <= u64::from(pages) {
                passed += 1;
                continue;
            }
            searched += 1;
            let dirty = unit.dirty_pages();
            let place = first_range(dirty, pages).or_else(|| {
                let here = dirty[WORDS - 1].leading_ones();
                (here > 0 && here + self.dirty_at_start(index + 1) >= pages)
                    .then_some(UNIT_PAGES - here)
            });
            let Some(place) = place else {
                self.unit(index).tried = u64::from(pages);
                continue;
            };
            let first = PageIndex(index as u32 * UNIT_PAGES + place);
            self.take_range(first, pages)?;
            return Some(Run {
                first,
                pages,
                clean: false,
            });
        }
        None
    }

    /// How many pages are dirty and free from a unit's start on, if there is
    /// such a unit.
    fn dirty_at_start(&mut self, index: usize) -> u32 {
        let kinds = kind_of(State::Dirty, 0)..=kind_of(State::Dirty, MAX_ORDER);
        if self.next_marked_any(kinds, index) != Some(index) {
            return 0;
        }
        let dirty = self.unit(index).dirty_pages();
        let whole = dirty.iter().take_while(|&&word| word == u64::MAX).count();
        let rest = dirty.get(whole).map_or(0, |word| word.trailing_ones());
        whole as u32 * 64 + rest
    }

    /// Notes that there may be longer ranges where these pages were freed, or
    /// up to there.
    pub(super) fn forget_tries(&mut self, first: u32, pages: u32) {
        for unit in first.saturating_sub(1) / UNIT_PAGES..(first + pages).div_ceil(UNIT_PAGES) {
            self.unit(unit as usize).tried = 0;
        }
    }
}

impl Unit {
    /// The pages that are free and may be resident.
    fn dirty_pages(&self) -> [u64; WORDS] {
        core::array::from_fn(|i| self.pages[i] & !self.clean[i])
    }
}

/// The lowest place from which on so many bits are set.
fn first_range(mut bits: [u64; WORDS], count: u32) -> Option<u32> {
    let mut have = 1;
    while have < count {
        let step = have.min(count - have).min(63);
        let mut above = 0;
        for word in bits.iter_mut().rev() {
            let before = *word;
            *word &= before >> step | above << (64 - step);
            above = before;
        }
        have += step;
    }
    let word = bits.iter().position(|&word| word != 0)?;
    Some(word as u32 * 64 + bits[word].trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::{WORDS, first_range};

    #[test]
    fn the_lowest_range_is_found() {
        for (start, length) in [
            (0, 1),
            (1, 3),
            (63, 2),
            (60, 70),
            (17, 48),
            (100, 412),
            (0, 512),
        ] {
            let mut bits = [0u64; WORDS];
            for page in start..start + length {
                bits[page / 64] |= 1 << (page % 64);
            }
            // A page alone, below all others.
            if start > 2 {
                bits[0] |= 1;
            }
            for count in 2..=512 {
                let found = first_range(bits, count);
                let fits = count as usize <= length;
                assert_eq!(
                    found,
                    fits.then_some(start as u32),
                    "{count} in {length} at {start}"
                );
            }
        }
    }
}
