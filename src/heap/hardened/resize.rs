//! realloc: in place where the block has room, else by a copy.
//!
//! What the program gives up is zeroed, so that what lies behind its bytes is
//! zero again.

use core::alloc::Layout;

use super::release::{BEYOND, check_tail};
use super::{Heap, allocate_aligned, canary, free, is_hollow};
use crate::fatal::die;
use crate::heap::caller::Caller;
use crate::heap::lookup::{Found, find_or_die};
use crate::options::harden::{Measure, has, measures};
use crate::os::memory;
use crate::pages::wipe::wipe;
use crate::pages::{PAGE, large};
use crate::size_class::{GRAIN, MEDIUM_MAX};
use crate::slab::Kind;

/// A block that may be resized.
struct Place {
    found: Found,
    block: *mut u8,
    /// The bytes that were asked for.
    size: usize,
    /// The bytes that there is room for.
    room: usize,
}

impl Place {
    /// The block at an address, which is in use and well; else the process ends.
    fn of(block: *mut u8) -> Self {
        let found = find_or_die(
            block,
            "realloc of an invalid pointer",
            "realloc of a freed block",
        );
        let (size, room) = (requested(found, block), room(found));
        Self {
            found,
            block,
            size,
            room,
        }
    }

    /// Whether the block is right for `size` bytes: one that would be less than
    /// half full is moved to a smaller one.
    fn suits(&self, size: usize) -> bool {
        size <= self.room && (size >= self.room / 2 || self.room == 2 * GRAIN - canary::BYTES)
    }

    /// Changes the length of a mapping, which takes no copy. Returns where it is
    /// then; `None`: only a copy will do, and nothing has changed.
    ///
    /// # Safety
    ///
    /// As for [`reallocate`].
    unsafe fn remap(&self, size: usize) -> Option<*mut u8> {
        if !matches!(self.found, Found::Large(_)) || size <= MEDIUM_MAX {
            return None;
        }
        let block = large::resize(self.block as usize, size)? as *mut u8;
        let end = size.next_multiple_of(memory::page_size());
        let moved = Self {
            block,
            size: self.size.min(end),
            ..*self
        };
        // SAFETY: the caller gives up what is left behind `size` bytes.
        Some(unsafe { moved.settle(size) })
    }

    /// Has the block be one of `size` bytes from now on.
    ///
    /// # Safety
    ///
    /// There is room, and the caller gives up what is behind.
    unsafe fn settle(&self, size: usize) -> *mut u8 {
        if size < self.size {
            // SAFETY: as the caller promises.
            unsafe { wipe(self.block as usize + size, self.size - size) };
        }
        match self.found {
            Found::Run(run) => run.set_requested(size),
            Found::Watched(run) if run.kind().is_run() => run.set_requested(size),
            Found::Large(_) | Found::Guarded(_) => large::set_requested(self.block as usize, size),
            Found::Slab(slab) | Found::Watched(slab) => {
                // SAFETY: the block is one of the slab's, and has the room.
                unsafe { canary::write(self.block as usize, slab.size(), size, measures()) };
            }
        }
        self.block
    }
}

/// The bytes of a block that were asked for; all that there is room for where
/// that is not known. A block that was written beyond ends the process.
pub(in crate::heap) fn requested(found: Found, block: *mut u8) -> usize {
    let (size, length) = match found {
        Found::Slab(slab) | Found::Watched(slab) if !slab.kind().is_run() => {
            if is_hollow(slab.size()) {
                return 0;
            }
            // In a forked child what was behind the block is gone, too.
            if slab.kind() == Kind::Wiped {
                return slab.size() - canary::BYTES;
            }
            if !has(Measure::Canary) {
                return slab.size() - canary::BYTES;
            }
            // SAFETY: the block is one of the slab's, and in use.
            let size = unsafe { canary::check(block as usize, slab.size()) };
            return size.unwrap_or_else(|| die(BEYOND, block as usize));
        }
        Found::Slab(run) | Found::Run(run) | Found::Watched(run) => (run.requested(), run.size()),
        Found::Large(entry) | Found::Guarded(entry) => (entry.requested, entry.length),
    };
    // SAFETY: all of it is the block's.
    unsafe { check_tail(block as usize, size, length) };
    if has(Measure::Canary) { size } else { length }
}

fn room(found: Found) -> usize {
    match found {
        Found::Slab(slab) | Found::Watched(slab) if !slab.kind().is_run() => {
            let is_empty = is_hollow(slab.size());
            if is_empty {
                0
            } else {
                slab.size() - canary::BYTES
            }
        }
        Found::Slab(run) | Found::Run(run) | Found::Watched(run) => run.size(),
        Found::Large(entry) | Found::Guarded(entry) => entry.length,
    }
}

/// Changes a block's length to `size` bytes, at least 1; the contents stay as
/// far as both lengths reach. Returns where it is now. Out of memory: what
/// the caller gets then, mostly null, and the block is as it was.
///
/// # Safety
///
/// Nobody uses the block at its old address any more, unless null is
/// returned. What is not a block ends the process with a message.
#[inline(never)]
pub unsafe fn reallocate(block: *mut u8, size: usize, caller: impl Caller) -> *mut u8 {
    let place = Place::of(block);
    // SAFETY: as the caller promises.
    unsafe {
        if let Some(block) = place.remap(size) {
            return block;
        }
        if place.suits(size) {
            return place.settle(size);
        }
        match place.found.home() {
            None => relocate(block, place.size, size, GRAIN, caller),
            Some(heap) => heap
                .relocate(block, place.size, size, GRAIN)
                .unwrap_or_else(|| caller.failed(size, GRAIN)),
        }
    }
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
    let place = Place::of(block);
    // SAFETY: as the caller promises.
    unsafe {
        if place.suits(size) {
            return place.settle(size);
        }
        relocate(block, place.size, size, layout.align(), caller)
    }
}

/// Moves a block, of which `kept` bytes matter, to a new one of `size`, at a
/// multiple of `alignment`, a power of two. Out of memory: what the caller gets
/// then, and nothing has changed.
///
/// # Safety
///
/// As for [`reallocate`].
unsafe fn relocate(
    block: *mut u8,
    kept: usize,
    size: usize,
    alignment: usize,
    caller: impl Caller,
) -> *mut u8 {
    let new = allocate_aligned(size, alignment, caller);
    if !new.is_null() {
        // SAFETY: both blocks are at least that long, and distinct.
        unsafe {
            new.copy_from_nonoverlapping(block, kept.min(size));
            free(block);
        }
    }
    new
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
    pub(in crate::heap) unsafe fn resize(
        &'static self,
        block: *mut u8,
        kept: usize,
        size: usize,
        alignment: usize,
    ) -> Option<*mut u8> {
        let place = Place::of(block);
        let size = size.max(1);
        let is_aligned = (block as usize).is_multiple_of(alignment);
        // SAFETY: as the caller promises.
        unsafe {
            if is_aligned && place.suits(size) {
                return Some(place.settle(size));
            }
            // Pages that move are aligned to a page and no more.
            if alignment <= PAGE
                && let Some(block) = place.remap(size)
            {
                return Some(block);
            }
            if let Some(block) = self.relocate(block, kept.min(place.size), size, alignment) {
                return Some(block);
            }
            // Without memory for a shorter one the block does as it is.
            let has_room = is_aligned && size <= place.room;
            has_room.then(|| place.settle(size))
        }
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
