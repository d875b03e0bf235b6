//! The hand-over: a full slab's last blocks are freed by other threads while
//! its owner's thread dies.
//!
//! The queue, the inboxes and the order of steps are those of `heap`: what
//! `retire`, `wake`, `inherit`, `announce`, `drain` and `give_back_elsewhere`
//! do there they do here, under locks of the same extent. Of a heap there is
//! an inbox and a lock, of a slab what these steps touch.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Mutex, MutexGuard};
use loom::thread;

use super::{Blocks, Counter, Inbox, Linked, Pushed, RemoteQueue, check_bounded, forever};
use crate::sync::atomic::AtomicPtr;

/// The blocks of the slab.
const CAPACITY: u32 = 2;

/// Heaps by number; no slab has `NOBODY` as its holder but one given back.
const OWNER: usize = 0;
const SHARED: usize = 1;
const ADOPTER: usize = 2;
const NOBODY: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Current,
    Full,
    Listed,
    GivenBack,
}

struct Slab {
    next: AtomicPtr<Slab>,
    queue: RemoteQueue,
    blocks: Blocks,
    holder: AtomicUsize,
    counter: Counter,
    // Under the holder's lock.
    state: UnsafeCell<State>,
    received: UnsafeCell<u32>,
    /// Blocks in the local list.
    local: UnsafeCell<u32>,
}

impl Linked for Slab {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.next
    }
}

impl Slab {
    fn state(&self) -> State {
        // SAFETY: the checker sees to it that nobody else is at it.
        self.state.with(|state| unsafe { *state })
    }

    fn set_state(&self, to: State) {
        // SAFETY: as above.
        self.state.with_mut(|state| unsafe { *state = to });
    }

    fn holder(&self) -> usize {
        self.holder.load(Ordering::Relaxed)
    }

    /// As `Heap::rearm`, where other threads free, too.
    fn rearm(&self) {
        let handed_out = self.counter.handed_out();
        let here = handed_out.saturating_sub(self.queue.count());
        let counter = here.div_ceil(2);
        self.counter.arm(counter, handed_out - counter);
    }
}

struct World {
    slab: &'static Slab,
    inboxes: [Inbox<Slab>; 3],
    locks: [Mutex<()>; 3],
    /// Whether a thread uses the heap without its lock; changed under it.
    has_thread: [UnsafeCell<bool>; 3],
}

