//! A seam for tests: calls of the kernel and of the C library that fail because
//! they are told to.
//!
//! Every call of this layer that can fail goes through [`point`]. In ordinary
//! builds that is the call and nothing else. Built with `--cfg bifold_faults`, it
//! counts the calls of the kinds that [`arm`] names, and those in its range
//! fail without reaching the kernel.
//!
//! The variable `BIFOLD_TEST_FAULT` arms the seam from the first call on that
//! finds an environment. Each place that fails is noted once in the life of
//! a process, by its file and line, at the end of the file that
//! `BIFOLD_TEST_FAULT_LOG` names.

/// What kind of call may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(bifold_faults), allow(dead_code))]
pub enum Kind {
    /// mmap(2).
    Map,
    /// munmap(2).
    Unmap,
    /// mremap(2).
    Remap,
    /// madvise(2).
    Advise,
    /// mprotect(2).
    Protect,
    /// mlock(2) and mlock2(2).
    Lock,
    /// membarrier(2).
    Barrier,
    /// futex(2): only to wait, as a valid word can always be woken.
    Futex,
    /// pthread_create(3) and its attributes.
    Thread,
    /// Hooks into the C library: keys, forks, exit.
    Hook,
    /// Files: open, read, write, look at, wait for.
    File,
    /// Figures and rights of the process and the machine.
    Figure,
}

/// Makes a call, unless it is to fail.
#[cfg(not(bifold_faults))]
#[inline(always)]
pub fn point<T>(_: Kind, call: impl FnOnce() -> T) -> T {
    call()
}

#[cfg(bifold_faults)]
pub use armed::{arm, point};

#[cfg(bifold_faults)]
mod armed {
    use core::ffi::{CStr, c_int};
    use core::panic::Location;
    use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

    use rustix::io::Errno;

    use super::Kind;
    use crate::os::line::Line;
    use crate::os::process;

    /// What the kinds are called, in their order, and with what they fail.
    const KINDS: [(&[u8], i32); 12] = [
        (b"map", libc::ENOMEM),
        (b"unmap", libc::ENOMEM),
        (b"remap", libc::ENOMEM),
        (b"advise", libc::ENOMEM),
        (b"protect", libc::ENOMEM),
        (b"lock", libc::ENOMEM),
        (b"barrier", libc::EPERM),
        (b"futex", libc::EINTR),
        (b"thread", libc::EAGAIN),
        (b"hook", libc::EAGAIN),
        (b"file", libc::EMFILE),
        (b"figure", libc::ENOSYS),
    ];

    /// The most places that are told apart.
    const PLACES: usize = 256;

