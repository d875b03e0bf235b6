//! malloc and free of a hardened build, in the place of `fast`.
//!
//! ```text
//! allocate(size)                         free(p)
//!   a slab by size + 8                     a slab, and p a block of it, or die
//!   any free block of 64, by chance        p is in use, or die: double free
//!   it is zero, or die: written to         its canary and size are right, or die
//!   canary and size behind it              the end of its neighbour is well, or die
//!                                          zero it
//!                                          into quarantine, and out of it another
//!                                          that one is free, or on its way home
//! ```
//!
//! What a slab knows of its blocks is in its marks (`slab::marks`), so that
//! nothing of bifold's lies in a block but what is behind the program's bytes.
//! Slabs, heaps, refill, settling, and remote frees by an inbox are as in other
//! builds. Each measure can be switched off by `BIFOLD_HARDEN`.
//!
//! ```text
//!  canary      what is behind a block
//!  quarantine  where freed blocks wait
//!  release     free
//!  resize      realloc
//!  zero        whether a block is zero, and making it so
//! ```

mod canary;
mod quarantine;
mod release;
mod resize;
mod zero;

use core::cell::Cell;
use core::ptr;

use super::caller::{Caller, Fresh};
use super::{Heap, Kind, mine, perturb, refill, request, start};
use crate::fatal::{die, end};
use crate::options::harden::{Measure, Measures, has, measures};
use crate::pages::wipe::wipe;
use crate::pages::{PAGE, large, window};
use crate::random::Random;
use crate::size_class::{GRAIN, GRAIN_SHIFT, MEDIUM_MAX, STEP_MAX, SizeClass};
use crate::slab::{Refused, Slab, Taken};

pub(super) use release::note_lost_threads;
pub use release::{free, free_sized, free_tested};
pub(super) use resize::requested;
pub use resize::{reallocate, reallocate_aligned};

use quarantine::Quarantine;

/// What a heap hardens its blocks with; its thread's alone, or under its lock.
pub(super) struct Hardening {
    random: Random,
    quarantine: Quarantine,
    /// Frees since the thread last came by.
    frees: Cell<u32>,
}

impl Hardening {
    pub(super) const fn new() -> Self {
        Self {
            random: Random::new(),
            quarantine: Quarantine::new(),
            frees: Cell::new(0),
        }
    }
}

/// Allocates `size` bytes, aligned to 16. Out of memory: what the
/// caller gets then.
///
/// The path of most requests saves no register: whatever calls is a function of
/// its own, and the last thing that is done.
#[inline(always)]
pub fn allocate(size: usize, caller: impl Caller) -> *mut u8 {
    if size.wrapping_sub(1) >= STEP_MAX - canary::BYTES {
        return allocate_any(size, 1, caller);
    }
    let heap = mine();
    let slab = heap.at_step((size + canary::BYTES + (GRAIN - 1)) >> GRAIN_SHIFT);
    let measures = measures();
    let random = || match measures.has(Measure::Order) {
        true => heap.hardening.random.byte_at_hand(),
        false => Some(0),
    };
    // SAFETY: the thread's own heap has only slabs that the thread owns.
    let taken = match unsafe { slab.take(random) } {
        Ok(taken) => taken,
        Err(Refused::Nothing) => return allocate_any(size, 1, caller),
        Err(Refused::Twice(block)) => return marked_twice(block),
    };
    // SAFETY: the block is the slab's, and nobody's yet.
    unsafe {
        if !is_clean(slab, taken, measures) {
            return written_to(taken.block);
        }
        canary::write(taken.block, taken.length, size, measures);
    }
    taken.block as *mut u8
}

/// Allocates `size` bytes at a multiple of `alignment`, a power of two.
/// Out of memory: what the caller gets then.
#[inline(always)]
pub fn allocate_aligned(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    if alignment <= GRAIN {
        return allocate(size, caller);
    }
    allocate_any(size, alignment, caller)
}

/// Allocates `size` bytes of zeros at a multiple of `alignment`, a power of
/// two. Out of memory: what the caller gets then. Memory that is known to read as zero
/// is not written to.
#[inline(never)]
pub fn allocate_zeroed(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    match obtain(size, alignment, caller) {
        Some(fresh) => fresh.zeroed(size),
        None => caller.failed(size, alignment),
    }
}

#[inline(never)]
fn allocate_any(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    match obtain(size, alignment, caller) {
        Some(fresh) => perturb::fill_fresh(fresh, size).block,
        None => caller.failed(size, alignment),
    }
}

/// A block for a request, with what is known of its contents.
fn obtain(size: usize, alignment: usize, caller: impl Caller) -> Option<Fresh> {
    let Some(class) = class_for(size, alignment) else {
        start::ensure(caller.settings());
        return Some(sized(request::long(size, alignment, None)?, size));
    };
    let heap = mine();
    // SAFETY: as in `allocate`.
    match unsafe { heap.pop(heap.current(class)) }.or_else(|| refill::refill(class, true, caller)) {
        Some(fresh) => Some(dress(fresh, class, size)),
        // A page is easier to find than a slab.
        None => Some(sized(request::run(size, alignment, None)?, size)),
    }
}

/// The class that serves a request; `None` where it takes a run or more.
///
/// Requests of no bytes have one for themselves, whose slabs are inaccessible.
pub(super) fn class_for(size: usize, alignment: usize) -> Option<SizeClass> {
    if size == 0 && alignment <= GRAIN {
        return Some(SizeClass::from_index(0));
    }
    if alignment > PAGE || size > MEDIUM_MAX - canary::BYTES {
        return None;
    }
    SizeClass::aligned_size(size.max(GRAIN) + canary::BYTES, alignment).map(SizeClass::for_medium)
}

