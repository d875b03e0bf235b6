//! The table of large mappings: an open hash table from address to length.
//!
//! A large block has no header and lies outside the window, so this table is
//! what tells it from a foreign pointer. Linear probing, at most half full,
//! in a mapping of its own that doubles. It also keeps the last addresses
//! that were unmapped or given back, to tell a double free from a pointer
//! that never was a block.

#[cfg(all(any(test, debug_assertions), not(loom)))]
mod check;

use super::fresh::{self, Purpose};
use super::seams::Seams;
use super::stranded;
use crate::os::memory;

/// A large block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its address, the start of its mapping; 0 in an empty place.
    pub address: usize,
    /// The length of its mapping in bytes.
    pub length: usize,
    /// Whom it is counted for: 0, or an explicit heap's address.
    pub holder: usize,
    /// Whether it lies between guards; see `pages::guarded`.
    pub guarded: bool,
    /// Where the kernel's mappings meet in it.
    pub seams: Seams,
    /// How many bytes were asked for.
    #[cfg(feature = "hardened")]
    pub requested: usize,
}

/// What an empty place holds.
pub const EMPTY: Entry = Entry {
    address: 0,
    length: 0,
    holder: 0,
    guarded: false,
    seams: Seams::NONE,
    #[cfg(feature = "hardened")]
    requested: 0,
};

/// All large blocks of the process.
pub struct Table {
    places: *mut Entry,
    capacity: usize,
    used: usize,
    /// Entries that are out for a moment and will come back.
    out: usize,
}

// SAFETY: the pointer is to a mapping that only this value reaches.
unsafe impl Send for Table {}

impl Table {
    /// A table without places.
    pub const fn new() -> Self {
        Self {
            places: core::ptr::null_mut(),
            capacity: 0,
            used: 0,
            out: 0,
        }
    }

    fn places(&mut self) -> &mut [Entry] {
        if self.capacity == 0 {
            return &mut [];
        }
        // SAFETY: `reserve` mapped this many places, zeroed, which is EMPTY.
        unsafe { core::slice::from_raw_parts_mut(self.places, self.capacity) }
    }

    /// The place where an address is or would be put.
    fn home(&self, address: usize) -> usize {
        // The address is page-aligned: multiply the page number by 2^64 over
        // the golden ratio and keep the high bits.
        let hash = ((address >> 12) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> (64 - self.capacity.trailing_zeros())) as usize
    }

    fn position(&mut self, address: usize) -> Option<usize> {
        if self.capacity == 0 || address == 0 {
            return None;
        }
        let mask = self.capacity - 1;
        let mut place = self.home(address);
        let places = self.places();
        while places[place].address != address {
            if places[place] == EMPTY {
                return None;
            }
            place = (place + 1) & mask;
        }
        Some(place)
    }

    /// Makes sure that one more entry can be inserted. Returns whether there
    /// was memory for it.
    pub fn reserve(&mut self) -> bool {
        if (self.used + self.out + 1) * 2 <= self.capacity {
            return true;
        }
        let places = self.capacity.max(1) * 2;
        let bytes = (places * size_of::<Entry>()).next_multiple_of(memory::page_size());
        let Ok(mapping) = fresh::map(bytes, Purpose::Table) else {
            return false;
        };
        let capacity = 1 << (bytes / size_of::<Entry>()).ilog2();
        let mut larger = Self {
            places: mapping as *mut Entry,
            capacity,
            used: 0,
            out: self.out,
        };
        for &entry in self.places().iter().filter(|&&entry| entry != EMPTY) {
            larger.insert(entry);
        }
        if self.capacity > 0 {
            let (start, old) = self.storage();
            // SAFETY: the old places were copied, and only `self` knew them.
            unsafe { stranded::unmap(start, old) };
        }
        *self = larger;
        true
    }

    /// Inserts a new entry, for which [`Table::reserve`] made room.
    pub fn insert(&mut self, entry: Entry) {
        debug_assert!(entry.address != 0 && self.used < self.capacity);
        let mask = self.capacity - 1;
        let mut place = self.home(entry.address);
        while self.places()[place] != EMPTY {
            place = (place + 1) & mask;
        }
        self.places()[place] = entry;
        self.used += 1;
    }

    /// The entry of a block.
    pub fn get(&mut self, address: usize) -> Option<Entry> {
        let place = self.position(address)?;
        Some(self.places()[place])
    }

