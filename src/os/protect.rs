//! What the kernel does for secrets: pages that are locked, guarded, kept out
//! of core dumps, and wiped in forked children.
//!
//! Ranges are whole OS pages. References: mlock(2), mprotect(2), madvise(2),
//! mmap(2), mincore(2), getrlimit(2), capabilities(7).

use core::ffi::c_void;
#[cfg(feature = "hardened")]
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MlockFlags, MprotectFlags, ProtFlags};

use super::fault::{Kind, point};
use super::paging::{madvise, mincore, mlock, mlock_with, mmap_anonymous, mprotect, munlock};
use super::{limits, memory, process};

/// When locked pages get memory behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// At once, mlock(2).
    AtOnce,
    /// Each when it is first touched, mlock2(2) with `MLOCK_ONFAULT`.
    OnFault,
}

/// The system call that the kernel refused, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was asked for.
    pub call: Call,
    /// The `errno`, positive.
    pub errno: u16,
}

/// A system call of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Call {
    /// mlock(2).
    Mlock,
    /// mlock2(2).
    Mlock2,
    /// mprotect(2).
    Mprotect,
    /// madvise(2) for core dumps.
    Dump,
    /// madvise(2) for forks.
    Fork,
}

impl Call {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Mlock,
        Self::Mlock2,
        Self::Mprotect,
        Self::Dump,
        Self::Fork,
    ];

    /// What it is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mlock => "mlock",
            Self::Mlock2 => "mlock2",
            Self::Mprotect => "mprotect",
            Self::Dump => "madvise for core dumps",
            Self::Fork => "madvise for forks",
        }
    }

    fn done(self, result: Result<(), Errno>) -> Result<(), Refused> {
        result.map_err(|errno| Refused {
            call: self,
            errno: errno.raw_os_error() as u16,
        })
    }
}

/// Locks a range: its pages stay in memory.
///
/// # Errors
///
/// [`Refused`]: `RLIMIT_MEMLOCK` is used up, there is no memory, or, for
/// [`Locking::OnFault`], the kernel is older than 4.4. Nothing is locked then.
///
/// # Safety
///
/// The range is the caller's own, and nothing in it was locked before.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn lock(address: usize, length: usize, locking: Locking) -> Result<(), Refused> {
    let start = address as *mut c_void;
    // SAFETY: as the caller promises.
    let locked = unsafe {
        match locking {
            Locking::AtOnce => Call::Mlock.done(point(Kind::Lock, || mlock(start, length))),
            Locking::OnFault => Call::Mlock2.done(point(Kind::Lock, || {
                mlock_with(start, length, MlockFlags::ONFAULT)
            })),
        }
    };
    if locked.is_err() {
        // Without memory for the pages the kernel leaves the range marked as
        // locked. Where it is not, this changes nothing.
        // SAFETY: as the caller promises.
        unsafe { unlock(address, length) };
    }
    locked
}

/// Lets a range be written to swap space again.
///
/// # Safety
///
/// The range is the caller's own.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn unlock(address: usize, length: usize) {
    // SAFETY: as the caller promises; the contents stay.
    let _ = point(Kind::Lock, || unsafe {
        munlock(address as *mut c_void, length)
    });
}

/// Makes a range inaccessible.
///
/// # Errors
///
/// [`Refused`]: splitting a mapping can fail at the limit of mappings.
///
/// # Safety
///
/// The range is the caller's own, and nobody uses it.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn guard(address: usize, length: usize) -> Result<(), Refused> {
    // SAFETY: as the caller promises.
    let guarded = point(Kind::Protect, || unsafe {
        mprotect(address as *mut c_void, length, MprotectFlags::empty())
    });
    Call::Mprotect.done(guarded)
}

/// How many ranges [`fence`] may make inaccessible by mappings of their own: a
/// process has 65,530 mappings, each takes two, and the program wants some, too.
#[cfg(feature = "hardened")]
const MOST_FENCES: usize = 8192;

/// How many there are; one more or less after a race.
#[cfg(feature = "hardened")]
static FENCES: AtomicUsize = AtomicUsize::new(0);

/// Whether any was ever put up by advice.
#[cfg(feature = "hardened")]
static ADVISED: AtomicBool = AtomicBool::new(false);

/// Makes a range inaccessible and drops its contents. Returns whether it is.
///
/// By `MADV_GUARD_INSTALL` (Linux 6.13), which costs no mapping; where the kernel
/// has no such thing, or not for this memory, by mprotect(2), as long as the
/// process has mappings to spare.
///
/// # Safety
///
/// The range is the caller's own, and nobody uses it.
#[cfg(feature = "hardened")]
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn fence(address: usize, length: usize) -> bool {
    const GUARD_INSTALL: i32 = 102;
    // SAFETY: as the caller promises.
    unsafe {
        if memory::advise(address as *mut c_void, length, GUARD_INSTALL) {
            if !ADVISED.load(Ordering::Relaxed) {
                ADVISED.store(true, Ordering::Relaxed);
            }
            return true;
        }
        let done = FENCES.load(Ordering::Relaxed) < MOST_FENCES && guard(address, length).is_ok();
        if done {
            FENCES.fetch_add(1, Ordering::Relaxed);
        }
        done
    }
}

