//! Requests that are more than a pop: runs, large blocks, alignment, zeros.

use core::ptr;

use super::fast::{Caller, Fresh, allocate, allocate_block};
use super::{Heap, perturb, report, start};
use crate::os::limits;
use crate::pages::{PAGE, fresh, guarded, large, limit, zone};
use crate::size_class::{GRAIN, STEP_MAX, SizeClass};
use crate::slab::Slab;

/// The most that a request may ask for, in bytes: PTRDIFF_MAX.
const REQUEST_MAX: usize = isize::MAX as usize;

/// Allocates a request that is too long for a slab.
#[inline(never)]
pub(super) fn allocate_run_or_large(size: usize, caller: impl Caller) -> *mut u8 {
    allocate_long(size, 1, caller)
}

fn allocate_long(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    start::ensure(caller.settings());
    match long(size, alignment, None) {
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
        Some(size) => allocate(size, caller),
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
        Some(class) => allocate_block(class, caller),
        None => {
            start::ensure(caller.settings());
            long(size, alignment, None)
        }
    };
    match fresh {
        Some(fresh) => fresh.zeroed(size),
        None => caller.failed(size, alignment),
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
fn class_for(size: usize, alignment: usize) -> Option<SizeClass> {
    aligned_size(size, alignment).map(SizeClass::for_medium)
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
    let is_run = alignment <= large::RUN_MAX
        && (size <= large::threshold() || size <= large::RUN_MAX && large::are_too_many());
    let fresh = if is_run {
        run(size, alignment, heap).or_else(|| mapping(size, alignment, heap))
    } else {
        mapping(size, alignment, heap)
    };
    fresh.or_else(|| {
        // The address space may be taken by free runs, or by mappings that
        // are kept: give them up. Beyond the limit, or for more than the machine
        // has, more address space is no help.
        let reclaimed = report::reclaim();
        let helps = limit::allows(size) && size as u64 <= limits::machine();
        let unmapped = helps && zone::lock().unmap(size + alignment) > 0;
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
    if fresh::faults_around() && lease.run.clean {
        let (start, end) = (run.start(), run.start() + run.size());
        // SAFETY: the run is the caller's.
        unsafe { fresh::fault_around(start, end, start, start + 1) };
    }
    Some(Fresh {
        block: run.start() as *mut u8,
        clean: lease.zeroed,
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
    pub(super) fn serve(
        &'static self,
        size: usize,
        alignment: usize,
        zero: bool,
    ) -> Option<*mut u8> {
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
        } else {
            perturb::fill_fresh(fresh, size);
        }
        Some(fresh.block)
    }
}