    /// Notes how many bytes were asked for of a block.
    #[cfg(feature = "hardened")]
    pub fn set_requested(&mut self, address: usize, size: usize) {
        if let Some(place) = self.position(address) {
            self.places()[place].requested = size;
        }
    }

    /// Takes a block's entry out.
    pub fn remove(&mut self, address: usize) -> Option<Entry> {
        let mut hole = self.position(address)?;
        let removed = self.places()[hole];
        let mask = self.capacity - 1;
        // Close the hole: an entry moves into it unless its home lies behind.
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let entry = self.places()[place];
            if entry == EMPTY {
                break;
            }
            let home = self.home(entry.address);
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(hole) & mask) {
                self.places()[hole] = entry;
                hole = place;
            }
        }
        self.places()[hole] = EMPTY;
        self.used -= 1;
        Some(removed)
    }

    /// Takes a block's entry out for a moment; its place is kept for
    /// [`Table::put_back`].
    pub fn take_out(&mut self, address: usize) -> Option<Entry> {
        let entry = self.remove(address)?;
        self.out += 1;
        Some(entry)
    }

    /// Inserts an entry, changed or not, that was taken out.
    pub fn put_back(&mut self, entry: Entry) {
        self.out -= 1;
        self.insert(entry);
    }

    /// Takes out an entry of this holder. `from` is 0 at first and is moved
    /// on, so that all calls together go through the table once.
    pub fn remove_of(&mut self, holder: usize, from: &mut usize) -> Option<Entry> {
        while *from < self.capacity {
            let entry = self.places()[*from];
            if entry.address != 0 && entry.holder == holder {
                // Another entry may move to this place: look at it again.
                return self.remove(entry.address);
            }
            *from += 1;
        }
        None
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Where the places lie: address and bytes.
    pub fn storage(&self) -> (usize, usize) {
        let bytes = self.capacity * size_of::<Entry>();
        let mapped = bytes.next_multiple_of(memory::page_size());
        (self.places as usize, mapped)
    }

    /// The entries from the place `from` on, which is moved on behind the last
    /// that was given; as many as `entries` has room for. Returns how many.
    pub fn copy(&mut self, from: &mut usize, entries: &mut [Entry]) -> usize {
        let mut copied = 0;
        while copied < entries.len() && *from < self.capacity {
            let entry = self.places()[*from];
            *from += 1;
            if entry != EMPTY {
                entries[copied] = entry;
                copied += 1;
            }
        }
        copied
    }
}

/// The last addresses that were given back.
pub struct Recent {
    addresses: [usize; 64],
    next: usize,
}

impl Recent {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            addresses: [0; 64],
            next: 0,
        }
    }

    /// Notes an address.
    pub fn note(&mut self, address: usize) {
        self.addresses[self.next] = address;
        self.next = (self.next + 1) % self.addresses.len();
    }

    /// Whether an address is among them.
    pub fn has(&self, address: usize) -> bool {
        address != 0 && self.addresses.contains(&address)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec((any::<bool>(), 1usize..400), 0..2000)) {
            let mut table = Table::new();
            let mut model = HashMap::new();
            for (insert, page) in steps {
                let address = page << 12;
                if insert && !model.contains_key(&address) {
                    let entry = Entry {
                        address,
                        length: page,
                        holder: page % 3,
                        guarded: page % 2 == 0,
                        seams: Seams::NONE,
                        #[cfg(feature = "hardened")]
                        requested: page,
                    };
                    prop_assert!(table.reserve());
                    table.insert(entry);
                    model.insert(address, entry);
                } else if !insert {
                    prop_assert_eq!(table.remove(address), model.remove(&address));
                }
                prop_assert_eq!(table.get(address), model.get(&address).copied());
            }
            prop_assert_eq!(table.len(), model.len());
            let (mut from, mut entries, mut copied) = (0, [EMPTY; 7], Vec::new());
            loop {
                match table.copy(&mut from, &mut entries) {
                    0 => break,
                    count => copied.extend_from_slice(&entries[..count]),
                }
            }
            let found: HashMap<_, _> = copied.iter().map(|entry| (entry.address, *entry)).collect();
            prop_assert_eq!(copied.len(), model.len());
            prop_assert_eq!(&found, &model);
            let mut from = 0;
            while let Some(entry) = table.remove_of(1, &mut from) {
                prop_assert_eq!(model.remove(&entry.address), Some(entry));
            }
            prop_assert!(model.values().all(|entry| entry.holder != 1));
            for page in 1..400 {
                prop_assert_eq!(table.get(page << 12), model.get(&(page << 12)).copied());
            }
        }
    }
}
