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

use core::mem;
use core::ptr;

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
const WORDS: usize = 16;
/// Places in a node's masks: an order in a state each, then the holes.
const KINDS: usize = 2 * ORDERS + 1;
/// Units that are not mapped at present.
const HOLE: usize = 2 * ORDERS;

/// What is known of a free run's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dirty = 0,
    Clean = 1,
}

/// The free runs of 512 pages; all zero where nothing is free.
#[repr(C)]
pub struct Unit {
    free: [[u64; WORDS]; 2],
    clean: [u64; 8],
}

/// For each kind of run, which of 64 children has one; all zero when empty.
#[repr(C)]
pub struct Node {
    mask: [u64; KINDS],
}

impl Node {
    const EMPTY: Self = Self { mask: [0; KINDS] };
}

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

/// The free runs of a whole window.
pub struct Buddy {
    units: *mut Unit,
    level1: *mut Node,
    level2: [Node; FAN * 2],
    top: [Node; 2],
    free_pages: usize,
    clean_pages: usize,
}

// SAFETY: the pointers are to storage that only this value reaches.
unsafe impl Send for Buddy {}

/// The bit of a run within its unit's words.
#[inline]
fn bit_of(order: usize, page: u32) -> usize {
    // Orders lie one behind the other: 512 bits, 256, 128, ...
    1024 - (1024 >> order) + ((page % UNIT_PAGES) >> order) as usize
}

/// The words that hold an order's bits, with the mask of those bits in them.
#[inline]
fn words_of(order: usize) -> (core::ops::Range<usize>, u64) {
    let start = 1024 - (1024 >> order);
    let bits = 512 >> order;
    if bits >= 64 {
        (start / 64..(start + bits) / 64, u64::MAX)
    } else {
        (start / 64..start / 64 + 1, ((1 << bits) - 1) << (start % 64))
    }
}

