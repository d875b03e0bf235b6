//! The tree: which units have a free run of a kind, and which are holes.
//!
//! Three levels of bits, 64 to a node. A bit is set as long as there is one
//! set below it, so that the lowest unit is found by three bit scans; one word
//! above all says of which kinds there are any.

use core::ops::RangeInclusive;

use super::unit::State;
use super::{Buddy, FAN, MAX_UNITS, ORDERS};

/// Places in a node's masks: an order in a state each, then the holes.
pub(super) const KINDS: usize = 2 * ORDERS + 1;
/// Units that are not mapped at present.
pub(super) const HOLE: usize = 2 * ORDERS;

/// For each kind of run, which of 64 children has one; all zero when empty.
#[repr(C)]
pub struct Node {
    pub(super) mask: [u64; KINDS],
}

impl Node {
    pub(super) const EMPTY: Self = Self { mask: [0; KINDS] };
}

/// The place of a state and an order in a node's masks.
pub(super) fn kind_of(state: State, order: usize) -> usize {
    state as usize * ORDERS + order
}

/// The state and the order of a kind.
pub(super) fn parts_of(kind: usize) -> (State, usize) {
    match kind.checked_sub(ORDERS) {
        None => (State::Dirty, kind),
        Some(order) => (State::Clean, order),
    }
}

impl Buddy {
    /// A node of the lowest level.
    pub(super) fn level1(&mut self, node: usize) -> &mut Node {
        // SAFETY: as for `unit`.
        unsafe { &mut *self.level1.add(node) }
    }

    /// Notes that a unit has a run of this kind.
    pub(super) fn mark(&mut self, kind: usize, unit: usize) {
        let node = &mut self.level1(unit / FAN).mask[kind];
        let before = *node;
        *node |= 1 << (unit % FAN);
        if before != 0 {
            return;
        }
        let parent = unit / FAN;
        self.level2[parent / FAN].mask[kind] |= 1 << (parent % FAN);
        let parent = parent / FAN;
        self.top[parent / FAN].mask[kind] |= 1 << (parent % FAN);
        self.present |= 1 << kind;
    }

    /// Notes that a unit has no run of this kind.
    pub(super) fn unmark(&mut self, kind: usize, unit: usize) {
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
        if self.top.iter().all(|top| top.mask[kind] == 0) {
            self.present &= !(1 << kind);
        }
    }

    /// The first kind of run that there is among these orders.
    pub(super) fn first_kind(&self, orders: RangeInclusive<usize>) -> Option<usize> {
        let orders = ((2 << orders.end()) - 1) & (u32::MAX << orders.start());
        let kinds = self.present & (orders | orders << ORDERS);
        (kinds != 0).then(|| kinds.trailing_zeros() as usize)
    }

    /// The lowest unit that has a run of this kind.
    pub(super) fn find(&mut self, kind: usize) -> Option<usize> {
        let lowest = |mask: u64| mask.trailing_zeros() as usize;
        let top = (0..2).find(|&i| self.top[i].mask[kind] != 0)?;
        let second = top * FAN + lowest(self.top[top].mask[kind]);
        let first = second * FAN + lowest(self.level2[second].mask[kind]);
        Some(first * FAN + lowest(self.level1(first).mask[kind]))
    }

    /// The lowest unit at or above `from` that has a run of this kind.
    pub(super) fn next_marked(&mut self, kind: usize, from: usize) -> Option<usize> {
        self.next_marked_any(kind..=kind, from)
    }

    /// The lowest unit at or above `from` that has a run of one of these kinds.
    pub(super) fn next_marked_any(
        &mut self,
        kinds: RangeInclusive<usize>,
        from: usize,
    ) -> Option<usize> {
        let any = |node: &Node| {
            node.mask[kinds.clone()]
                .iter()
                .fold(0, |or, mask| or | mask)
        };
        // The bits from a place on, and the first of them that is set.
        let next = |mask: u64, from: usize| {
            let rest = mask & (u64::MAX << (from % FAN));
            (rest != 0).then(|| from / FAN * FAN + rest.trailing_zeros() as usize)
        };
        let mut unit = from;
        while unit < MAX_UNITS {
            let (first, second) = (unit / FAN, unit / FAN / FAN);
            let Some(found) = next(any(&self.top[second / FAN]), second) else {
                unit = (second / FAN + 1) * FAN * FAN * FAN;
                continue;
            };
            let first = first.max(found * FAN);
            let Some(found) = next(any(&self.level2[found]), first) else {
                unit = (found + 1) * FAN * FAN;
                continue;
            };
            let unit_from = unit.max(found * FAN);
            match next(any(self.level1(found)), unit_from) {
                Some(unit) => return Some(unit),
                None => unit = (found + 1) * FAN,
            }
        }
        None
    }
}
