//! Stranded mappings: those that the kernel does not take back.
//!
//! To unmap a part of what is one mapping to the kernel makes two of it, and a
//! process may have some 65,000 (`vm.max_map_count`). So munmap(2) fails where
//! neighbours were joined, as large blocks are. The memory of such a range goes
//! back all the same; its addresses are kept in a list, and tried again when
//! memory is trimmed or short.
//!
//! The list's links lie in the ranges. It is a stack that is taken as a whole,
//! without a lock: who frees memory may hold any.

use core::sync::atomic::{AtomicPtr, Ordering};

use super::{due, fresh};
use crate::os::{memory, process};

/// The start of a stranded range.
struct Stranded {
    next: *mut Stranded,
    length: usize,
}

static STRANDED: AtomicPtr<Stranded> = AtomicPtr::new(core::ptr::null_mut());

/// Unmaps a range of ordinary memory, now or later.
///
/// # Safety
///
/// As for [`memory::unmap`]; the range can be written to.
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn unmap(address: usize, length: usize) {
    // SAFETY: as the caller promises.
    if unsafe { !memory::unmap(address, length) } {
        // SAFETY: as above.
        unsafe { strand(address, length) };
        due::request(process::coarse_milliseconds());
    }
}

/// # Safety
///
/// As for [`unmap`].
#[cold]
unsafe fn strand(address: usize, length: usize) {
    // SAFETY: as the caller promises.
    unsafe { fresh::purge(address, length) };
    let range = address as *mut Stranded;
    let mut next = STRANDED.load(Ordering::Relaxed);
    loop {
        // SAFETY: the range is page-aligned, at least a page long, and nobody's.
        unsafe { range.write(Stranded { next, length }) };
        // Release pairs with the Acquire in `retry`.
        match STRANDED.compare_exchange(next, range, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(other) => next = other,
        }
    }
}

/// Tries to unmap what is stranded. Returns the bytes that are gone.
pub fn retry() -> usize {
    let mut gone = 0;
    let mut range = STRANDED.swap(core::ptr::null_mut(), Ordering::Acquire);
    while !range.is_null() {
        // SAFETY: who took the list has the ranges in it alone.
        unsafe {
            let Stranded { next, length } = range.read();
            if memory::unmap(range as usize, length) {
                gone += length;
            } else {
                strand(range as usize, length);
            }
            range = next;
        }
    }
    gone
}
