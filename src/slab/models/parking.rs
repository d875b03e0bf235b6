//! Parking: trim takes the pages of a slab that a live thread has as its current
//! one.
//!
//! The steps on the slab are those that ship, `slab::parked`, on blocks that the
//! checker watches; those on the heap are as in `heap::park`, the owner's as in
//! `Slab::pop`, `Slab::push` and `refill`. Purging a block's page is a write to
//! what is in it, and so a data race with whoever has or gets the block.
//!
//! # The barrier
//!
//! membarrier(2) has every running thread pass a full barrier, wherever it is,
//! before it returns. The checker knows no such step. What the kernel promises
//! is, for each place in a thread's program: either all that the thread did
//! before the place is seen by who called, after the call, or all that the
//! caller did before the call is seen by the thread behind the place. Two
//! sequentially consistent fences promise just that of each other. So here the
//! caller has one for the call, and the owner one between any two of its steps,
//! for each place where it may be interrupted. Nobody else has any, so that they
//! order nothing but the owner and the call; and for the one step of the owner
//! that falls together with the call they promise nothing, where the kernel
//! still does. So the models allow what happens, and a little more.
//!
//! Of a store and an exchange that meet the checker leaves open which comes
//! later, even to those who have seen both. No processor does. So the owner's
//! stores to words that others exchange are exchanges here, too.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering, fence};
use loom::sync::{Mutex, MutexGuard};
use loom::thread;

use super::super::parked::{Parkable, empty, refill};
use super::{RemoteQueue, check, forever};

/// The blocks of the slab, all cut.
const BLOCKS: usize = 2;

/// What is in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    /// The mark of a free one.
    Key,
    /// The program's.
    User,
    /// Nothing: the page was purged.
    Gone,
}

struct Block {
    next: AtomicPtr<Block>,
    contents: UnsafeCell<Contents>,
}

impl Block {
    fn get(&self) -> Contents {
        // SAFETY: the checker sees to it that nobody else is at it.
        self.contents.with(|contents| unsafe { *contents })
    }

    fn set(&self, to: Contents) {
        // SAFETY: as above.
        self.contents.with_mut(|contents| unsafe { *contents = to });
    }
}

struct Slab {
    list: AtomicPtr<Block>,
    queue: RemoteQueue,
    cut: AtomicU32,
    blocks: [Block; BLOCKS],
    emptied: UnsafeCell<*mut Block>,
}

/// Ends of lists: addresses that no block has.
fn end() -> *mut Block {
    core::ptr::without_provenance_mut(8)
}

fn is_end(block: *mut Block) -> bool {
    block == end() || block == Slab::mark()
}

impl Slab {
    fn at(&self, block: usize) -> *mut Block {
        core::ptr::from_ref(&self.blocks[block]).cast_mut()
    }

    fn number(&self, block: *mut Block) -> usize {
        (0..BLOCKS)
            .find(|&number| self.at(number) == block)
            .unwrap()
    }

    fn known(&self, block: *mut Block) -> &Block {
        &self.blocks[self.number(block)]
    }

    fn push_remote(&self, block: *mut Block) {
        self.known(block).set(Contents::Key);
        let link = |below: usize| {
            let next = &self.known(block).next;
            next.store(
                core::ptr::with_exposed_provenance_mut(below),
                Ordering::Relaxed,
            );
        };
        let address = block.expose_provenance();
        if self.queue.push_open(address, link).is_none() {
            self.queue.push(address, end() as usize, true, link);
        }
    }
}

impl Parkable for Slab {
    type Block = Block;

    fn end() -> *mut Block {
        end()
    }

    fn mark() -> *mut Block {
        core::ptr::without_provenance_mut(16)
    }

    fn list(&self) -> &AtomicPtr<Block> {
        &self.list
    }

    fn queue(&self) -> &RemoteQueue {
        &self.queue
    }

    fn length(&self, first: *mut Block) -> Option<u32> {
        let (mut block, mut length) = (first, 0);
        while !is_end(block) {
            length += 1;
            if length > BLOCKS as u32 || block.is_null() {
                return None;
            }
            block = self.known(block).next.load(Ordering::Relaxed);
        }
        Some(length)
    }

    fn cut(&self) -> u32 {
        self.cut.load(Ordering::Relaxed)
    }

