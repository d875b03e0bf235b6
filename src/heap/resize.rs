//! realloc: in place where the block, the run or the mapping has room.

use core::alloc::Layout;

use super::caller::Caller;
use super::fast::free;
use super::lookup::{Found, find_or_die, usable_size};
use super::plain::allocate_aligned;
use super::{Heap, watched};
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

/// [`reallocate`] of a block of a layout whose alignment it keeps, above 16.
///
/// # Safety
///
/// As for [`reallocate`], and the layout is the block's.
pub unsafe fn reallocate_aligned(
    block: *mut u8,
    layout: Layout,
    size: usize,
    caller: impl Caller,
) -> *mut u8 {
    let usable = usable_size(block);
    if size <= usable && size >= usable / 2 {
        return block;
    }
    // SAFETY: as the caller promises.
    unsafe { relocate(block, layout.size(), size, layout.align(), caller) }
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

/// Keeps the block where it is and gives whole pages behind it back, or wipes
/// what is behind.
#[inline]
fn shrink_in_place(found: Found, block: *mut u8, size: usize) -> *mut u8 {
    match found {
        Found::Slab(_) => {}
        Found::Run(run) => shorten(run, size),
        Found::Large(_) => return large_in_place(block, size),
        // SAFETY: the caller gives up what is behind.
        Found::Watched(_) | Found::Guarded(_) => unsafe { watched::shorten(found, block, size) },
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
        extend(found, block, size).unwrap_or_else(|| match found.home() {
            None => relocate(block, found.usable(), size, GRAIN, caller),
            Some(heap) => heap
                .relocate(block, found.usable(), size, GRAIN)
                .unwrap_or_else(|| caller.failed(size, GRAIN)),
        })
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
unsafe fn reallocate_in_place(
    found: Found,
    block: *mut u8,
    size: usize,
    by_pages: bool,
) -> Option<*mut u8> {
    if matches!(found, Found::Large(_)) && !by_pages {
        return stays(found.usable(), size).then_some(block);
    }
    if stays(found.usable(), size) {
        return Some(shrink_in_place(found, block, size));
    }
    // SAFETY: as the caller promises.
    unsafe { extend(found, block, size) }
}

impl Heap {
    /// Changes the length of a block of an explicit heap's to `size` bytes, and
    /// its alignment to `alignment`, a power of two; at most `kept` bytes of its
    /// contents matter. Returns where it is now. `None`: out of memory, and the
    /// block is as it was.
    ///
    /// # Safety
    ///
    /// As for [`reallocate`].
    pub(super) unsafe fn resize(
        &'static self,
        block: *mut u8,
        kept: usize,
        size: usize,
        alignment: usize,
    ) -> Option<*mut u8> {
        let found = find_or_die(
            block,
            "realloc of an invalid pointer",
            "realloc of a freed block",
        );
        let (size, kept) = (size.max(1), kept.min(found.usable()));
        let is_aligned = (block as usize).is_multiple_of(alignment);
        // Pages that move are aligned to a page and no more.
        let by_pages = alignment <= PAGE;
        // SAFETY: as the caller promises.
        unsafe {
            if is_aligned && let Some(block) = reallocate_in_place(found, block, size, by_pages) {
                return Some(block);
            }
            if let Some(block) = self.relocate(block, kept, size, alignment) {
                return Some(block);
            }
        }
        // Without memory for a shorter one the block does as it is.
        let has_room = is_aligned && size <= found.usable();
        has_room.then(|| shrink_in_place(found, block, size))
    }

    /// Moves a block, of which `kept` bytes matter, to a new one of this heap.
    /// `None`: out of memory, and nothing has changed.
    ///
    /// # Safety
    ///
    /// As for [`reallocate`].
    unsafe fn relocate(
        &'static self,
        block: *mut u8,
        kept: usize,
        size: usize,
        alignment: usize,
    ) -> Option<*mut u8> {
        let new = self.serve(size, alignment, false)?;
        // SAFETY: both blocks are at least that long, and distinct.
        unsafe {
            new.copy_from_nonoverlapping(block, kept.min(size));
            free(block);
        }
        Some(new)
    }
}

/// Moves a block of `usable` bytes to a new one of `size`, at a multiple of
/// `alignment`, a power of two. Out of memory: what the caller gets
/// then, and nothing has changed.
///
/// # Safety
///
/// As for [`reallocate`].
unsafe fn relocate(
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