// SAFETY: cells are watched by the checker, the rest is atomic.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    /// A slab that is its owner's current one, all blocks handed out.
    fn new() -> &'static Self {
        let slab = forever(Slab {
            next: AtomicPtr::new(core::ptr::null_mut()),
            queue: RemoteQueue::new(),
            blocks: Blocks::new(),
            holder: AtomicUsize::new(OWNER),
            counter: Counter::new(),
            state: UnsafeCell::new(State::Current),
            received: UnsafeCell::new(0),
            local: UnsafeCell::new(0),
        });
        slab.counter.arm(CAPACITY, 0);
        forever(Self {
            slab,
            inboxes: [(); 3].map(|()| Inbox::new(false)),
            locks: [(); 3].map(|()| Mutex::new(())),
            has_thread: [OWNER, SHARED, ADOPTER].map(|heap| UnsafeCell::new(heap != SHARED)),
        })
    }

    fn lock(&self, heap: usize) -> MutexGuard<'_, ()> {
        self.locks[heap].lock().unwrap()
    }

    /// The owner finds its current slab without a block.
    fn retire(&self) {
        let _guard = self.lock(OWNER);
        let wake = 1;
        self.slab.set_state(State::Full);
        self.slab.counter.arm(wake, CAPACITY - wake);
        if !self.slab.queue.set_full() {
            self.slab.rearm();
            self.slab.set_state(State::Listed);
        }
    }

    /// The owner frees a block of its own, with which the counter comes to
    /// zero, and looks at the slab.
    fn free_own(&self, block: u32) {
        // SAFETY: the block is the caller's.
        self.slab.blocks.below[block as usize].with_mut(|link| unsafe { *link = None });
        // SAFETY: the slab's owner is the calling thread.
        if !unsafe { self.slab.counter.count_down() } {
            return;
        }
        let _guard = self.lock(OWNER);
        if self.slab.holder() != OWNER {
            return;
        }
        match self.slab.state() {
            State::Full => {
                self.slab.rearm();
                if self.slab.queue.unset_full() {
                    self.slab.set_state(State::Listed);
                } else {
                    self.drain(OWNER, true);
                }
            }
            State::Listed if self.slab.counter.handed_out() > self.slab.queue.count() => {
                self.slab.rearm();
            }
            State::Listed => self.give_back_if_free(),
            State::Current | State::GivenBack => {}
        }
    }

    /// Another thread frees a block.
    fn free_remote(&self, block: u32) {
        match self.slab.blocks.push(&self.slab.queue, block) {
            Pushed::Twice => panic!("no block is freed twice"),
            Pushed::Announce => {
                self.announce();
                if self.slab.counter.handed_out() <= self.slab.queue.count() {
                    self.give_back_elsewhere();
                }
            }
            Pushed::Queued => {}
            Pushed::In(count) => {
                if self.slab.counter.handed_out() <= count {
                    self.give_back_elsewhere();
                }
            }
        }
    }

    fn announce(&self) {
        let holder = self.slab.holder();
        assert_ne!(holder, NOBODY, "a queued slab was given back");
        if !self.inboxes[holder].push(self.slab) {
            assert!(self.inboxes[SHARED].push(self.slab));
        }
    }

    fn give_back_elsewhere(&self) {
        loop {
            let holder = self.slab.holder();
            if holder == NOBODY {
                return;
            }
            let _guard = self.lock(holder);
            if self.slab.holder() != holder {
                continue;
            }
            self.drain(holder, false);
            if self.slab.holder() == holder && self.slab.state() == State::Listed {
                self.give_back_if_free();
            }
            return;
        }
    }

    /// Takes the slabs out of a heap's inbox, under its lock; `mine`: by the
    /// heap's own thread.
    fn drain(&self, heap: usize, mine: bool) {
        for slab in self.inboxes[heap].take() {
            self.receive(heap, slab, mine);
        }
    }

    fn receive(&self, heap: usize, slab: &'static Slab, mine: bool) {
        if slab.holder() != heap {
            return self.announce();
        }
        assert_eq!(slab.state(), State::Full);
        // SAFETY: as in `Slab::state`.
        slab.received.with_mut(|count| unsafe { *count += 1 });
        slab.queue.unset_queued();
        // SAFETY: as in `Slab::state`.
        if mine || !self.has_thread[heap].with(|has| unsafe { *has }) {
            slab.rearm();
        }
        slab.set_state(State::Listed);
        self.give_back_if_free();
    }

    /// Gives the slab, which is listed, back if all its blocks are free.
    fn give_back_if_free(&self) {
        let slab = self.slab;
        let remote = slab.queue.count();
        let handed_out = slab.counter.handed_out();
        assert!(remote <= handed_out, "more blocks are free than there are");
        if remote < handed_out {
            return;
        }
        assert!(!slab.queue.is_queued());
        for block in 0..CAPACITY {
            // What every block's pusher has written is seen.
            slab.blocks.below(block);
        }
        slab.set_state(State::GivenBack);
        slab.holder.store(NOBODY, Ordering::Relaxed);
    }

    /// The owner's thread dies.
    fn inherit(&self) {
        let _guard = self.lock(OWNER);
        let _shared = self.lock(SHARED);
        self.set_has_thread(OWNER, false);
        for slab in self.inboxes[OWNER].close() {
            self.receive(OWNER, slab, true);
        }
        if self.slab.holder() == OWNER {
            self.slab.holder.store(SHARED, Ordering::Relaxed);
            if self.slab.state() == State::Listed {
                self.give_back_if_free();
            }
        }
    }

    /// A new thread gets the owner's heap, and looks into its inbox, where a
    /// slab may come in that a pusher believes to be this heap's still.
    fn reuse(&self) {
        let _guard = self.lock(OWNER);
        self.set_has_thread(OWNER, true);
        self.inboxes[OWNER].open();
        self.drain(OWNER, true);
    }

    fn set_has_thread(&self, heap: usize, has: bool) {
        // SAFETY: as in `Slab::state`.
        self.has_thread[heap].with_mut(|it| unsafe { *it = has });
    }

    /// Another thread wants a slab of the class: it takes the dead one's from the
    /// shared heap, makes it its current one, and collects what is free. As
    /// `adopt_listed`, `make_current` and `replenish`.
    fn adopt(&self) {
        let slab = self.slab;
        let _guard = self.lock(ADOPTER);
        {
            let _shared = self.lock(SHARED);
            self.drain(SHARED, true);
            if slab.holder() != SHARED || slab.state() != State::Listed {
                return;
            }
            slab.holder.store(ADOPTER, Ordering::Relaxed);
            slab.rearm();
        }
        assert!(!slab.queue.is_queued());
        slab.set_state(State::Current);
        slab.counter
            .arm_current(slab.counter.handed_out().max(1), u32::MAX);
        self.collect();
    }

    /// Takes what is in the queue of a current slab to its local list.
    fn collect(&self) {
        let mut seen = [0; 4];
        let count = self.slab.blocks.take(&self.slab.queue, &mut seen);
        // SAFETY: as in `Slab::state`.
        self.slab.local.with_mut(|local| unsafe { *local += count });
    }

    /// The adopter lists its slab again, with an exact count, and gives it back
    /// if it is free.
    fn let_go(&self) {
        let slab = self.slab;
        let _guard = self.lock(ADOPTER);
        self.drain(ADOPTER, true);
        if slab.holder() == ADOPTER && slab.state() == State::Current {
            // SAFETY: as in `Slab::state`.
            let local = slab.local.with(|local| unsafe { *local });
            slab.counter.arm(CAPACITY - local, 0);
            slab.set_state(State::Listed);
            self.give_back_if_free();
        }
    }

    /// Somebody looks for slabs of dead threads, or trims.
    fn look_at_shared(&self, trim: bool) {
        let _guard = self.lock(SHARED);
        self.drain(SHARED, true);
        if trim && self.slab.holder() == SHARED && self.slab.state() == State::Listed {
            self.give_back_if_free();
        }
    }

    /// When all threads are through and all blocks free, the slab has been
    /// received at most once, and one look makes it go back.
    fn check_end(&self, remote: bool) {
        {
            let _guard = self.lock(OWNER);
            self.drain(OWNER, true);
        }
        self.let_go();
        self.look_at_shared(true);
        assert_eq!(self.slab.state(), State::GivenBack);
        assert!(!self.inboxes.iter().any(Inbox::has_any));
        // SAFETY: as in `Slab::state`.
        let received = self.slab.received.with(|count| unsafe { *count });
        assert!(received <= u32::from(remote));
        assert!(!self.slab.queue.is_queued());
    }
}

