//! A thread of bifold's own, and the end of a process that has no other.
//!
//! References: pthread_create(3), pthread_sigmask(3), proc_pid_stat(5).

use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;
use core::ptr;

use super::fault::{Kind, point};
use super::{file, process};

/// Enough for what runs in it, with room for other libraries' thread-local
/// storage, which is taken from the stack.
const STACK: usize = 256 << 10;

/// Starts a thread that nobody joins and that takes no signals. Returns whether
/// there is one now. Allocates; `errno` kept, since a free may come here.
pub fn start(name: &'static CStr, main: extern "C" fn(*mut c_void) -> *mut c_void) -> bool {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut all, mut old) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // A number, or a pointer in some C libraries.
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    let errno = process::errno();
    // SAFETY: every value is written by the call that gets it first; the
    // thread's mask is put back as it was.
    unsafe {
        let attributes = attributes.as_mut_ptr();
        if point(Kind::Thread, || libc::pthread_attr_init(attributes)) != 0 {
            return false;
        }
        libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED);
        // Where the least that the system takes is more, it stays the default.
        libc::pthread_attr_setstacksize(attributes, STACK);
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
        let started = point(Kind::Thread, || {
            libc::pthread_create(thread.as_mut_ptr(), attributes, main, ptr::null_mut())
        }) == 0;
        libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), ptr::null_mut());
        libc::pthread_attr_destroy(attributes);
        if started {
            libc::pthread_setname_np(thread.assume_init(), name.as_ptr());
        }
        process::set_errno(errno);
        started
    }
}

/// Whether the first thread has ended and the calling one is the only other:
/// without this one the process would have ended, too. `None`: it can't be told,
/// without /proc.
pub fn is_alone() -> Option<bool> {
    let mut buffer = [0; 1024];
    let text = file::read(c"/proc/self/stat", &mut buffer)?;
    // PID (NAME) STATE and 16 numbers more, then the number of threads; the
    // name may have anything in it.
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = text[end + 1..].split(|&byte| byte == b' ').skip(1);
    let state = fields.next();
    let threads = fields.nth(16);
    Some(state == Some(b"Z") && threads == Some(b"2"))
}

/// Has the calling thread take signals, as others do.
pub fn take_signals() {
    let mut none = MaybeUninit::uninit();
    // SAFETY: the set is written by the first call; null is nowhere to store the
    // old mask.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// Ends the process as the end of its last thread does; see pthread_exit(3).
pub fn exit() -> ! {
    // SAFETY: exit runs what the program has registered for it, as it would
    // at the end of the last thread.
    unsafe { libc::exit(0) }
}
