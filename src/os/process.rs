//! What the process offers: standard error, abort, the environment, a clock,
//! randomness, and waiting for another thread.

use core::ffi::{CStr, c_char};
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use rustix::thread::{MembarrierCommand, futex, membarrier};

use super::fault::{Kind, point};

/// Writes bytes to standard error with write(2), as far as the kernel takes
/// them; no stdio, `errno` kept.
pub fn write_stderr(bytes: &[u8]) {
    write_to(2, bytes);
}

/// Writes bytes to an open file with write(2), as far as the kernel takes them;
/// no stdio, `errno` kept.
///
/// By a system call: the C library's function is a point where a thread can be
/// cancelled, and some of what is told is told under a lock.
pub fn write_to(file: i32, mut bytes: &[u8]) {
    let errno = errno();
    while !bytes.is_empty() {
        let written = point(Kind::File, || {
            // SAFETY: the pointer and length are a slice's.
            unsafe { libc::syscall(libc::SYS_write, file, bytes.as_ptr(), bytes.len()) }
        });
        match written {
            1.. => bytes = &bytes[written as usize..],
            // A handler that the program has installed without SA_RESTART.
            -1 if self::errno() == libc::EINTR => {}
            _ => break,
        }
    }
    set_errno(errno);
}

/// Ends the process with SIGABRT; see abort(3).
///
/// It does not return, which the compiler must not know: it would call what
/// ends in this as a function that never returns, and make a frame for that
/// at the start of a fast path, where a jump is enough.
pub fn end() {
    // SAFETY: abort has no preconditions.
    let abort: fn() = || unsafe { libc::abort() };
    core::hint::black_box(abort)();
}

/// The calling thread's `errno`.
pub fn errno() -> i32 {
    // SAFETY: the location is valid for the life of the thread.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's `errno`.
pub fn set_errno(value: i32) {
    // SAFETY: the location is valid for the life of the thread.
    unsafe { *libc::__errno_location() = value }
}

/// The environment's variables, each as `NAME=VALUE`; `None` before the C
/// library has found it. In a program that runs with more rights than its user
/// (set-user-ID and the like: `AT_SECURE`) there are none.
pub fn environment() -> Option<impl Iterator<Item = &'static [u8]>> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: getauxval has no preconditions.
    let is_secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    // SAFETY: the C library defines the variable. It is read at the start,
    // before threads can change it.
    let mut at = unsafe { environ };
    if at.is_null() {
        return None;
    }
    Some(core::iter::from_fn(move || {
        if is_secure {
            return None;
        }
        // SAFETY: the array ends with a null, which is not gone beyond.
        let entry = unsafe { *at };
        if entry.is_null() {
            return None;
        }
        // SAFETY: as above; an entry is a C string.
        unsafe {
            at = at.add(1);
            Some(CStr::from_ptr(entry).to_bytes())
        }
    }))
}

/// The program's name without its directory, as far as it is UTF-8.
pub fn program_name() -> &'static str {
    unsafe extern "C" {
        static program_invocation_short_name: *const c_char;
    }
    // SAFETY: the C library sets the name before any constructor runs.
    let name = unsafe { program_invocation_short_name };
    if name.is_null() {
        return "?";
    }
    // SAFETY: the name is a C string that lives as long as the process.
    unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("?")
}

/// Eight random bytes that the kernel gave the process at its start
/// (`AT_RANDOM`); the same for the whole life of the process.
pub fn random_seed() -> u64 {
    // SAFETY: getauxval has no preconditions.
    let bytes = unsafe { libc::getauxval(libc::AT_RANDOM) } as *const u64;
    if bytes.is_null() {
        return 0;
    }
    // The first eight bytes seed the C library's stack protector, which is a
    // secret; the second eight are its pointer guard. A sum through a mixer
    // gives neither away.
    // SAFETY: AT_RANDOM points at sixteen bytes.
    let (a, b) = unsafe { (bytes.read_unaligned(), bytes.add(1).read_unaligned()) };
    let mut x = a ^ b.rotate_left(29);
    x = (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 32)
}

/// Milliseconds of a monotonic clock, some 4 ms coarse, without a system
/// call (vDSO). Starts anywhere.
pub fn coarse_milliseconds() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is valid for the write. The call cannot fail for this
    // clock, so errno stays.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut now) };
    (now.tv_sec as u64) * 1000 + (now.tv_nsec as u64) / 1_000_000
}

/// Sleeps for so many milliseconds, or until a signal comes.
pub fn sleep(milliseconds: u64) {
    let pause = libc::timespec {
        tv_sec: (milliseconds / 1000) as _,
        tv_nsec: (milliseconds % 1000 * 1_000_000) as _,
    };
    // SAFETY: the pause is valid for the read; null is nowhere to store the rest.
    // The call returns its error, and `errno` stays.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &pause, core::ptr::null_mut()) };
}

/// An identity of the calling thread, never 0 and even, in one instruction: its
/// thread pointer.
#[inline(always)]
pub fn thread_identity() -> usize {
    let identity: usize;
    // SAFETY: every thread has one. On x86-64 it points at itself ("ELF Handling
    // For Thread-Local Storage").
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "mov {}, qword ptr fs:[0]",
            out(reg) identity,
            options(pure, readonly, nostack, preserves_flags)
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "mrs {}, tpidr_el0",
            out(reg) identity,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    identity
}

/// Whether [`barrier`] can be had; asks the kernel once.
pub fn has_barrier() -> bool {
    static ANSWER: AtomicU32 = AtomicU32::new(0);
    // Relaxed: the answer is the same whoever finds it.
    match ANSWER.load(Ordering::Relaxed) {
        0 => {
            let register = || membarrier(MembarrierCommand::RegisterPrivateExpedited);
            let has = point(Kind::Barrier, register).is_ok();
            ANSWER.store(1 + u32::from(has), Ordering::Relaxed);
            has
        }
        answer => answer == 2,
    }
}

/// Has every thread of the process that runs pass a full memory barrier
/// before this returns; see membarrier(2). Returns whether it did.
pub fn barrier() -> bool {
    let barrier = || membarrier(MembarrierCommand::PrivateExpedited);
    point(Kind::Barrier, barrier).is_ok()
}

/// Sleeps while the lower half of `word` is that of `value`, until somebody wakes
/// it; may return for no reason.
pub fn wait_while(word: &AtomicUsize, value: usize) {
    let _ = point(Kind::Futex, || {
        futex::wait(lower_half(word), futex::Flags::PRIVATE, value as u32, None)
    });
}

/// Wakes one thread that sleeps on `word`.
pub fn wake_one(word: &AtomicUsize) {
    let _ = futex::wake(lower_half(word), futex::Flags::PRIVATE, 1);
}

/// The half of a word that the kernel compares: futexes have 32 bits.
fn lower_half(word: &AtomicUsize) -> &AtomicU32 {
    const { assert!(cfg!(target_endian = "little")) };
    // SAFETY: the first half of an aligned word that lives as long. Only the
    // kernel reads through this.
    unsafe { &*ptr::from_ref(word).cast::<AtomicU32>() }
}
