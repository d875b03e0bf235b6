//! The order of locks: fork's against those of the paths that hold two.
//!
//! The locks ship; who takes which in what order is as in `heap` and `pages`:
//! `fork::prepare` and `parent`, `refill` with `bury_an_orphan` and `inherit`,
//! `for_each` with `give_back`, `thread_heap`, and `take_down_run`.

use loom::thread;

use super::super::{Lock, forking};
use super::{check, forever};

struct Locks {
    registry: Lock,
    /// Two threads' heaps, in the order of the registry's list.
    heaps: [Lock; 2],
    shared: Lock,
    zone: Lock,
    large: Lock,
}

impl Locks {
    fn new() -> &'static Self {
        forever(Self {
            registry: Lock::new(),
            heaps: [Lock::new(), Lock::new()],
            shared: Lock::new(),
            zone: Lock::new(),
            large: Lock::new(),
        })
    }

    fn all(&self) -> [&Lock; 6] {
        let [first, second] = &self.heaps;
        [
            &self.registry,
            first,
            second,
            &self.shared,
            &self.zone,
            &self.large,
        ]
    }

    /// Fork's handlers, with what another library's handler allocates between
    /// them.
    fn fork(&self) {
        for lock in self.all() {
            lock.hold();
        }
        forking(true);
        drop((self.heaps[0].lock(), self.zone.lock()));
        forking(false);
        for lock in self.all().into_iter().rev() {
            // SAFETY: this thread has taken them above.
            unsafe { lock.let_go() };
        }
    }

    /// A heap wants a slab, and first has another heap, an orphan, give its
    /// slabs to the shared heap, if nobody is at it.
    fn refill(&self, own: usize) {
        let _own = self.heaps[own].lock();
        if let Some(_orphan) = self.heaps[1 - own].try_lock() {
            let _shared = self.shared.lock();
            drop(self.zone.lock());
        }
        drop(self.zone.lock());
    }

    /// Trim, figures and reclaim: every heap in turn, the shared one first.
    fn for_each(&self) {
        let _registry = self.registry.lock();
        for heap in [&self.shared, &self.heaps[1], &self.heaps[0]] {
            let _heap = heap.lock();
            drop(self.zone.lock());
            drop(self.large.lock());
        }
    }

    /// A thread begins: it gets a heap.
    fn begin(&self) {
        let _registry = self.registry.lock();
        drop(self.heaps[0].lock());
    }
}

#[test]
fn loom_fork_takes_all_locks_beside_a_refill_and_a_burial() {
    check(Some(2), || {
        let locks = Locks::new();
        let others = [
            thread::spawn(|| locks.refill(0)),
            thread::spawn(|| locks.refill(1)),
        ];
        locks.fork();
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn loom_fork_takes_all_locks_beside_a_walk_of_all_heaps() {
    check(Some(3), || {
        let locks = Locks::new();
        let others = [
            thread::spawn(|| locks.for_each()),
            thread::spawn(|| {
                locks.begin();
                locks.refill(1);
            }),
        ];
        locks.fork();
        for other in others {
            other.join().unwrap();
        }
    });
}

/// Each of two heaps is taken for an orphan by the other's thread.
#[test]
fn loom_two_threads_bury_each_others_orphans() {
    check(None, || {
        let locks = Locks::new();
        let other = thread::spawn(|| locks.refill(0));
        locks.refill(1);
        other.join().unwrap();
    });
}