/// Makes a range accessible that [`fence`] has made inaccessible. Returns
/// whether it is.
///
/// # Safety
///
/// The range is the caller's own, as a whole, and nobody uses it.
#[cfg(feature = "hardened")]
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn unfence(address: usize, length: usize) -> bool {
    const GUARD_REMOVE: i32 = 103;
    // SAFETY: as the caller promises.
    unsafe {
        let removed = memory::advise(address as *mut c_void, length, GUARD_REMOVE);
        if FENCES.load(Ordering::Relaxed) == 0 {
            return removed;
        }
        // Which of the two it was is not known. This changes nothing of memory
        // that is accessible, and takes no fence down that was put up by advice.
        let access = MprotectFlags::READ | MprotectFlags::WRITE;
        let done = point(Kind::Protect, || {
            mprotect(address as *mut c_void, length, access)
        })
        .is_ok();
        if done && !removed {
            FENCES.fetch_sub(1, Ordering::Relaxed);
        }
        done && (removed || !ADVISED.load(Ordering::Relaxed))
    }
}

/// Takes the memory behind a range and its accessibility, and keeps the
/// addresses. Returns whether it did.
///
/// # Safety
///
/// The range is the caller's own, and its contents are dead.
#[cfg(feature = "hardened")]
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn withdraw(address: usize, length: usize) -> bool {
    // SAFETY: as the caller promises.
    let mapped = point(Kind::Map, || unsafe {
        mmap_anonymous(
            address as *mut c_void,
            length,
            ProtFlags::empty(),
            MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
        )
    });
    mapped.is_ok()
}

/// Keeps a range out of core dumps, and wipes it in forked children.
///
/// # Errors
///
/// [`Refused`]: a kernel before 4.14 cannot wipe; splitting a mapping can fail
/// at the limit of mappings.
///
/// # Safety
///
/// The range is the caller's own.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn hide(address: usize, length: usize) -> Result<(), Refused> {
    let start = address as *mut c_void;
    // SAFETY: as the caller promises; the contents of this process stay.
    unsafe {
        Call::Dump.done(point(Kind::Advise, || {
            madvise(start, length, Advice::LinuxDontDump)
        }))?;
        Call::Fork.done(point(Kind::Advise, || {
            madvise(start, length, Advice::LinuxWipeOnFork)
        }))
    }
}

/// Maps a range anew: ordinary memory that reads as zero, and nothing of what
/// this file does to memory holds any more. Returns whether it is that.
///
/// To undo each step costs more calls, and leaves the kernel with a mapping for
/// each range that was ever locked, since it does not join what was touched
/// apart.
///
/// # Safety
///
/// The range is the caller's own and mapped, and its contents are dead.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn renew(address: usize, length: usize) -> bool {
    // SAFETY: as the caller promises.
    let mapped = point(Kind::Map, || unsafe {
        mmap_anonymous(
            address as *mut c_void,
            length,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::FIXED,
        )
    });
    mapped.is_ok()
}

/// Finds out which OS pages of a range are in memory: the lowest bit of a byte
/// for each, which is set, too, where the kernel does not say; then it returns
/// `false`. See mincore(2).
pub fn find_resident(address: usize, pages: &mut [u8]) -> bool {
    let length = pages.len() * memory::page_size();
    let errno = process::errno();
    // SAFETY: the kernel writes a byte for each page of the range, and only looks
    // at its own tables.
    let done = point(Kind::Figure, || unsafe {
        mincore(address as *mut c_void, length, pages.as_mut_ptr())
    });
    if done != 0 {
        process::set_errno(errno);
        pages.fill(1);
    }
    done == 0
}

/// The bytes that the process may lock (`RLIMIT_MEMLOCK`); `None`: any number,
/// since there is no limit or the process may exceed it (`CAP_IPC_LOCK`).
pub fn lock_limit() -> Option<usize> {
    match limits::resource(libc::RLIMIT_MEMLOCK) {
        libc::RLIM_INFINITY => None,
        _ if may_exceed_limits() => None,
        limit => Some(limit as usize),
    }
}

/// Whether the calling thread has `CAP_IPC_LOCK`.
fn may_exceed_limits() -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    const IPC_LOCK: u32 = 14;
    // Version and thread; effective, permitted and inheritable, low words and
    // high words.
    let mut header = [VERSION_3, 0];
    let mut sets = [0u32; 6];
    let errno = process::errno();
    // SAFETY: the kernel reads and writes two words, and writes six.
    let done = point(Kind::Figure, || unsafe {
        libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr())
    });
    process::set_errno(errno);
    done == 0 && sets[0] >> IPC_LOCK & 1 != 0
}
