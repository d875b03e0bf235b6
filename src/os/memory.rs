//! Mapping, unmapping and purging pages: thin, typed doors to the kernel.
//!
//! All mappings are anonymous, private, readable and writable. Lengths are in
//! bytes and a multiple of the OS page; addresses are OS-page aligned.
//! References: mmap(2), mremap(2), madvise(2).

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use super::fault::{Kind, point};
use super::paging::{self, madvise, madvise_number, mmap_anonymous, mremap, mremap_fixed, munmap};
use super::process;
use rustix::mm::{Advice, MapFlags, MremapFlags, ProtFlags};

/// The kernel refused a request for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Something else is mapped there.
    Taken,
    /// No memory, no address space, or a limit reached.
    Refused,
}

/// The size of an OS page in bytes: 4, 16 or 64 KiB, read once from the
/// auxiliary vector.
pub fn page_size() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: the value is the same whoever stores it.
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            let size = paging::page_size();
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// The length of a huge page in bytes: what one page of page-table entries, of eight
/// bytes each, maps.
pub fn huge_page_size() -> usize {
    page_size() / 8 * page_size()
}

/// Rounds `bytes` up to whole OS pages; `None` on overflow.
pub fn round_to_pages(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(page_size())
}

/// Maps `length` bytes where the kernel likes.
///
/// # Errors
///
/// [`MapError::Refused`].
#[cfg_attr(bifold_faults, track_caller)]
pub fn map(length: usize) -> Result<usize, MapError> {
    // SAFETY: a new anonymous mapping at no particular address disturbs
    // nothing that exists.
    point(Kind::Map, || unsafe {
        mmap_anonymous(
            ptr::null_mut(),
            length,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )
    })
    .map(|start| start as usize)
    .map_err(|_| MapError::Refused)
}

/// Maps `length` bytes at exactly `address`, where nothing is mapped yet.
///
/// # Errors
///
/// [`MapError::Taken`] where something is mapped there already,
/// [`MapError::Refused`] for everything else.
#[cfg_attr(bifold_faults, track_caller)]
pub fn map_at(address: usize, length: usize) -> Result<(), MapError> {
    map_with(address, length, MapFlags::empty())
}

/// Maps `length` bytes of huge pages of 2^`shift` bytes, of which both are
/// multiples, at exactly `address`; see mmap(2), `MAP_HUGETLB`.
///
/// # Errors
///
/// As for [`map_at`]; [`MapError::Refused`] where there are not so many such
/// pages.
#[cfg_attr(bifold_faults, track_caller)]
pub fn map_hugetlb_at(address: usize, length: usize, shift: u32) -> Result<(), MapError> {
    let size = MapFlags::from_bits_retain(shift << libc::MAP_HUGE_SHIFT);
    map_with(address, length, MapFlags::HUGETLB | size)
}

/// Kernels before 4.17 and valgrind take `MAP_FIXED_NOREPLACE` for a plain
/// hint, so the place where the mapping landed decides.
#[cfg_attr(bifold_faults, track_caller)]
fn map_with(address: usize, length: usize, flags: MapFlags) -> Result<(), MapError> {
    // SAFETY: MAP_FIXED_NOREPLACE never replaces a mapping.
    let placed = point(Kind::Map, || unsafe {
        mmap_anonymous(
            address as *mut c_void,
            length,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE | flags,
        )
    });
    match placed {
        Ok(start) if start as usize == address => Ok(()),
        Ok(elsewhere) => {
            // SAFETY: the mapping was made a moment ago and nobody knows it.
            unsafe { unmap(elsewhere as usize, length) };
            Err(MapError::Taken)
        }
        Err(rustix::io::Errno::EXIST) => Err(MapError::Taken),
        Err(_) => Err(MapError::Refused),
    }
}

/// Unmaps a range. Returns whether the kernel did: splitting a mapping can
/// fail at the limit of mappings a process may have.
///
/// # Safety
///
/// The range is the caller's own and nothing refers to it any more.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn unmap(address: usize, length: usize) -> bool {
    // SAFETY: as the caller promises.
    point(Kind::Unmap, || unsafe {
        munmap(address as *mut c_void, length)
    })
    .is_ok()
}

/// Changes a mapping's length; the kernel may move it. Returns its address.
///
/// # Errors
///
/// [`MapError::Refused`]: the old mapping is as it was.
///
/// # Safety
///
/// `address` and `old_length` name a whole mapping of the caller's. When it
/// moves, the old addresses are gone.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn remap(
    address: usize,
    old_length: usize,
    new_length: usize,
) -> Result<usize, MapError> {
    // SAFETY: as the caller promises.
    point(Kind::Remap, || unsafe {
        mremap(
            address as *mut c_void,
            old_length,
            new_length,
            MremapFlags::MAYMOVE,
        )
    })
    .map(|start| start as usize)
    .map_err(|_| MapError::Refused)
}

/// Why a mapping was not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveError {
    /// It is more than one mapping to the kernel. Before Linux 6.17 that is found only
    /// after what was at the new place has been unmapped.
    Split,
    /// No memory, or too many mappings.
    Refused,
}

