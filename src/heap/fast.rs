//! The fast paths: malloc and free when there is nothing to decide.
//!
//! ```text
//! allocate(size)                       free(p)
//!   slab = my.step[(size + 15) / 16]     page = (p - base) / 4096
//!   block = slab.free, or refill         page < pages, or outside
//!   block's key is right, or die         slab = base + map[page]
//!   slab.free = block.next               slab.owner is me, or elsewhere
//!   clear the key                        p is a block of it, or die
//!                                        p is not slab.free, or die
//!                                        p.next = slab.free, p.key = slab
//!                                        slab.free = p
//!                                        slab.counter -= 1, at 0 settle
//! ```
//!
//! The cold ends take the pointer alone and return nothing that the fast path
//! must keep, so that no register is saved and no frame is made.

use super::caller::{Caller, Fresh};
use super::{Heap, Kind, lookup, mine, plain, refill, remote, settle};
use crate::fatal::end;
use crate::os::slot;
use crate::pages::window;
use crate::size_class::{GRAIN, GRAIN_SHIFT, MEDIUM_MAX, STEP_MAX, SizeClass};
use crate::slab::Slab;

/// Allocates `size` bytes, aligned to 16. Out of memory: what the
/// caller gets then.
#[inline(always)]
pub fn allocate(size: usize, caller: impl Caller) -> *mut u8 {
    if size > STEP_MAX {
        return allocate_longer(size, caller);
    }
    let slab = mine().at_step((size + (GRAIN - 1)) >> GRAIN_SHIFT);
    // SAFETY: the thread's own heap has only slabs that the thread owns.
    match unsafe { slab.pop() } {
        Ok(block) => block,
        Err(refused) if Slab::is_end(refused) => refill::refill_small(size, caller),
        Err(block) => lost_mark(block),
    }
}

/// [`allocate`] above the 16-byte steps.
#[inline(never)]
fn allocate_longer(size: usize, caller: impl Caller) -> *mut u8 {
    if size > MEDIUM_MAX {
        return plain::allocate_run_or_large(size, caller);
    }
    let slab = mine().current(SizeClass::for_long(size));
    // SAFETY: as in `allocate`.
    match unsafe { slab.pop() } {
        Ok(block) => block,
        Err(refused) if Slab::is_end(refused) => refill::refill_small(size, caller),
        Err(block) => lost_mark(block),
    }
}

/// Allocates a multiple of an alignment of up to a page, at such an address. The
/// class's slab may be one of longer blocks, which need not be multiples of it.
#[inline(always)]
pub fn allocate_multiple(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    let slab = if size > STEP_MAX {
        mine().current(SizeClass::for_long(size))
    } else {
        mine().at_step((size + (GRAIN - 1)) >> GRAIN_SHIFT)
    };
    if !has_multiples(slab, alignment) {
        return refill::refill_aligned(size, alignment, caller);
    }
    // SAFETY: as in `allocate`.
    match unsafe { slab.pop() } {
        Ok(block) => block,
        Err(refused) if Slab::is_end(refused) => refill::refill_aligned(size, alignment, caller),
        Err(block) => lost_mark(block),
    }
}

/// Whether all blocks of a slab lie at multiples of an alignment of up to a page, as
/// the slab does. By a mask: that it is a power of two the compiler does not know, and
/// would divide.
#[inline(always)]
fn has_multiples(slab: &Slab, alignment: usize) -> bool {
    debug_assert!(alignment.is_power_of_two());
    slab.size() & (alignment - 1) == 0
}

/// Allocates a block of a class at a multiple of an alignment that its size is a
/// multiple of, with what is known of its contents.
pub fn allocate_block(class: SizeClass, alignment: usize, caller: impl Caller) -> Option<Fresh> {
    let is_exact = alignment > GRAIN;
    let slab = mine().current(class);
    if !has_multiples(slab, alignment) {
        return refill::refill(class, is_exact, caller);
    }
    // SAFETY: as in `allocate`.
    match unsafe { slab.pop() } {
        Ok(block) => Some(Fresh::used(block)),
        Err(refused) if Slab::is_end(refused) => refill::refill(class, is_exact, caller),
        Err(block) => Some(Fresh::used(lost_mark(block))),
    }
}