/// Two threads free the blocks of a slab that is full and whose owner dies.
#[test]
fn loom_a_dying_owners_full_slab_is_received_once() {
    check_bounded(|| {
        let world = World::new();
        world.retire();
        let threads = [0, 1].map(|block| thread::spawn(move || world.free_remote(block)));
        world.inherit();
        for thread in threads {
            thread.join().unwrap();
        }
        world.check_end(true);
    });
}

/// One thread frees all while the owner retires the slab and dies.
#[test]
fn loom_a_slab_is_freed_while_its_owner_retires_it_and_dies() {
    check_bounded(|| {
        let world = World::new();
        let thread = thread::spawn(move || {
            world.free_remote(0);
            world.free_remote(1);
        });
        world.retire();
        world.inherit();
        thread.join().unwrap();
        world.check_end(true);
    });
}

/// The owner frees a block itself, which wakes the slab up, another thread
/// frees the other, and the owner dies.
#[test]
fn loom_an_owner_wakes_its_slab_up_and_dies() {
    check_bounded(|| {
        let world = World::new();
        world.retire();
        let thread = thread::spawn(move || world.free_remote(0));
        world.free_own(1);
        world.inherit();
        thread.join().unwrap();
        world.check_end(true);
    });
}

/// A third thread looks into the shared heap's inbox meanwhile, where the
/// slab may be before it is the shared heap's.
#[test]
fn loom_the_shared_heap_is_looked_at_meanwhile() {
    check_bounded(|| {
        let world = World::new();
        world.retire();
        let threads = [
            thread::spawn(move || {
                world.free_remote(0);
                world.free_remote(1);
            }),
            thread::spawn(move || world.look_at_shared(false)),
        ];
        world.inherit();
        for thread in threads {
            thread.join().unwrap();
        }
        world.check_end(true);
    });
}

/// The owner's heap is a new thread's at once: what comes into its inbox late
/// moves on to the shared heap.
#[test]
fn loom_a_dead_owners_heap_is_used_again() {
    check_bounded(|| {
        let world = World::new();
        world.retire();
        let threads = [0, 1].map(|block| thread::spawn(move || world.free_remote(block)));
        world.inherit();
        world.reuse();
        for thread in threads {
            thread.join().unwrap();
        }
        world.check_end(true);
    });
}

/// Another thread adopts the dead owner's slab meanwhile.
#[test]
fn loom_a_dead_owners_slab_is_adopted_while_others_free() {
    check_bounded(|| {
        let world = World::new();
        world.retire();
        let threads = [
            thread::spawn(move || {
                world.free_remote(0);
                world.free_remote(1);
            }),
            thread::spawn(move || world.adopt()),
        ];
        world.inherit();
        for thread in threads {
            thread.join().unwrap();
        }
        world.check_end(true);
    });
}