    // Relaxed, all of them: a test knows which of its threads calls when.
    static ARMED: AtomicUsize = AtomicUsize::new(0);
    static FIRST: AtomicUsize = AtomicUsize::new(0);
    static LAST: AtomicUsize = AtomicUsize::new(0);
    static ERROR: AtomicI32 = AtomicI32::new(0);
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static FAILED: AtomicUsize = AtomicUsize::new(0);
    static HAS_LOOKED: AtomicBool = AtomicBool::new(false);
    static NOTED: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];

    /// What a call returns that fails.
    pub trait Outcome {
        /// Failed with this `errno`.
        fn failed(errno: i32) -> Self;
    }

    impl<T> Outcome for Result<T, Errno> {
        fn failed(errno: i32) -> Self {
            Err(Errno::from_raw_os_error(errno))
        }
    }

    impl Outcome for c_int {
        fn failed(errno: i32) -> Self {
            process::set_errno(errno);
            -1
        }
    }

    impl Outcome for i64 {
        fn failed(errno: i32) -> Self {
            process::set_errno(errno);
            -1
        }
    }

    /// Makes a call, unless it is to fail.
    #[track_caller]
    pub fn point<T: Outcome>(kind: Kind, call: impl FnOnce() -> T) -> T {
        match failure(kind) {
            Some(errno) => {
                note(Location::caller());
                let before = process::errno();
                let outcome = T::failed(errno);
                if matches!(kind, Kind::Thread | Kind::Hook) {
                    // The C library's functions return the error.
                    process::set_errno(before);
                }
                outcome
            }
            None => call(),
        }
    }

    /// Has calls fail: `KIND[+KIND..]:FIRST[-LAST][:ERRNO]`, where `any` is all
    /// kinds, the calls of these kinds are counted from 1 on, and no LAST is no end;
    /// with an empty text none. Returns how many have failed since the last time.
    pub fn arm(text: &[u8]) -> usize {
        HAS_LOOKED.store(true, Ordering::Relaxed);
        ARMED.store(0, Ordering::Relaxed);
        let mut parts = text.split(|&byte| byte == b':');
        let kinds = parts.next().unwrap_or_default();
        let mut mask = 0;
        for name in kinds.split(|&byte| byte == b'+') {
            for (i, known) in KINDS.iter().enumerate() {
                if name == known.0 || name == b"any" {
                    mask |= 1 << i;
                }
            }
        }
        let mut range = parts
            .next()
            .unwrap_or_default()
            .splitn(2, |&byte| byte == b'-');
        let first = range.next().and_then(number).unwrap_or(1);
        let last = range.next().and_then(number).unwrap_or(usize::MAX);
        let error = parts.next().and_then(number).unwrap_or(0);
        FIRST.store(first, Ordering::Relaxed);
        LAST.store(last, Ordering::Relaxed);
        ERROR.store(error as i32, Ordering::Relaxed);
        CALLS.store(0, Ordering::Relaxed);
        let failed = FAILED.swap(0, Ordering::Relaxed);
        ARMED.store(mask, Ordering::Relaxed);
        failed
    }

    fn number(text: &[u8]) -> Option<usize> {
        core::str::from_utf8(text).ok()?.parse().ok()
    }

    /// With what the next call of a kind is to fail.
    fn failure(kind: Kind) -> Option<i32> {
        if !HAS_LOOKED.load(Ordering::Relaxed) && process::environment().is_some() {
            HAS_LOOKED.store(true, Ordering::Relaxed);
            if let Some(text) = variable(b"BIFOLD_TEST_FAULT=") {
                arm(text);
            }
        }
        if ARMED.load(Ordering::Relaxed) >> kind as usize & 1 == 0 {
            return None;
        }
        let call = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        if call < FIRST.load(Ordering::Relaxed) || call > LAST.load(Ordering::Relaxed) {
            return None;
        }
        FAILED.fetch_add(1, Ordering::Relaxed);
        Some(match ERROR.load(Ordering::Relaxed) {
            0 => KINDS[kind as usize].1,
            error => error,
        })
    }

    fn variable(start: &[u8]) -> Option<&'static [u8]> {
        process::environment()?.find_map(|entry| entry.strip_prefix(start))
    }

    /// Writes a place that has failed to the log, the first time.
    fn note(place: &'static Location<'static>) {
        let address = core::ptr::from_ref(place) as usize;
        for noted in &NOTED {
            match noted.compare_exchange(0, address, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) if other == address => return,
                Err(_) => {}
            }
        }
        let Some(log) = variable(b"BIFOLD_TEST_FAULT_LOG=") else {
            return;
        };
        let mut line = Line::new();
        line.push(place.file().as_bytes());
        line.push(b":");
        line.decimal(place.line() as usize);
        line.push(b"\n");
        let line = line.bytes();
        let errno = process::errno();
        // SAFETY: an entry of the environment ends with a zero; the line's
        // pointer and length are an array's.
        unsafe {
            let name = CStr::from_ptr(log.as_ptr().cast());
            let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
            let file = libc::syscall(
                libc::SYS_openat,
                libc::AT_FDCWD,
                name.as_ptr(),
                flags,
                0o666,
            );
            libc::syscall(libc::SYS_write, file, line.as_ptr(), line.len());
            libc::syscall(libc::SYS_close, file);
        }
        process::set_errno(errno);
    }
}
