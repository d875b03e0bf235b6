//! Requests that no slab serves, runs and large blocks, and those of explicit heaps.

use core::ptr;

use super::caller::Fresh;
#[cfg(feature = "hardened")]
use super::hardened::{self, class_for};
#[cfg(not(feature = "hardened"))]
use super::plain::class_for;
use super::{Heap, perturb, report};
use crate::os::limits;
#[cfg(feature = "hardened")]
use crate::pages::fence;
use crate::pages::{PAGE, fresh, guarded, large, limit, zone};
use crate::size_class::GRAIN;
use crate::slab::Slab;

/// The most that a request may ask for, in bytes: PTRDIFF_MAX.
const REQUEST_MAX: usize = isize::MAX as usize;

/// Pages that a run has behind it for its fence.
#[cfg(feature = "hardened")]
const FENCE: u32 = fence::PAGES;
#[cfg(not(feature = "hardened"))]
const FENCE: u32 = 0;

/// A run or a large block, for an explicit heap or for nobody in particular.
#[cold]
pub(super) fn long(size: usize, alignment: usize, heap: Option<&'static Heap>) -> Option<Fresh> {
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
    let pages = size.max(1).div_ceil(PAGE) as u32 + FENCE;
    if pages as usize * PAGE > large::RUN_MAX {
        return None;
    }
    let lease = zone::lock().take(pages, alignment.div_ceil(PAGE) as u32)?;
    let run = Slab::set_up(lease, None, ptr::null_mut());
    #[cfg(feature = "hardened")]
    run.put_up_fence();
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
        #[cfg(feature = "hardened")]
        let fresh = hardened::dress_any(fresh, size, alignment);
        if zero {
            fresh.zeroed(size);
        } else {
            perturb::fill_fresh(fresh, size);
        }
        Some(fresh.block)
    }
}
