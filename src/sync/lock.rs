//! The lock: a futex word, no allocation, fair enough for slow paths.
//!
//! The word is 0 when it is free, else the identity of the thread that holds it,
//! with the lowest bit set when somebody sleeps. So a thread that comes to a lock it
//! holds already sees that: it is in a signal handler that has interrupted the
//! section, and would wait for itself for ever. Around fork(2) the forking thread
//! holds every lock and may still allocate, because other libraries' fork handlers
//! do: its own attempts pass through a held lock.
//! Reference: U. Drepper, "Futexes Are Tricky", the second mutex.

use core::cell::UnsafeCell;
use core::hint;
use core::ops::{Deref, DerefMut};

use super::const_fn;
use crate::fatal::die;
use crate::os::process;
use crate::sync::atomic::{AtomicUsize, Ordering};

const FREE: usize = 0;
const CONTENDED: usize = 1;

/// How often a taker looks again before it sleeps. Sections are some hundred
/// instructions long, unless they map memory. To the model checker another
/// look is like the first.
const SPINS: u32 = if cfg!(loom) { 0 } else { 60 };

/// The thread that is between fork's handlers and holds locks, all of them or some;
/// 0 mostly.
#[cfg(not(loom))]
static FORKING: AtomicUsize = AtomicUsize::new(0);

#[cfg(loom)]
loom::lazy_static! {
    static ref FORKING: AtomicUsize = AtomicUsize::new(0);
}

/// Says that what the calling thread holds from now on it holds for a fork, so that
/// nothing under it is half done; or, with `false`, that it is over.
pub fn forking(begins: bool) {
    let thread = if begins {
        process::thread_identity()
    } else {
        0
    };
    // Relaxed: only the thread that stores its own identity acts on it.
    FORKING.store(thread, Ordering::Relaxed);
}

/// A lock without data.
pub struct Lock {
    word: AtomicUsize,
}

/// Holds a [`Lock`] until it is dropped.
pub struct Guard<'a> {
    /// `None` when the lock passed for the forking thread.
    lock: Option<&'a Lock>,
}

impl Lock {
    const_fn! {
        /// A free lock.
        pub fn new() -> Self {
            Self {
                word: AtomicUsize::new(FREE),
            }
        }
    }

    /// Takes the lock; sleeps while another thread holds it.
    #[inline]
    pub fn lock(&self) -> Guard<'_> {
        if !self.take(process::thread_identity()) && !self.wait() {
            return Guard { lock: None };
        }
        Guard { lock: Some(self) }
    }

    /// Takes the lock if nobody holds it, and not for a fork either.
    pub fn try_lock(&self) -> Option<Guard<'_>> {
        let taken = self.take(process::thread_identity());
        // Not `then_some`: it would make a guard in any case, and drop it.
        taken.then(|| Guard { lock: Some(self) })
    }

    /// Makes the word this if it is free. Returns whether it was.
    #[inline]
    fn take(&self, holder: usize) -> bool {
        // Acquire pairs with the Release in `release`.
        self.word
            .compare_exchange(FREE, holder, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Returns whether the lock was taken; `false`: it passes, this thread
    /// holds it already for a fork.
    #[cold]
    fn wait(&self) -> bool {
        let me = process::thread_identity();
        if self.word.load(Ordering::Relaxed) & !CONTENDED == me {
            if FORKING.load(Ordering::Relaxed) == me {
                return false;
            }
            die(
                "malloc or free in a signal handler that interrupted malloc or free",
                self as *const Self as usize,
            );
        }
        for _ in 0..SPINS {
            if self.word.load(Ordering::Relaxed) == FREE && self.take(me) {
                return true;
            }
            hint::spin_loop();
        }
        loop {
            let held = self.word.load(Ordering::Relaxed);
            if held == FREE {
                // Who has slept may have left others asleep.
                if self.take(me | CONTENDED) {
                    return true;
                }
            } else if held & CONTENDED != 0 || self.mark_contended(held) {
                process::wait_while(&self.word, held | CONTENDED);
            }
        }
    }

    /// Has the holder wake somebody. Returns `false` where it holds it no more.
    fn mark_contended(&self, held: usize) -> bool {
        // Relaxed: the word alone matters.
        self.word
            .compare_exchange(held, held | CONTENDED, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    fn release(&self) {
        // Release pairs with the Acquire of the next taker.
        if self.word.swap(FREE, Ordering::Release) & CONTENDED != 0 {
            process::wake_one(&self.word);
        }
    }

    /// Takes the lock and keeps it beyond this call, for a fork.
    pub fn hold(&self) {
        core::mem::forget(self.lock());
    }

    /// Releases a lock taken by [`Lock::hold`].
    ///
    /// # Safety
    ///
    /// The calling thread holds the lock.
    pub unsafe fn let_go(&self) {
        self.release();
    }

    /// Frees the lock in a forked child, where its sleepers do not exist.
    ///
    /// # Safety
    ///
    /// The process has one thread, and what the lock guards is whole.
    pub unsafe fn reset(&self) {
        self.word.store(FREE, Ordering::Relaxed);
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(lock) = self.lock {
            lock.release();
        }
    }
}

/// Data behind a [`Lock`].
#[repr(C)]
pub struct Locked<T> {
    lock: Lock,
    data: UnsafeCell<T>,
}

// SAFETY: the data is reached only under the lock.
unsafe impl<T: Send> Sync for Locked<T> {}

/// Access to the data of a [`Locked`] until it is dropped.
pub struct LockedGuard<'a, T> {
    data: *mut T,
    _guard: Guard<'a>,
}

impl<T> Locked<T> {
    const_fn! {
        /// Puts `data` behind a free lock.
        pub fn new(data: T) -> Self {
            Self {
                lock: Lock::new(),
                data: UnsafeCell::new(data),
            }
        }
    }

    /// Takes the lock; sleeps while another thread holds it.
    #[inline]
    pub fn lock(&self) -> LockedGuard<'_, T> {
        let guard = self.lock.lock();
        LockedGuard {
            data: self.data.get(),
            _guard: guard,
        }
    }

    /// The lock itself, for fork.
    pub fn raw(&self) -> &Lock {
        &self.lock
    }
}

impl<T> Deref for LockedGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.data }
    }
}

impl<T> DerefMut for LockedGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock.
        unsafe { &mut *self.data }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Lock;

    #[test]
    fn an_attempt_at_a_held_lock_leaves_it_held() {
        let lock = Lock::new();
        let guard = lock.lock();
        assert!(lock.try_lock().is_none());
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert!(lock.try_lock().is_some());
        assert!(lock.try_lock().is_some());
    }
}
