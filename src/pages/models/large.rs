//! Large blocks: the kernel gives an address that was unmapped to the next who
//! asks, so that what the table says of it must have changed before.
//!
//! Table and lock ship; the steps are as in `large::{allocate, free, resize}` and
//! `large::kept`, and so is what of each is under the lock. The model's kernel has
//! few addresses, and gives the lowest that is free.

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::thread;

use super::super::seams::Seams;
use super::super::table::{Entry, Table};
use super::{check, forever};
use crate::sync::Locked;

const PAGE: usize = 4096;

struct Large {
    table: UnsafeCell<Table>,
    /// The one mapping that is kept; 0: none.
    kept: UnsafeCell<usize>,
}

impl Large {
    fn table<R>(&self, with: impl FnOnce(&mut Table) -> R) -> R {
        // SAFETY: the checker sees to it that nobody else is at it.
        self.table.with_mut(|table| with(unsafe { &mut *table }))
    }

    /// Keeps another mapping; returns the one that was kept.
    fn keep(&self, address: usize) -> usize {
        // SAFETY: as above.
        self.kept
            .with_mut(|kept| unsafe { core::mem::replace(&mut *kept, address) })
    }
}

struct World {
    large: Locked<Large>,
    /// Which addresses are mapped.
    kernel: Mutex<[bool; 4]>,
}

impl World {
    fn new() -> &'static Self {
        forever(Self {
            large: Locked::new(Large {
                table: UnsafeCell::new(Table::new()),
                kept: UnsafeCell::new(0),
            }),
            kernel: Mutex::new([false; 4]),
        })
    }

    fn map(&self) -> usize {
        let mut mapped = self.kernel.lock().unwrap();
        let free = mapped
            .iter()
            .position(|it| !it)
            .expect("an address is free");
        mapped[free] = true;
        (free + 1) * PAGE
    }

    fn unmap(&self, address: usize) {
        if address > 0 {
            let mut mapped = self.kernel.lock().unwrap();
            assert!(mapped[address / PAGE - 1], "it is unmapped twice");
            mapped[address / PAGE - 1] = false;
        }
    }

    /// Moves a mapping, as mremap may.
    fn remap(&self, address: usize) -> usize {
        let moved = self.map();
        self.unmap(address);
        moved
    }

    fn allocate(&self, holder: usize) -> usize {
        let kept = self.large.lock().keep(0);
        let address = if kept > 0 { kept } else { self.map() };
        let entry = Entry {
            address,
            length: PAGE,
            holder,
            guarded: false,
            seams: Seams::NONE,
        };
        self.large.lock().table(|table| {
            assert!(table.reserve());
            assert_eq!(table.get(address), None, "two blocks at an address");
            table.insert(entry);
        });
        address
    }

    fn holder_of(&self, address: usize) -> Option<usize> {
        let found = self.large.lock().table(|table| table.get(address));
        found.map(|entry| entry.holder)
    }

    fn free(&self, address: usize) {
        let entry = self.large.lock().table(|table| table.remove(address));
        assert!(entry.is_some(), "a block is not found");
        let leaving = self.large.lock().keep(address);
        self.unmap(leaving);
    }

    fn resize(&self, address: usize) -> usize {
        let entry = self.large.lock().table(|table| table.take_out(address));
        let entry = entry.expect("a block is found");
        let address = self.remap(address);
        self.large.lock().table(|table| {
            assert_eq!(table.get(address), None, "two blocks at an address");
            table.put_back(Entry { address, ..entry });
        });
        address
    }

    fn release_kept(&self) {
        let kept = self.large.lock().keep(0);
        self.unmap(kept);
    }

    /// A thread's whole business with one block, or, moved, with another.
    fn use_one(&self, holder: usize, resized: bool) {
        let mut block = self.allocate(holder);
        assert_eq!(self.holder_of(block), Some(holder));
        if resized {
            block = self.resize(block);
            assert_eq!(self.holder_of(block), Some(holder));
        }
        self.free(block);
    }

    fn check_end(&self) {
        self.release_kept();
        assert_eq!(self.large.lock().table(|table| table.len()), 0);
        assert_eq!(*self.kernel.lock().unwrap(), [false; 4]);
    }
}

#[test]
fn loom_an_address_is_one_blocks_at_a_time() {
    check(Some(4), || {
        let world = World::new();
        let other = thread::spawn(|| world.use_one(1, false));
        world.use_one(2, false);
        other.join().unwrap();
        world.check_end();
    });
}

/// One moves, as `realloc` does; what it leaves is another's at once.
#[test]
fn loom_a_block_that_moves_is_found_where_it_is() {
    check(Some(4), || {
        let world = World::new();
        let other = thread::spawn(|| world.use_one(1, true));
        world.use_one(2, false);
        other.join().unwrap();
        world.check_end();
    });
}

/// What is kept is given up meanwhile.
#[test]
fn loom_a_kept_mapping_is_taken_or_unmapped_once() {
    check(Some(3), || {
        let world = World::new();
        world.use_one(3, false);
        let others = [
            thread::spawn(|| world.use_one(1, false)),
            thread::spawn(|| world.release_kept()),
        ];
        world.use_one(2, false);
        for other in others {
            other.join().unwrap();
        }
        world.check_end();
    });
}
