//! The check: whether every entry is found, and as many as are counted.

use super::{EMPTY, Table};
use crate::fatal::{Checked, ensure};
use crate::os::memory;

impl Table {
    /// Whether the table finds each of its entries, none twice, all of them are
    /// possible, and their number and their bytes are these.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn check(&mut self, bytes: usize, seams: usize) -> Checked {
        let place = self.places as usize;
        ensure(
            (self.used + self.out) * 2 <= self.capacity,
            "a table of large blocks that is too full",
            place,
        )?;
        let page = memory::page_size();
        let (mut count, mut sum, mut joined) = (0, 0, 0);
        for place in 0..self.capacity {
            let entry = self.places()[place];
            if entry == EMPTY {
                continue;
            }
            let is_possible = entry.address.is_multiple_of(page)
                && entry.length > 0
                && entry.length.is_multiple_of(page)
                && entry.seams.before(entry.length) == entry.seams
                && entry.address != 0;
            ensure(is_possible, "an impossible large block", entry.address)?;
            ensure(
                self.position(entry.address) == Some(place),
                "a large block that is not found",
                entry.address,
            )?;
            count += 1;
            sum += entry.length;
            joined += entry.seams.count();
        }
        ensure(
            count == self.used && sum == bytes && joined == seams,
            "large blocks that do not add up",
            place,
        )
    }

    /// How many places there are.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Moves an entry to a place where it is not looked for, or back, for a test.
    #[cfg(test)]
    pub fn poke(&mut self, address: usize) {
        let capacity = self.capacity;
        let from = self
            .places()
            .iter()
            .position(|entry| entry.address == address)
            .expect("the entry is there");
        let to = (0..capacity)
            .map(|step| (from + capacity / 2 + step) % capacity)
            .find(|&place| self.places()[place] == EMPTY)
            .expect("a table is half empty");
        self.places().swap(from, to);
    }
}
