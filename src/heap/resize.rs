//! realloc: in place where the block, the run or the mapping has room.

use super::fast::{Caller, free};
use super::lookup::{Found, find_or_die};
use super::request::allocate_aligned;
use crate::pages::{PAGE, large, window, zone};
use crate::size_class::{GRAIN, MEDIUM_MAX};
use crate::slab::{Kind, Slab};

/// Changes a block's length to `size` bytes, at least 1; the contents stay as
/// far as both lengths reach. Returns where it is now. Out of memory: what
/// the caller gets then, mostly null, and the block is as it was.
///
/// # Safety
///
/// Nobody uses the block at its old address any more, unless null is
/// returned. What is not a block ends the process with a message.
#[inline(always)]
pub unsafe fn reallocate(block: *mut u8, size: usize, caller: impl Caller) -> *mut u8 {
    let base = window::base();
    if window::is_outside(base, block as usize) {
        // SAFETY: as the caller promises.
        return unsafe { reallocate_longer(block, size, caller) };
    }
    // SAFETY: the address is in the window.
    let slab = unsafe { Slab::of_known(base, block as usize) };
    if slab.kind() == Kind::Small
        && slab.is_small_block(block as usize)
        // SAFETY: the address is that of a block.
        && !unsafe { slab.is_marked(block) }
        && stays(slab.size(), size)
    {
        return block;
    }
    // SAFETY: as the caller promises.
    unsafe { reallocate_longer(block, size, caller) }
}

/// Whether a block of `usable` bytes is right for a request of `size`: one
/// that would be less than half full is moved to a smaller one.
#[inline(always)]
fn stays(usable: usize, size: usize) -> bool {
    size <= usable && (size >= usable / 2 || usable == GRAIN)
}

/// # Safety
///
/// As for [`reallocate`].
#[inline(never)]
unsafe fn reallocate_longer(block: *mut u8, size: usize, caller: impl Caller) -> *mut u8 {
    let found = find_or_die(
        block,
        "realloc of an invalid pointer",
        "realloc of a freed block",
    );
    if stays(found.usable(), size) {
        return shrink_in_place(found, block, size);
    }
    // SAFETY: as the caller promises.
    unsafe { resize(found, block, size, caller) }
}

/// Keeps the block where it is and gives whole pages behind it back.
#[inline]
fn shrink_in_place(found: Found, block: *mut u8, size: usize) -> *mut u8 {
    match found {
        Found::Slab(_) => {}
        Found::Run(run) => shorten(run, size),
        Found::Large(_) => return large_in_place(block, size),
    }
    block
}

#[inline(never)]
fn large_in_place(block: *mut u8, size: usize) -> *mut u8 {
    // Shortening a mapping needs no memory; if it fails all the same, the
    // block is long enough as it is.
    large::resize(block as usize, size).map_or(block, |address| address as *mut u8)
}

// Apart, so that a block that stays where it is costs no saved registers.
#[inline(never)]
fn shorten(run: &'static Slab, size: usize) {
    let (old, new) = (run.pages(), size.div_ceil(PAGE) as u32);
    if new < old {
        let first = window::page_of(run.start() + new as usize * PAGE);
        run.set_pages(new);
        // SAFETY: the pages are the block's, and the caller gives them up.
        unsafe { zone::lock().shorten(first, old - new) };
    }
}

/// # Safety
///
/// As for [`reallocate`].
#[inline(never)]
unsafe fn resize(found: Found, block: *mut u8, size: usize, caller: impl Caller) -> *mut u8 {
    // SAFETY: as the caller promises.
    unsafe {
        extend(found, block, size)
            .unwrap_or_else(|| relocate(block, found.usable(), size, GRAIN, caller))
    }
}

/// Changes the length of a run, or of a mapping, without copying it.
///
/// # Safety
///
/// As for [`reallocate`].
unsafe fn extend(found: Found, block: *mut u8, size: usize) -> Option<*mut u8> {
    match found {
        Found::Large(_) if size > MEDIUM_MAX => {
            large::resize(block as usize, size).map(|address| address as *mut u8)
        }
        Found::Run(run) if size > run.size() && size <= large::threshold() => {
            let more = size.div_ceil(PAGE) as u32 - run.pages();
            zone::lock().extend(run.end(), more)?;
            run.set_pages(run.pages() + more);
            Some(block)
        }
        _ => None,
    }
}

/// Changes a block's length to `size` bytes, at least 1, without copying it: in
/// place, or, where it may be moved by whole pages, by moving those. Returns
/// where it is now; `None`: only a copy will do, and the block is as it was.
/// It stays its heap's.
///
/// # Safety
///
/// As for [`reallocate`].
pub unsafe fn reallocate_in_place(block: *mut u8, size: usize, by_pages: bool) -> Option<*mut u8> {
    let found = find_or_die(
        block,
        "realloc of an invalid pointer",
        "realloc of a freed block",
    );
    if matches!(found, Found::Large(_)) && !by_pages {
        return stays(found.usable(), size).then_some(block);
    }
    if stays(found.usable(), size) {
        return Some(shrink_in_place(found, block, size));
    }
    // SAFETY: as the caller promises.
    unsafe { extend(found, block, size) }
}

/// Moves a block of `usable` bytes to a new one of `size`, at a multiple of
/// `alignment`, a power of two. Out of memory: what the caller gets
/// then, and nothing has changed.
///
/// # Safety
///
/// As for [`reallocate`].
pub unsafe fn relocate(
    block: *mut u8,
    usable: usize,
    size: usize,
    alignment: usize,
    caller: impl Caller,
) -> *mut u8 {
    let new = allocate_aligned(size, alignment, caller);
    if !new.is_null() {
        // SAFETY: both blocks are at least that long, and distinct.
        unsafe {
            new.copy_from_nonoverlapping(block, usable.min(size));
            free(block);
        }
    }
    new
}