/// Moves a mapping to `place`, in the stead of what is mapped there, and changes its
/// length.
///
/// # Errors
///
/// [`MoveError`]; the mapping is as it was.
///
/// # Safety
///
/// As for [`remap`], and what is at `place` is the caller's own and not used.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn remap_to(
    address: usize,
    old_length: usize,
    new_length: usize,
    place: usize,
) -> Result<(), MoveError> {
    // SAFETY: as the caller promises.
    let moved = point(Kind::Remap, || unsafe {
        mremap_fixed(
            address as *mut c_void,
            old_length,
            new_length,
            MremapFlags::MAYMOVE,
            place as *mut c_void,
        )
    });
    match moved {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::FAULT) => Err(MoveError::Split),
        Err(_) => Err(MoveError::Refused),
    }
}

/// How pages are given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purging {
    /// `MADV_DONTNEED`: at once; what is locked is left alone.
    Now,
    /// `MADV_DONTNEED_LOCKED` (Linux 5.18): locked pages, too.
    Locked,
    /// `MADV_FREE`: when the kernel wants them. Until then they read as
    /// before, or as zero.
    Lazy,
}

/// Gives the physical pages of a range back and keeps the addresses. Returns
/// whether the kernel took them; the range is known to read as zero then,
/// unless it was [`Purging::Lazy`].
///
/// # Safety
///
/// The range is the caller's own and its contents are dead.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn purge(address: usize, length: usize, how: Purging) -> bool {
    const DONTNEED_LOCKED: i32 = 24;
    let address = address as *mut c_void;
    let advice = match how {
        Purging::Now => Advice::LinuxDontNeed,
        Purging::Lazy => Advice::LinuxFree,
        Purging::Locked => {
            // SAFETY: as the caller promises.
            return purge_zeroes() && unsafe { advise(address, length, DONTNEED_LOCKED) };
        }
    };
    // SAFETY: as the caller promises.
    purge_zeroes() && point(Kind::Advise, || unsafe { madvise(address, length, advice) }).is_ok()
}

/// madvise(2) with an advice that rustix has no name for; `errno` kept.
///
/// # Safety
///
/// As the advice demands.
#[cfg_attr(bifold_faults, track_caller)]
pub(super) unsafe fn advise(address: *mut c_void, length: usize, advice: i32) -> bool {
    let errno = process::errno();
    // SAFETY: as the caller promises.
    let done = point(Kind::Advise, || unsafe {
        madvise_number(address, length, advice)
    }) == 0;
    process::set_errno(errno);
    done
}

/// Asks for huge pages in a range, or for none. A kernel without them takes no
/// notice.
#[cfg_attr(bifold_faults, track_caller)]
pub fn advise_huge(address: usize, length: usize, wanted: bool) {
    let advice = if wanted {
        Advice::LinuxHugepage
    } else {
        Advice::LinuxNoHugepage
    };
    // SAFETY: the advice changes no contents and takes no memory away.
    let _ = point(Kind::Advise, || unsafe {
        madvise(address as *mut c_void, length, advice)
    });
}

/// Makes every page of a range resident and ready to be written to
/// (`MADV_POPULATE_WRITE`, Linux 5.14; before that, by touching each).
///
/// # Safety
///
/// The range is the caller's own, and no other thread uses it meanwhile.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn populate(address: usize, length: usize) {
    // SAFETY: as the caller promises; the contents stay.
    let done = point(Kind::Advise, || unsafe {
        madvise(address as *mut c_void, length, Advice::LinuxPopulateWrite)
    });
    if done.is_ok() {
        return;
    }
    for page in (address..address + length).step_by(page_size()) {
        let byte = page as *mut u8;
        // SAFETY: as the caller promises.
        unsafe { byte.write_volatile(byte.read_volatile()) };
    }
}

/// Whether a purged page reads as zero. Old user-mode emulators accept
/// `MADV_DONTNEED` and do nothing, which would make `calloc` hand out
/// garbage, so it is tried once on a page of its own.
fn purge_zeroes() -> bool {
    const UNKNOWN: u8 = 0;
    const YES: u8 = 1;
    const NO: u8 = 2;
    static ANSWER: AtomicU8 = AtomicU8::new(UNKNOWN);
    // Relaxed: the answer is the same whoever finds it.
    match ANSWER.load(Ordering::Relaxed) {
        YES => true,
        NO => false,
        _ => {
            let Ok(page) = map(page_size()) else {
                return false;
            };
            // SAFETY: the page was mapped above for this trial alone.
            let (done, zeroed) = unsafe {
                let byte = page as *mut u8;
                byte.write_volatile(1);
                let done = point(Kind::Advise, || {
                    madvise(page as *mut c_void, page_size(), Advice::LinuxDontNeed)
                })
                .is_ok();
                let zeroed = byte.read_volatile() == 0;
                unmap(page, page_size());
                (done, zeroed)
            };
            // A refusal is no answer for good: the kernel was short of
            // something, or the page is locked, under mlockall(2).
            if done {
                ANSWER.store(if zeroed { YES } else { NO }, Ordering::Relaxed);
            }
            done && zeroed
        }
    }
}
