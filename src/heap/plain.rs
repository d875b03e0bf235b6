//! Requests that are more than a pop, where the build is not hardened: too long
//! for a slab, aligned, zeroed.

use super::caller::Caller;
use super::fast::{allocate, allocate_block, allocate_multiple};
use super::{perturb, request, start};
use crate::pages::PAGE;
use crate::size_class::{GRAIN, STEP_MAX, SizeClass};

/// Allocates a request that is too long for a slab.
#[inline(never)]
pub(super) fn allocate_run_or_large(size: usize, caller: impl Caller) -> *mut u8 {
    allocate_long(size, 1, caller)
}

fn allocate_long(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    start::ensure(caller.settings());
    match request::long(size, alignment, None) {
        Some(fresh) => perturb::fill_fresh(fresh, size).block,
        None => caller.failed(size, alignment),
    }
}

/// Allocates `size` bytes at a multiple of `alignment`, a power of two.
/// Out of memory: what the caller gets then.
#[inline(always)]
pub fn allocate_aligned(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    if alignment <= GRAIN {
        return allocate(size, caller);
    }
    allocate_overaligned(size, alignment, caller)
}

#[inline(never)]
fn allocate_overaligned(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    match aligned_size(size, alignment) {
        Some(size) => allocate_multiple(size, alignment, caller),
        None => allocate_long(size, alignment, caller),
    }
}

/// Allocates `size` bytes of zeros at a multiple of `alignment`, a power of
/// two. Out of memory: what the caller gets then. Memory that is known to read as zero
/// is not written to.
#[inline(always)]
pub fn allocate_zeroed(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    if size <= STEP_MAX && alignment <= GRAIN {
        let block = allocate(size, caller);
        if !block.is_null() {
            // SAFETY: the block is that long.
            unsafe { block.write_bytes(0, size) };
        }
        return block;
    }
    allocate_longer_zeroed(size, alignment, caller)
}

#[inline(never)]
fn allocate_longer_zeroed(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    let fresh = match class_for(size, alignment) {
        Some(class) => allocate_block(class, alignment, caller),
        None => {
            start::ensure(caller.settings());
            request::long(size, alignment, None)
        }
    };
    match fresh {
        Some(fresh) => fresh.zeroed(size),
        None => caller.failed(size, alignment),
    }
}

/// What to ask a slab for that serves a request; `None` where it takes a run or
/// more.
#[inline]
fn aligned_size(size: usize, alignment: usize) -> Option<usize> {
    if alignment > PAGE {
        return None;
    }
    SizeClass::aligned_size(size, alignment)
}

/// The class that serves a request; `None` where it takes a run or more.
pub(super) fn class_for(size: usize, alignment: usize) -> Option<SizeClass> {
    aligned_size(size, alignment).map(SizeClass::for_medium)
}
