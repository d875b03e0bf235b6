//! The lock: a futex word, no allocation, fair enough for slow paths.
//!
//! States: 0 free, 1 held, 2 held and somebody sleeps. Around fork(2) the
//! forking thread holds every lock and may still allocate, because other
//! libraries' fork handlers do: its own attempts pass through a held lock.
//! Reference: U. Drepper, "Futexes Are Tricky", the second mutex.

use core::cell::UnsafeCell;
use core::hint;
use core::ops::{Deref, DerefMut};

use super::const_fn;
use crate::os::process;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// How often a taker looks again before it sleeps. Sections are some hundred
/// instructions long, unless they map memory. To the model checker another
/// look is like the first.
const SPINS: u32 = if cfg!(loom) { 0 } else { 60 };

/// The thread that is between fork's handlers and holds every lock; 0 mostly.
#[cfg(not(loom))]
static FORKING: AtomicUsize = AtomicUsize::new(0);

#[cfg(loom)]
loom::lazy_static! {
    static ref FORKING: AtomicUsize = AtomicUsize::new(0);
}

/// Says that the calling thread holds every lock for a fork, or, with
/// `false`, that it is over.
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
    word: AtomicU32,
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
                word: AtomicU32::new(FREE),
            }
        }
    }

    /// Takes the lock; sleeps while another thread holds it.
    #[inline]
    pub fn lock(&self) -> Guard<'_> {
        // Acquire pairs with the Release in `release`.
        if self
            .word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
            && !self.wait()
        {
            return Guard { lock: None };
        }
        Guard { lock: Some(self) }
    }

    /// Takes the lock if nobody holds it, and not for a fork either.
    pub fn try_lock(&self) -> Option<Guard<'_>> {
        // Acquire pairs with the Release in `release`.
        let taken = self
            .word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        // Not `then_some`: it would make a guard in any case, and drop it.
        taken.then(|| Guard { lock: Some(self) })
    }

    /// Returns whether the lock was taken; `false`: it passes, this thread
    /// holds it already for a fork.
    #[cold]
    fn wait(&self) -> bool {
        if FORKING.load(Ordering::Relaxed) == process::thread_identity() {
            return false;
        }
        for _ in 0..SPINS {
            if self.word.load(Ordering::Relaxed) == FREE
                && self
                    .word
                    .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return true;
            }
            hint::spin_loop();
        }
        while self.word.swap(CONTENDED, Ordering::Acquire) != FREE {
            process::wait_while(&self.word, CONTENDED);
        }
        true
    }

    fn release(&self) {
        // Release pairs with the Acquire of the next taker.
        if self.word.swap(FREE, Ordering::Release) == CONTENDED {
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
