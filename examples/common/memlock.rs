//! The limit on locked memory, `RLIMIT_MEMLOCK`, made to count: getrlimit(2),
//! capabilities(7).

use std::{io, ptr};

use super::{Outcome, size};

/// Why this process can't set itself a limit of so many bytes; `Ok` if it can.
pub fn allows(bytes: usize) -> Outcome<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a value of this function's.
    done("getrlimit", unsafe {
        libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit).into()
    })?;
    if bytes as libc::rlim_t <= limit.rlim_max {
        return Ok(());
    }
    let most = size(limit.rlim_max as usize);
    Err(format!("the hard limit is {most} (ulimit -H -l)"))
}

/// Limits this process to so many locked bytes, and takes from the calling
/// thread the right to exceed them, `CAP_IPC_LOCK`, which root has.
pub fn limit_to(bytes: usize) -> Outcome<()> {
    let limit = libc::rlimit {
        rlim_cur: bytes as libc::rlim_t,
        rlim_max: bytes as libc::rlim_t,
    };
    // SAFETY: the pointer is to a value of this function's.
    done("setrlimit", unsafe {
        libc::setrlimit(libc::RLIMIT_MEMLOCK, ptr::from_ref(&limit)).into()
    })?;
    drop_right()
}

/// What linux/capability.h calls `_LINUX_CAPABILITY_VERSION_3`.
const VERSION_3: u32 = 0x2008_0522;
/// `CAP_IPC_LOCK`, in the low word of a set.
const IPC_LOCK: u32 = 1 << 14;

fn drop_right() -> Outcome<()> {
    // Version and thread, 0 for the calling one.
    let mut header = [VERSION_3, 0];
    // Effective, permitted and inheritable: low words, high words.
    let mut sets = [0u32; 6];
    // SAFETY: the kernel reads and writes two words, and writes six.
    done("capget", unsafe {
        libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr())
    })?;
    for set in &mut sets[..3] {
        *set &= !IPC_LOCK;
    }
    // SAFETY: the kernel reads and writes two words, and reads six.
    done("capset", unsafe {
        libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr())
    })
}

fn done(call: &str, result: libc::c_long) -> Outcome<()> {
    match result {
        0 => Ok(()),
        _ => Err(format!("{call}: {}", io::Error::last_os_error())),
    }
}