/// Frees a block; null is nothing to free.
///
/// # Safety
///
/// Nobody uses the block any more. What is not a block, or was freed before,
/// ends the process with a message, in so far as it can be told.
#[inline(always)]
pub unsafe fn free(address: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { release::<true>(address) }
}

/// Frees a block whose requested size the caller knows, so that the test for
/// interior pointers can be left out. Only a hardened build looks at the size.
///
/// # Safety
///
/// As for [`free`], and the address is what an allocation returned.
#[inline(always)]
pub unsafe fn free_sized(address: *mut u8, _size: usize) {
    // SAFETY: as the caller promises.
    unsafe { release::<false>(address) }
}

/// Frees a block of a size that the caller says, for those who must not leave
/// the test out. Only a hardened build looks at the size.
///
/// # Safety
///
/// As for [`free`].
#[inline(always)]
pub unsafe fn free_tested(address: *mut u8, _size: usize) {
    // SAFETY: as the caller promises.
    unsafe { release::<true>(address) }
}

/// # Safety
///
/// As for [`free`], or without the `TEST` for interior pointers for
/// [`free_sized`].
#[inline(always)]
unsafe fn release<const TEST: bool>(address: *mut u8) {
    // In two steps: an `Option` of the two costs another test.
    let base = window::base();
    if window::is_outside(base, address as usize) {
        return lookup::free_outside(address);
    }
    // SAFETY: the address is in the window.
    let slab = unsafe { Slab::of_known(base, address as usize) };
    let heap = slot::get();
    if slab.is_not_of(heap) {
        return remote::free_elsewhere(address, slab, heap);
    }
    if TEST && cfg!(feature = "checks") && !slab.is_small_block(address as usize) {
        return not_a_block(address);
    }
    debug_assert!(slab.is_small_block(address as usize));
    // SAFETY: the thread owns the slab, and the address is a block of it.
    unsafe { release_own(slab, address) }
}

/// Frees a block of a slab of the calling thread's.
///
/// # Safety
///
/// As for [`Slab::push`].
#[inline(always)]
pub(super) unsafe fn release_own(slab: &'static Slab, address: *mut u8) {
    // SAFETY: as the caller promises.
    match unsafe { slab.push(address) } {
        Ok(false) => {}
        Ok(true) => settle::settle_own(address),
        Err(()) => freed_twice(address),
    }
}

#[cold]
#[inline(never)]
fn not_a_block(address: *mut u8) {
    end("free of an invalid pointer", address as usize);
}

#[cold]
#[inline(never)]
pub(super) fn freed_twice(address: *mut u8) {
    end("double free", address as usize);
}

#[cold]
#[inline(never)]
pub(super) fn lost_mark(block: *mut u8) -> *mut u8 {
    end("double free or write to a freed block", block as usize);
    // Not known to be the argument, or callers would keep that in a frame.
    core::hint::black_box(block)
}

impl Heap {
    /// Takes a block of a class from a heap that is used under its lock,
    /// which the caller holds.
    pub(super) fn allocate_under_lock(&'static self, class: SizeClass) -> Option<Fresh> {
        debug_assert!(matches!(self.kind(), Kind::Shared | Kind::Explicit));
        // SAFETY: the caller holds the lock, and no thread owns such a heap.
        match unsafe { self.current(class).pop() } {
            Ok(block) => Some(Fresh::used(block)),
            Err(refused) if Slab::is_end(refused) => self.refill(class, true),
            Err(block) => Some(Fresh::used(lost_mark(block))),
        }
    }

    /// Takes a block of a slab of the heap's that has one.
    ///
    /// # Safety
    ///
    /// As for [`Slab::pop`].
    pub(super) unsafe fn pop_sure(&self, slab: &Slab) -> Option<Fresh> {
        // SAFETY: as the caller promises.
        let block = unsafe { slab.pop() }.unwrap_or_else(lost_mark);
        Some(Fresh::used(block))
    }

    /// Takes a block of a slab of the heap's; `None`: its list is empty, or its
    /// first block has lost its mark.
    ///
    /// # Safety
    ///
    /// As for [`Slab::pop`].
    pub(super) unsafe fn pop(&self, slab: &Slab) -> Option<Fresh> {
        // SAFETY: as the caller promises.
        unsafe { slab.pop() }.ok().map(Fresh::used)
    }
}
