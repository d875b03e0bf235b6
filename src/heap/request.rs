//! Requests that are more than a pop: runs, large blocks, alignment, zeros.

use core::ptr;

use super::fast::{Fresh, OnFailure, allocate, allocate_block};
use super::{Heap, report};
use crate::pages::{PAGE, guarded, large, zone};
use crate::size_class::{GRAIN, MEDIUM_MAX, STEP_MAX, SizeClass};
use crate::slab::Slab;

/// The most that a request may ask for, in bytes: PTRDIFF_MAX.
const REQUEST_MAX: usize = isize::MAX as usize;

/// Allocates a request that is too long for a slab.
#[inline(never)]
pub(super) fn allocate_run_or_large<F: OnFailure>(size: usize) -> *mut u8 {
    allocate_long::<F>(size, 1)
}

fn allocate_long<F: OnFailure>(size: usize, alignment: usize) -> *mut u8 {
    match long(size, alignment, None) {
        Some(fresh) => fresh.block,
        None => F::failed(size, alignment),
    }
}

/// Allocates `size` bytes at a multiple of `alignment`, a power of two.
/// Out of memory: what `F` returns.
#[inline(always)]
pub fn allocate_aligned<F: OnFailure>(size: usize, alignment: usize) -> *mut u8 {
    if alignment <= GRAIN {
        return allocate::<F>(size);
    }
    allocate_overaligned::<F>(size, alignment)
}

#[inline(never)]
fn allocate_overaligned<F: OnFailure>(size: usize, alignment: usize) -> *mut u8 {
    match class_for(size, alignment) {
        Some(class) => allocate::<F>(class.size()),
        None => allocate_long::<F>(size, alignment),
    }
}

/// Allocates `size` bytes of zeros at a multiple of `alignment`, a power of
/// two. Out of memory: what `F` returns. Memory that is known to read as zero
/// is not written to.
#[inline(always)]
pub fn allocate_zeroed<F: OnFailure>(size: usize, alignment: usize) -> *mut u8 {
    if size <= STEP_MAX && alignment <= GRAIN {
        let block = allocate::<F>(size);
        if !block.is_null() {
            // SAFETY: the block is that long.
            unsafe { block.write_bytes(0, size) };
        }
        return block;
    }
    allocate_longer_zeroed::<F>(size, alignment)
}

#[inline(never)]
fn allocate_longer_zeroed<F: OnFailure>(size: usize, alignment: usize) -> *mut u8 {
    let fresh = match class_for(size, alignment) {
        Some(class) => allocate_block(class),
        None => long(size, alignment, None),
    };
    match fresh {
        Some(fresh) => fresh.zeroed(size),
        None => F::failed(size, alignment),
    }
}

impl Fresh {
    /// Zeroes the block, at least `size` bytes long, if it is not clean.
    fn zeroed(self, size: usize) -> *mut u8 {
        if !self.clean {
            // SAFETY: the block is at least that long, and nobody's yet.
            unsafe { self.block.write_bytes(0, size) };
        }
        self.block
    }
}

/// The class that serves a request; `None` where it takes a run or more.
fn class_for(size: usize, alignment: usize) -> Option<SizeClass> {
    if alignment > PAGE || size > MEDIUM_MAX {
        return None;
    }
    SizeClass::for_aligned(size, alignment)
}

/// A run or a large block, for an explicit heap or for nobody in particular.
#[cold]
fn long(size: usize, alignment: usize, heap: Option<&'static Heap>) -> Option<Fresh> {
    if size > REQUEST_MAX || alignment > REQUEST_MAX - size {
        return None;
    }
    if let Some(heap) = heap
        && let Some(locking) = heap.locking()
    {
        return heap.long_locked(size, alignment, locking);
    }
    let is_run = size <= large::threshold() && alignment <= large::RUN_MAX;
    let fresh = if is_run {
        run(size, alignment, heap).or_else(|| mapping(size, alignment, heap))
    } else {
        mapping(size, alignment, heap)
    };
    fresh.or_else(|| {
        // The address space may be taken by free runs, or by mappings that
        // are kept: give them up.
        let reclaimed = report::reclaim();
        let unmapped = zone::lock().unmap(size + alignment) > 0;
        if !reclaimed && !unmapped {
            return None;
        }
        mapping(size, alignment, heap).or_else(|| run(size, alignment, heap))
    })
}

/// A run that is one block.
pub(super) fn run(size: usize, alignment: usize, heap: Option<&'static Heap>) -> Option<Fresh> {
    if size > large::RUN_MAX || alignment > large::RUN_MAX {
        return None;
    }
    let pages = size.max(1).div_ceil(PAGE) as u32;
    let lease = zone::lock().take(pages, alignment.div_ceil(PAGE) as u32)?;
    let run = Slab::set_up(lease, None, ptr::null_mut());
    if let Some(heap) = heap {
        let _guard = heap.lock.lock();
        heap.adopt(run);
    }
    run.publish();
    Some(Fresh {
        block: run.start() as *mut u8,
        clean: lease.run.clean,
    })
}

fn mapping(size: usize, alignment: usize, heap: Option<&'static Heap>) -> Option<Fresh> {
    let holder = heap.map_or(0, |heap| heap.id() as usize);
    let mapping = large::allocate(size, alignment, holder)?;
    Some(Fresh {
        block: mapping.address as *mut u8,
        clean: mapping.clean,
    })
}

impl Heap {
    /// Allocates from an explicit heap: `size` bytes, at a multiple of
    /// `alignment`, zeroed if so wished. `None`: out of memory.
    pub fn allocate(&'static self, size: usize, alignment: usize, zero: bool) -> Option<*mut u8> {
        let from_slab = |class| {
            let _guard = self.lock.lock();
            self.allocate_under_lock(class)
        };
        let fresh = match class_for(size, alignment.max(GRAIN)) {
            Some(class) => from_slab(class).or_else(|| {
                report::reclaim();
                guarded::forget_refusal();
                from_slab(class)
            }),
            None => long(size, alignment, Some(self)),
        };
        let Some(fresh) = fresh else {
            if self.locking().is_some() {
                guarded::tell_refusal();
            }
            return None;
        };
        if zero {
            fresh.zeroed(size);
        }
        Some(fresh.block)
    }
}
