//! Hooks into the C library: a function at every thread's end, and three
//! around every fork.
//!
//! References: pthread_key_create(3), pthread_atfork(3).

use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};

use super::fault::{Kind, point};

/// A function that the C library calls at a thread's end with what the
/// thread passed to [`ThreadExit::arm`].
pub struct ThreadExit {
    /// The key plus one; 0 while there is none.
    key: AtomicU32,
}

impl ThreadExit {
    /// A hook that is not registered yet.
    pub const fn new() -> Self {
        Self {
            key: AtomicU32::new(0),
        }
    }

    /// Registers the function, if it is not yet, before any thread arms the
    /// hook; one at a time. Returns whether the C library had a key left.
    pub fn register(&self, at_exit: unsafe extern "C" fn(*mut c_void)) -> bool {
        if self.key.load(Ordering::Relaxed) != 0 {
            return true;
        }
        let mut key: libc::pthread_key_t = 0;
        let refused = point(Kind::Hook, || {
            // SAFETY: `key` is valid for the write.
            unsafe { libc::pthread_key_create(&mut key, Some(at_exit)) }
        });
        if refused != 0 {
            return false;
        }
        // Relaxed: the caller holds the lock under which threads are born.
        self.key.store(key + 1, Ordering::Relaxed);
        true
    }

    /// Has the function called with `value`, not null, when the calling
    /// thread ends; with null, not called. Returns whether that is so: not
    /// without a key, nor without memory. May allocate: the C library calls
    /// calloc for keys past its first 32, so the thread must be able to by now.
    pub fn arm(&self, value: *mut c_void) -> bool {
        let Some(key) = self.key.load(Ordering::Relaxed).checked_sub(1) else {
            return false;
        };
        // SAFETY: the key exists for the life of the process.
        let refused = point(Kind::Hook, || unsafe {
            libc::pthread_setspecific(key, value)
        });
        refused == 0
    }

    /// Has the function not called for the calling thread.
    pub fn disarm(&self) {
        self.arm(core::ptr::null_mut());
    }
}

/// Has the three functions called around every fork: before it, and after it
/// in the parent and in the child. Returns whether they will be. May allocate.
pub fn at_fork(
    prepare: unsafe extern "C" fn(),
    parent: unsafe extern "C" fn(),
    child: unsafe extern "C" fn(),
) -> bool {
    // SAFETY: the functions live as long as the library, which is linked with
    // `-z nodelete`.
    let refused = point(Kind::Hook, || unsafe {
        libc::pthread_atfork(Some(prepare), Some(parent), Some(child))
    });
    refused == 0
}

/// Has the function called when the process exits; see atexit(3). Returns
/// whether it will be. May allocate.
pub fn at_exit(function: unsafe extern "C" fn()) -> bool {
    // SAFETY: the function lives as long as the library, which is linked with
    // `-z nodelete`, and takes and returns nothing.
    let refused = point(Kind::Hook, || unsafe {
        let function: extern "C" fn() = core::mem::transmute(function);
        libc::atexit(function)
    });
    refused == 0
}
