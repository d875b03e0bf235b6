//! Threads by the C library's functions, which the sanitizer knows; `std::thread`
//! hands its results over by means that it does not see.

use std::ffi::c_void;
use std::{mem, ptr};

/// A thread that runs a function on a number.
pub struct Thread(libc::pthread_t);

extern "C" fn enter(start: *mut c_void) -> *mut c_void {
    // SAFETY: `Thread::start` has leaked the box for this thread.
    let (run, argument) = *unsafe { Box::from_raw(start.cast::<(fn(usize), usize)>()) };
    run(argument);
    ptr::null_mut()
}

impl Thread {
    pub fn start(run: fn(usize), argument: usize) -> Self {
        let start = Box::into_raw(Box::new((run, argument)));
        let mut thread = mem::MaybeUninit::uninit();
        // SAFETY: the arguments are valid, and the box is the new thread's.
        let result =
            unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), enter, start.cast()) };
        assert_eq!(result, 0, "pthread_create");
        // SAFETY: the call has succeeded.
        Self(unsafe { thread.assume_init() })
    }

    pub fn join(self) {
        // SAFETY: the thread is joinable and joined once.
        let result = unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
        assert_eq!(result, 0, "pthread_join");
    }

    pub fn detach(self) {
        // SAFETY: the thread is joinable and detached once.
        let result = unsafe { libc::pthread_detach(self.0) };
        assert_eq!(result, 0, "pthread_detach");
    }
}

/// Runs threads with the numbers from 0 on, all at once.
pub fn run_all(count: usize, run: fn(usize)) {
    let threads: Vec<Thread> = (0..count).map(|n| Thread::start(run, n)).collect();
    threads.into_iter().for_each(Thread::join);
}
