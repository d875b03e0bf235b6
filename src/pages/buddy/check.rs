//! The check: whether bits, tree and counters agree.

use super::tree::{KINDS, kind_of};
use super::unit::{State, bit_of};
use super::{Buddy, FAN, MAX_ORDER, ORDERS, UNIT_PAGES};

/// What one unit's bits say.
struct Seen {
    /// For each state and order, whether there is such a run.
    has: [[bool; ORDERS]; 2],
    /// The pages in free runs, and in clean OS pages.
    free: usize,
    clean: usize,
}

impl Buddy {
    /// Whether the bits below `units` are consistent: no page is in two free
    /// runs, those in one are marked free, buddies are joined, states agree with
    /// the clean bits, and the tree and the counters say what the units say.
    pub fn is_valid(&mut self, units: usize) -> bool {
        let (mut free, mut clean) = (0, 0);
        for unit in 0..units {
            let Some(seen) = self.look_at(unit) else {
                return false;
            };
            if !self.tree_agrees(unit, &seen) {
                return false;
            }
            free += seen.free;
            clean += seen.clean;
        }
        let is_present = |kind: usize| self.top.iter().any(|top| top.mask[kind] != 0);
        let present = (0..KINDS).filter(|&kind| is_present(kind));
        let present = present.fold(0, |kinds, kind| kinds | 1 << kind);
        (free, clean, present) == (self.free_pages, self.clean_pages, self.present)
    }

    /// Turns a bit of a unit over, for a test; the other call undoes it.
    #[cfg(test)]
    pub fn poke(&mut self, unit: usize) {
        self.unit(unit).free[0][0] ^= 1 << 5;
    }

    /// What a unit's bits say; `None` where they contradict one another.
    fn look_at(&mut self, unit: usize) -> Option<Seen> {
        let mut seen = Seen {
            has: [[false; ORDERS]; 2],
            free: 0,
            clean: 0,
        };
        let mut covered = [0u64; UNIT_PAGES as usize / 64];
        for order in 0..ORDERS {
            for place in 0..(UNIT_PAGES >> order) {
                let first = place << order;
                let page = unit as u32 * UNIT_PAGES + first;
                let Some(state) = self.state_at(order, page)? else {
                    continue;
                };
                let is_joined =
                    order == MAX_ORDER || self.state_at(order, page ^ (1 << order))?.is_none();
                if !is_joined || state != self.state_of(page, 1 << order) {
                    return None;
                }
                for page in first..first + (1 << order) {
                    let word = &mut covered[page as usize / 64];
                    if *word >> (page % 64) & 1 != 0 {
                        return None;
                    }
                    *word |= 1 << (page % 64);
                }
                seen.has[state as usize][order] = true;
                seen.free += 1 << order;
                let grain = self.grain;
                if order >= grain {
                    let is_clean = |&page: &u32| self.state_of(page, 1 << grain) == State::Clean;
                    let os_pages = (page..page + (1 << order)).step_by(1 << grain);
                    seen.clean += os_pages.filter(is_clean).count() << grain;
                }
            }
        }
        (covered == self.unit(unit).pages).then_some(seen)
    }

    /// The state of the free run of an order at a page, if there is one;
    /// `None` where it is in both.
    fn state_at(&mut self, order: usize, page: u32) -> Option<Option<State>> {
        let bit = bit_of(order, page);
        let free = &self.unit((page / UNIT_PAGES) as usize).free;
        match [State::Dirty, State::Clean]
            .map(|state| free[state as usize][bit / 64] >> (bit % 64) & 1 != 0)
        {
            [true, true] => None,
            [true, false] => Some(Some(State::Dirty)),
            [false, true] => Some(Some(State::Clean)),
            [false, false] => Some(None),
        }
    }

    /// Whether the tree says of a unit what its bits say, and each node what
    /// its child says.
    fn tree_agrees(&mut self, unit: usize, seen: &Seen) -> bool {
        let (first, second, top) = (unit / FAN, unit / FAN / FAN, unit / FAN / FAN / FAN);
        [State::Dirty, State::Clean].into_iter().all(|state| {
            (0..ORDERS).all(|order| {
                let kind = kind_of(state, order);
                let below = self.level1(first).mask[kind];
                let middle = self.level2[second].mask[kind];
                let above = self.top[top].mask[kind];
                (below >> (unit % FAN) & 1 != 0) == seen.has[state as usize][order]
                    && (middle >> (first % FAN) & 1 != 0) == (below != 0)
                    && (above >> (second % FAN) & 1 != 0) == (middle != 0)
            })
        })
    }
}