    fn emptied(&self) -> *mut Block {
        // SAFETY: the checker sees to it that nobody else is at it.
        self.emptied.with(|emptied| unsafe { *emptied })
    }

    fn set_emptied(&self, first: *mut Block) {
        // SAFETY: as above.
        self.emptied.with_mut(|emptied| unsafe { *emptied = first });
        // Of its own accord the checker lets nobody in between the mark and the
        // queue.
        thread::yield_now();
    }

    fn queue_again(&self, block: *mut Block) {
        self.push_remote(block);
    }

    fn relist(&self, taken: Option<*mut Block>) {
        self.list.store(end(), Ordering::Relaxed);
        let Some(taken) = taken else {
            return self.cut.store(0, Ordering::Relaxed);
        };
        for block in (0..BLOCKS).map(|block| self.at(block)) {
            if block != taken {
                self.known(block).set(Contents::Key);
                let next = self.list.load(Ordering::Relaxed);
                self.known(block).next.store(next, Ordering::Relaxed);
                self.list.store(block, Ordering::Relaxed);
            }
        }
    }
}

/// A heap with one class.
struct World {
    slab: Slab,
    /// Whether the slab is the class's current one, in the heap's words.
    current: AtomicBool,
    lock: Mutex<()>,
    /// Whether it is parked; under the lock.
    parked: UnsafeCell<bool>,
}