fn kind_of(state: State, order: usize) -> usize {
    state as usize * ORDERS + order
}

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

    /// Pages that are free, and of those the pages known to be clean.
    pub fn free_pages(&self) -> (usize, usize) {
        (self.free_pages, self.clean_pages)
    }

    fn unit(&mut self, unit: usize) -> &mut Unit {
        debug_assert!(unit < MAX_UNITS);
        // SAFETY: `set_storage` promises a unit for every page given, and
        // `self` is borrowed for as long.
        unsafe { &mut *self.units.add(unit) }
    }

    fn level1(&mut self, node: usize) -> &mut Node {
        // SAFETY: as for `unit`.
        unsafe { &mut *self.level1.add(node) }
    }

    fn mark(&mut self, kind: usize, unit: usize) {
        self.level1(unit / FAN).mask[kind] |= 1 << (unit % FAN);
        let parent = unit / FAN;
        self.level2[parent / FAN].mask[kind] |= 1 << (parent % FAN);
        let parent = parent / FAN;
        self.top[parent / FAN].mask[kind] |= 1 << (parent % FAN);
    }

    fn unmark(&mut self, kind: usize, unit: usize) {
        let node = &mut self.level1(unit / FAN).mask[kind];
        *node &= !(1 << (unit % FAN));
        if *node != 0 {
            return;
        }
        let parent = unit / FAN;
        let node = &mut self.level2[parent / FAN].mask[kind];
        *node &= !(1 << (parent % FAN));
        if *node != 0 {
            return;
        }
        let parent = parent / FAN;
        self.top[parent / FAN].mask[kind] &= !(1 << (parent % FAN));
    }

    /// The lowest unit that has a run of this kind.
    fn find(&mut self, kind: usize) -> Option<usize> {
        let lowest = |mask: u64| mask.trailing_zeros() as usize;
        let top = (0..2).find(|&i| self.top[i].mask[kind] != 0)?;
        let second = top * FAN + lowest(self.top[top].mask[kind]);
        let first = second * FAN + lowest(self.level2[second].mask[kind]);
        Some(first * FAN + lowest(self.level1(first).mask[kind]))
    }

    fn insert(&mut self, state: State, order: usize, page: u32) {
        let unit = (page / UNIT_PAGES) as usize;
        let bit = bit_of(order, page);
        self.unit(unit).free[state as usize][bit / 64] |= 1 << (bit % 64);
        self.mark(kind_of(state, order), unit);
        self.count(state, order, true);
    }

    /// Takes a free run of this order out if there is one at `page`.
    fn remove(&mut self, order: usize, page: u32) -> Option<State> {
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
            self.count(state, order, false);
            return Some(state);
        }
        None
    }

    fn count(&mut self, state: State, order: usize, added: bool) {
        let pages = 1usize << order;
        let pages = if added { pages } else { pages.wrapping_neg() };
        self.free_pages = self.free_pages.wrapping_add(pages);
        if state == State::Clean {
            self.clean_pages = self.clean_pages.wrapping_add(pages);
        }
    }

    /// Calls `each` with the words and masks of a range of pages' clean bits.
    fn clean_bits(&mut self, first: u32, pages: u32, mut each: impl FnMut(&mut u64, u64)) {
        let (mut page, end) = (first, first + pages);
        while page < end {
            let stop = end.min((page / 64 + 1) * 64);
            let mask = (u64::MAX >> (64 - (stop - page))) << (page % 64);
            let unit = self.unit((page / UNIT_PAGES) as usize);
            each(&mut unit.clean[(page % UNIT_PAGES / 64) as usize], mask);
            page = stop;
        }
    }

    /// Whether all pages of a range are known to read as zero.
    fn state_of(&mut self, first: u32, pages: u32) -> State {
        let mut clean = true;
        self.clean_bits(first, pages, |word, mask| clean &= *word & mask == mask);
        if clean { State::Clean } else { State::Dirty }
    }

    fn set_clean(&mut self, first: u32, pages: u32, clean: bool) {
        self.clean_bits(first, pages, |word, mask| {
            *word = if clean { *word | mask } else { *word & !mask };
        });
    }

    /// Frees one run and joins it with its buddies.
    fn join(&mut self, mut page: u32, mut order: usize) {
        let mut state = self.state_of(page, 1 << order);
        while order < MAX_ORDER {
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
    fn join_range(&mut self, first: u32, pages: u32) {
        let (mut page, end) = (first, first + pages);
        while page < end {
            let aligned = (page.trailing_zeros() as usize).min(MAX_ORDER);
            let order = aligned.min((end - page).ilog2() as usize);
            self.join(page, order);
            page += 1 << order;
        }
    }

    /// Gives a range of pages to the buddy system: new ones, or a run that is
    /// no longer used. Its first `dirty` pages may hold anything; the rest
    /// are known to read as zero.
    pub fn give(&mut self, first: PageIndex, pages: u32, dirty: u32) {
        debug_assert!(dirty <= pages);
        self.set_clean(first.0, dirty, false);
        self.set_clean(first.0 + dirty, pages - dirty, true);
        self.join_range(first.0, pages);
    }

    /// Takes exactly `pages` pages, at most a unit, aligned to a power of two
    /// of at least `pages` and `alignment` pages, from a run of an order up
    /// to `most`.
    pub fn take(&mut self, pages: u32, alignment: u32, most: usize) -> Option<Run> {
        debug_assert!(pages >= 1 && alignment.is_power_of_two());
        let order = order_for(pages.max(alignment));
        let (mut found, unit, state) = [State::Dirty, State::Clean]
            .into_iter()
            .flat_map(|state| (order..=most).map(move |order| (order, state)))
            .find_map(|(order, state)| {
                let unit = self.find(kind_of(state, order))?;
                Some((order, unit, state))
            })?;
        let (range, mask) = words_of(found);
        let words = &self.unit(unit).free[state as usize];
        let word = range.clone().find(|&i| words[i] & mask != 0)?;
        let bit = word * 64 + (words[word] & mask).trailing_zeros() as usize;
        let place = (bit - (1024 - (1024 >> found))) << found;
        let mut page = unit as u32 * UNIT_PAGES + place as u32;
        self.remove(found, page);
        while found > order {
            found -= 1;
            let upper = page + (1 << found);
            let (low, high) = (
                self.state_of(page, 1 << found),
                self.state_of(upper, 1 << found),
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
        self.join_range(page + pages, (1 << order) - pages);
        Some(Run {
            first: PageIndex(page),
            pages,
            clean,
        })
    }

    /// Takes exactly `pages` pages that start at a multiple of `alignment`,
    /// wherever they are, in the first `units` units: a search through all of
    /// them, for when nothing else helps.
    pub fn take_anywhere(&mut self, pages: u32, alignment: u32, units: usize) -> Option<Run> {
        let (mut page, mut first) = (0, 0);
        while page < units as u32 * UNIT_PAGES {
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
        let (mut page, end) = (first.0, first.0 + pages);
        while page < end {
            let (run, order) = self.run_around(page)?;
            page = run + (1 << order);
        }
        let mut page = first.0;
        while page < end {
            let (run, order) = self.run_around(page)?;
            self.remove(order, run);
            let run_end = run + (1 << order);
            self.join_range(run, page - run);
            if run_end > end {
                self.join_range(end, run_end - end);
            }
            page = run_end;
        }
        Some(self.state_of(first.0, pages) == State::Clean)
    }

    /// The free run that a page lies in.
    fn run_around(&mut self, page: u32) -> Option<(u32, usize)> {
        let unit = (page / UNIT_PAGES) as usize;
        (0..ORDERS).find_map(|order| {
            let bit = bit_of(order, page);
            let free = &self.unit(unit).free;
            let here = (free[0][bit / 64] | free[1][bit / 64]) >> (bit % 64) & 1 != 0;
            here.then(|| (page >> order << order, order))
        })
    }

    /// Visits dirty free runs of order `least` and above, the longest first,
    /// until those for which `purge` returns true, which become clean, are
    /// `wanted` pages or more. Returns how many they are.
    pub fn purge(
        &mut self,
        least: usize,
        wanted: usize,
        mut purge: impl FnMut(PageIndex, u32) -> bool,
    ) -> usize {
        let mut purged = 0;
        for order in (least..ORDERS).rev() {
            let mut from = 0;
            while purged < wanted
                && let Some(page) = self.next_dirty(order, from)
            {
                from = page + (1 << order);
                if purge(PageIndex(page), 1 << order) {
                    self.remove(order, page);
                    self.set_clean(page, 1 << order, true);
                    self.insert(State::Clean, order, page);
                    purged += 1 << order;
                }
            }
        }
        purged
    }

    /// The lowest dirty run of an order at or above a page.
    fn next_dirty(&mut self, order: usize, from: u32) -> Option<u32> {
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

    /// The lowest unit at or above `from` that has a run of this kind.
    fn next_marked(&mut self, kind: usize, from: usize) -> Option<usize> {
        let mut unit = from;
        while unit < MAX_UNITS {
            let (top, second) = (unit / FAN / FAN / FAN, unit / FAN / FAN);
            if self.top[top].mask[kind] >> (second % FAN) & 1 == 0 {
                unit = (second + 1) * FAN * FAN;
                continue;
            }
            let first = unit / FAN;
            if self.level2[second].mask[kind] >> (first % FAN) & 1 == 0 {
                unit = (first + 1) * FAN;
                continue;
            }
            let mask = self.level1(first).mask[kind] >> (unit % FAN);
            if mask != 0 {
                return Some(unit + mask.trailing_zeros() as usize);
            }
            unit = (first + 1) * FAN;
        }
        None
    }

    /// Takes a unit that is wholly free out, to be unmapped: it becomes a
    /// hole. The lowest one at or above `from`, with its number.
    pub fn dig_hole(&mut self, from: usize) -> Option<usize> {
        let unit = [State::Dirty, State::Clean]
            .into_iter()
            .filter_map(|state| self.next_marked(kind_of(state, MAX_ORDER), from))
            .min()?;
        self.remove(MAX_ORDER, unit as u32 * UNIT_PAGES);
        self.mark(HOLE, unit);
        Some(unit)
    }

    /// The lowest hole.
    pub fn hole(&mut self) -> Option<usize> {
        self.find(HOLE)
    }

    /// Fills a hole that has been mapped anew; its pages are free and clean.
    pub fn fill_hole(&mut self, unit: usize) {
        self.unmark(HOLE, unit);
        self.give(PageIndex(unit as u32 * UNIT_PAGES), UNIT_PAGES, 0);
    }

    /// Puts back as free a hole that could not be unmapped.
    pub fn restore_hole(&mut self, unit: usize) {
        self.unmark(HOLE, unit);
        self.join_range(unit as u32 * UNIT_PAGES, UNIT_PAGES);
    }

    /// Whether the bits below `units` are consistent: no page is in two free
    /// runs, buddies are joined, states agree with the clean bits, and the
    /// tree and the counters say what the units say.
    pub fn is_valid(&mut self, units: usize) -> bool {
        let (mut free, mut clean) = (0, 0);
        for unit in 0..units {
            let mut seen = [0u64; 8];
            for order in 0..ORDERS {
                let mut has = [false; 2];
                for place in 0..(UNIT_PAGES >> order) {
                    let page = unit as u32 * UNIT_PAGES + (place << order);
                    let bit = bit_of(order, page);
                    let bits = &self.unit(unit).free;
                    let here = [0, 1].map(|s| bits[s][bit / 64] >> (bit % 64) & 1 != 0);
                    if !here[0] && !here[1] {
                        continue;
                    }
                    let buddy = bit_of(order, page ^ (1 << order));
                    let joined = order == MAX_ORDER
                        || (bits[0][buddy / 64] | bits[1][buddy / 64]) >> (buddy % 64) & 1 == 0;
                    let state = self.state_of(page, 1 << order);
                    let mut overlap = false;
                    for p in page..page + (1 << order) {
                        let (word, bit) = ((p % UNIT_PAGES / 64) as usize, p % 64);
                        overlap |= seen[word] >> bit & 1 != 0;
                        seen[word] |= 1 << bit;
                    }
                    if here[0] && here[1] || overlap || !joined || !here[state as usize] {
                        return false;
                    }
                    has[state as usize] = true;
                    free += 1usize << order;
                    clean += if here[1] { 1usize << order } else { 0 };
                }
                for state in [State::Dirty, State::Clean] {
                    let mask = self.level1(unit / FAN).mask[kind_of(state, order)];
                    if (mask >> (unit % FAN) & 1 != 0) != has[state as usize] {
                        return false;
                    }
                }
            }
        }
        (free, clean) == (self.free_pages, self.clean_pages)
    }
}

/// The bytes of a unit's state, and of a node's.
pub const UNIT_BYTES: usize = mem::size_of::<Unit>();
/// See [`UNIT_BYTES`].
pub const NODE_BYTES: usize = mem::size_of::<Node>();
/// The units that one node of the lowest level stands for.
pub const NODE_UNITS: usize = FAN;