/// Puts behind the block of a request what belongs there.
pub(super) fn dress_any(fresh: Fresh, size: usize, alignment: usize) -> Fresh {
    match class_for(size, alignment) {
        Some(class) => dress(fresh, class, size),
        None => sized(fresh, size),
    }
}

/// Puts behind a block of a class what belongs there.
fn dress(fresh: Fresh, class: SizeClass, size: usize) -> Fresh {
    if !is_hollow(class.size()) {
        // SAFETY: the block is one of this class, and nobody's yet.
        unsafe { canary::write(fresh.block as usize, class.size(), size, measures()) };
    }
    fresh
}

/// Notes the size of a block that is a run or a mapping. What is behind it, to
/// the end of the last page, is zero and must stay so.
fn sized(fresh: Fresh, size: usize) -> Fresh {
    let address = fresh.block as usize;
    match Slab::of(window::base(), address).filter(|slab| slab.kind().is_run()) {
        Some(run) => {
            run.set_requested(size);
            if !has(Measure::Zero) && !fresh.clean {
                // SAFETY: the run is the block's, and nobody's yet.
                unsafe { wipe(address + size, run.size() - size) };
            }
        }
        None => large::set_requested(address, size),
    }
    fresh
}

/// Whether blocks of this size have no memory: they are for requests of no
/// bytes.
#[inline(always)]
fn is_hollow(size: usize) -> bool {
    size == GRAIN
}

impl Heap {
    /// Takes a free block of a slab of the heap's; `None`: it has none. A block
    /// that somebody has written to since it was freed ends the process.
    ///
    /// # Safety
    ///
    /// The caller is the slab's owner: the heap's thread, or who holds the lock
    /// of a heap without one.
    #[inline(always)]
    pub(super) unsafe fn pop(&self, slab: &Slab) -> Option<Fresh> {
        let measures = measures();
        let random = || match measures.has(Measure::Order) {
            true => Some(self.hardening.random.byte()),
            false => Some(0),
        };
        // SAFETY: as the caller promises.
        let taken = match unsafe { slab.take(random) } {
            Ok(taken) => taken,
            Err(Refused::Nothing) => return None,
            Err(Refused::Twice(block)) => die("double free", block),
        };
        // SAFETY: the block is the slab's, and nobody's yet.
        if !is_hollow(taken.length) && !unsafe { is_clean(slab, taken, measures) } {
            written_to(taken.block);
        }
        Some(Fresh {
            block: taken.block as *mut u8,
            clean: measures.has(Measure::Zero),
        })
    }

    /// [`Heap::pop`] of a slab that has a free block.
    ///
    /// # Safety
    ///
    /// As there.
    pub(super) unsafe fn pop_sure(&self, slab: &Slab) -> Option<Fresh> {
        // SAFETY: as the caller promises.
        unsafe { self.pop(slab) }
    }

    /// Takes a block of a class from a heap that is used under its lock,
    /// which the caller holds.
    pub(super) fn allocate_under_lock(&'static self, class: SizeClass) -> Option<Fresh> {
        debug_assert!(matches!(self.kind(), Kind::Shared | Kind::Explicit));
        // SAFETY: the caller holds the lock, and no thread owns such a heap.
        unsafe { self.pop(self.current(class)) }.or_else(|| self.refill(class, true))
    }

    /// In a forked child: forgets what the parent goes on with.
    pub(super) fn forget_random(&self) {
        self.hardening.random.forget();
    }
}

/// Whether nobody has written to a block since it was freed, as far as it is known.
///
/// # Safety
///
/// The block was taken from the slab, has memory, and is nobody's yet.
#[inline(always)]
unsafe fn is_clean(slab: &Slab, taken: Taken, measures: Measures) -> bool {
    // What was never handed out nor touched is not touched here.
    !measures.has(Measure::Zero)
        || taken.is_new && slab.is_zeroed()
        // SAFETY: as the caller promises.
        || unsafe { zero::is_zero(taken.block, taken.length) }
}

/// Ends the process. What this returns is for the paths that must not know that, or
/// they would save registers for it.
#[cold]
#[inline(never)]
fn written_to(block: usize) -> *mut u8 {
    end("write to a freed block", block);
    ptr::null_mut()
}

/// The same.
#[cold]
#[inline(never)]
fn marked_twice(block: usize) -> *mut u8 {
    end("double free", block);
    ptr::null_mut()
}

/// Makes ready for blocks of a slab that nobody knows yet.
pub(super) fn begin(slab: &Slab) {
    canary::prepare();
    if !slab.is_guarded() {
        slab.put_up_fence();
    }
}

/// Clears a slab, or a run, of an explicit heap that ends: its blocks were not
/// freed one by one.
pub(super) fn clear_all(slab: &Slab) {
    let is_slab = slab.kind().is_slab();
    if !has(Measure::Zero) || slab.is_guarded() || is_slab && is_hollow(slab.size()) {
        return;
    }
    let blocks = if is_slab { slab.carved() as usize } else { 1 };
    // SAFETY: the memory is the heap's, which nobody uses any more.
    unsafe { wipe(slab.start(), blocks * slab.size()) };
}

/// What `settle` ends the process with where the marks of a slab make no sense.
pub(super) fn lost_mark(block: *mut u8) {
    die("double free", block as usize)
}
