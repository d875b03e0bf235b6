//! Models of the lock, and of the order in which locks are taken.
//!
//! The lock is the one that ships, on the checker's atomics; the futex below it
//! is `os/model.rs`. What a lock guards is in cells that the checker watches. A
//! thread that waits for ever is a deadlock, which the checker reports.
//!
//! | models | threads | preemptions | s |
//! |---|---|---|---|
//! | excluding, waking | 3 | 3 | 1 |
//! | trying; between fork's handlers | 2 to 3 | all | 1 |
//! | `fork`: a refill with a burial | 3 | 2 | 1 |
//! | `fork`: a walk of all heaps | 3 | 3 | 2 |
//! | `fork`: two burials | 2 | all | 1 |

mod fork;

use loom::cell::UnsafeCell;
use loom::thread;
use std::boxed::Box;

use super::{Lock, forking};

/// Checks a model under every order with at most so many preemptions of a
/// thread; `None`: under every order.
fn check(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

fn forever<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// What a lock guards: the checker finds two at it.
struct Guarded {
    lock: Lock,
    count: UnsafeCell<u32>,
}

// SAFETY: the checker watches the cell.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new() -> &'static Self {
        forever(Self {
            lock: Lock::new(),
            count: UnsafeCell::new(0),
        })
    }

    /// The caller has the lock.
    fn count(&self) -> u32 {
        // SAFETY: the checker sees to it that nobody else is at it.
        self.count.with_mut(|count| unsafe {
            *count += 1;
            *count
        })
    }

    fn lock_and_count(&self) -> u32 {
        let _guard = self.lock.lock();
        self.count()
    }
}

#[test]
fn loom_one_at_a_time_is_behind_a_lock() {
    check(Some(3), || {
        let guarded = Guarded::new();
        let others = [0, 1].map(|_| thread::spawn(|| guarded.lock_and_count()));
        guarded.lock_and_count();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(guarded.lock_and_count(), 4);
    });
}

/// The lock is held from the start, so that both others may fall asleep; one
/// takes it twice.
#[test]
fn loom_a_lock_is_passed_on_from_sleeper_to_sleeper() {
    check(Some(3), || {
        let guarded = Guarded::new();
        let held = guarded.lock.lock();
        let others = [1, 2].map(|times| {
            thread::spawn(move || {
                for _ in 0..times {
                    guarded.lock_and_count();
                }
            })
        });
        guarded.count();
        drop(held);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(guarded.lock_and_count(), 5);
    });
}

#[test]
fn loom_a_try_waits_for_nobody() {
    check(None, || {
        let guarded = Guarded::new();
        let others = [0, 1].map(|_| {
            thread::spawn(|| {
                let guard = guarded.lock.try_lock();
                u32::from(guard.map(|_held| guarded.count()).is_some())
            })
        });
        let got: u32 = others.into_iter().map(|it| it.join().unwrap()).sum();
        assert!(got >= 1);
        assert_eq!(guarded.lock_and_count(), got + 1);
    });
}

/// Between fork's handlers the thread that holds all locks allocates; the other
/// one waits.
#[test]
fn loom_the_forking_thread_passes_alone() {
    check(None, || {
        let guarded = Guarded::new();
        let other = thread::spawn(|| guarded.lock_and_count());
        guarded.lock.hold();
        forking(true);
        guarded.lock_and_count();
        assert!(guarded.lock.try_lock().is_none());
        guarded.lock_and_count();
        forking(false);
        // SAFETY: this thread has taken the lock above.
        unsafe { guarded.lock.let_go() };
        other.join().unwrap();
        assert_eq!(guarded.lock_and_count(), 4);
    });
}