// SAFETY: cells are watched by the checker, the rest is atomic.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    /// A current slab whose blocks are all free, so many of them in the queue.
    fn new(remote: usize) -> &'static Self {
        let world = forever(Self {
            slab: Slab {
                list: AtomicPtr::new(end()),
                queue: RemoteQueue::new(),
                cut: AtomicU32::new(BLOCKS as u32),
                blocks: [(); BLOCKS].map(|()| Block {
                    next: AtomicPtr::new(core::ptr::null_mut()),
                    contents: UnsafeCell::new(Contents::User),
                }),
                emptied: UnsafeCell::new(core::ptr::null_mut()),
            },
            current: AtomicBool::new(true),
            lock: Mutex::new(()),
            parked: UnsafeCell::new(false),
        });
        for block in 0..BLOCKS {
            let block = world.slab.at(block);
            if world.slab.number(block) < remote {
                world.slab.push_remote(block);
            } else {
                world.free(block);
            }
        }
        world
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap()
    }

    fn is_parked(&self) -> bool {
        // SAFETY: as in `Block::get`.
        self.parked.with(|parked| unsafe { *parked })
    }

    fn set_parked(&self, to: bool) {
        // SAFETY: as in `Block::get`.
        self.parked.with_mut(|parked| unsafe { *parked = to });
    }

    /// The owner's fast path. Between any two steps the barrier may fall.
    fn pop(&self) -> Option<*mut Block> {
        let slab = &self.slab;
        if !self.current.load(Ordering::Relaxed) {
            return None;
        }
        fence(Ordering::SeqCst);
        let block = slab.list.load(Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if is_end(block) {
            return None;
        }
        assert_eq!(slab.known(block).get(), Contents::Key, "a lost mark");
        let next = slab.known(block).next.load(Ordering::Relaxed);
        fence(Ordering::SeqCst);
        slab.list.swap(next, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        slab.known(block).set(Contents::User);
        Some(block)
    }

    /// The owner's malloc: by the fast path, or the slow one if need be.
    /// `None`: all blocks are handed out, or none is cut.
    fn malloc(&self) -> Option<*mut Block> {
        if let Some(block) = self.pop() {
            return Some(block);
        }
        let _guard = self.lock();
        self.unpark();
        self.current.store(true, Ordering::Relaxed);
        self.pop()
    }

    /// The owner takes a parked slab back. The caller holds the lock.
    fn unpark(&self) {
        if self.is_parked() {
            self.set_parked(false);
            refill(&self.slab);
        }
    }

    /// The owner's free.
    fn free(&self, block: *mut Block) {
        let slab = &self.slab;
        let first = slab.list.load(Ordering::Relaxed);
        fence(Ordering::SeqCst);
        slab.known(block).next.store(first, Ordering::Relaxed);
        slab.known(block).set(Contents::Key);
        fence(Ordering::SeqCst);
        slab.list.swap(block, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    fn is_all_free(&self) -> bool {
        let list = self.slab.list.load(Ordering::Relaxed);
        let local = self.slab.length(list).unwrap_or(0);
        local + self.slab.queue.count() == self.slab.cut()
    }

    /// Another thread trims. Returns whether it has purged pages.
    fn trim(&self) -> bool {
        let _guard = self.lock();
        if self.current.load(Ordering::Relaxed) && self.is_all_free() {
            self.current.store(false, Ordering::Relaxed);
            self.set_parked(true);
        }
        // The barrier.
        fence(Ordering::SeqCst);
        if !self.is_parked() || !self.slab.emptied().is_null() {
            return false;
        }
        let Some(first) = empty(&self.slab) else {
            return false;
        };
        for block in (0..BLOCKS).map(|block| self.slab.at(block)) {
            if block != first {
                self.slab.known(block).set(Contents::Gone);
            }
        }
        true
    }

    /// When all threads are through, every block is free, in one place, but for
    /// so many.
    fn check_end(&self, handed_out: u32) {
        let _guard = self.lock();
        self.unpark();
        let list = self.slab.list.load(Ordering::Relaxed);
        let mut block = list;
        while !is_end(block) {
            assert_eq!(self.slab.known(block).get(), Contents::Key, "a lost mark");
            block = self.slab.known(block).next.load(Ordering::Relaxed);
        }
        let local = self.slab.length(list).expect("the list has an end");
        let free = local + self.slab.queue.count();
        assert_eq!(free + handed_out, self.slab.cut(), "a block is lost");
    }
}

/// The owner allocates a block, and keeps it.
#[test]
fn loom_a_pop_under_way_gets_its_block_or_none() {
    check(|| {
        let world = World::new(0);
        let trimmer = thread::spawn(move || world.trim());
        let got = world.malloc();
        let purged = trimmer.join().unwrap();
        if let Some(block) = got {
            assert_eq!(world.slab.known(block).get(), Contents::User);
        } else {
            assert!(purged);
        }
        world.check_end(got.is_some().into());
    });
}

/// The owner allocates a block and frees it at once, while its slab is parked.
#[test]
fn loom_a_block_freed_while_its_slab_is_parked_is_not_lost() {
    check(|| {
        let world = World::new(0);
        let trimmer = thread::spawn(move || world.trim());
        if let Some(block) = world.malloc() {
            world.free(block);
        }
        trimmer.join().unwrap();
        world.check_end(0);
    });
}

/// Some of the free blocks are in the remote queue.
#[test]
fn loom_blocks_in_the_queue_of_a_parked_slab_are_not_lost() {
    check(|| {
        let world = World::new(1);
        let trimmer = thread::spawn(move || world.trim());
        let got = world.malloc();
        trimmer.join().unwrap();
        world.check_end(got.is_some().into());
    });
}

/// The block whose pop is under way is freed by a third thread, which the owner
/// hands it to and waits for; here the same thread takes those steps.
#[test]
fn loom_a_block_freed_elsewhere_while_its_slab_is_parked_is_not_lost() {
    check(|| {
        let world = World::new(0);
        let owner = thread::spawn(move || {
            if let Some(block) = world.pop() {
                world.slab.push_remote(block);
            }
        });
        world.trim();
        owner.join().unwrap();
        world.check_end(0);
    });
}

/// Trim comes by twice, and the owner allocates twice.
#[test]
fn loom_a_slab_is_parked_again() {
    check(|| {
        let world = World::new(0);
        let trimmer = thread::spawn(move || {
            world.trim();
            world.trim();
        });
        let got = [world.malloc(), world.malloc()].into_iter().flatten();
        let blocks: std::vec::Vec<_> = got.collect();
        trimmer.join().unwrap();
        assert!(blocks.len() < 2 || blocks[0] != blocks[1]);
        world.check_end(blocks.len() as u32);
    });
}

/// The owner keeps a block and frees the one that was before it in the list, whose
/// link from then still leads to it.
#[test]
fn loom_a_block_is_not_seen_in_the_list_by_an_old_link() {
    check(|| {
        let world = World::new(0);
        let trimmer = thread::spawn(move || world.trim());
        let got = [world.malloc(), world.malloc()];
        if let Some(block) = got[0] {
            world.free(block);
        }
        trimmer.join().unwrap();
        if let Some(block) = got[1] {
            assert_eq!(world.slab.known(block).get(), Contents::User);
        }
        world.check_end(got[1].is_some().into());
    });
}
