//! The doors for a program that runs under valgrind: memcheck is told what is a
//! block, and finds leaks, overruns, reads of freed and of uninitialised memory.
//! Elsewhere they are those of `doors`, a test away.
//!
//! ```text
//!   | what was asked for | forbidden: 8 bytes at least | the size asked for |
//!     the block, to memcheck                             the slab's last word of it
//! ```
//!
//! A request is made longer by a *fence*, so that the byte behind a block is never
//! another one's, and the size that was asked for is kept behind it. A block never
//! grows or shrinks in place, so that every old pointer is one to a freed block.
//! Freed blocks wait in a queue before they can be anybody's again.
//!
//! bifold's own work is on memory that is forbidden to everybody, and so quiet: its
//! slow paths that do not come through here begin a [`Quiet`] themselves. Blocks of
//! an explicit heap are a memory pool of memcheck's, which goes with the heap.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::caller::{Caller, Null, Program};
use super::lookup::{self, Found, find, find_or_die};
use super::{Heap, Kind, fast, plain, registry, resize};
use crate::fatal::die;
use crate::options::Settings;
use crate::os::protect::Locking;
use crate::os::valgrind::{self, Quiet};
use crate::pages::large;
use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Bytes behind a block: some that are forbidden, and its size.
const FENCE: usize = 16;

/// How many freed blocks wait, and how long they are at most.
const WAITING: usize = 1024;
const WAITING_BYTES: usize = 32 << 10;

/// The size of a block that waits.
const FREED: usize = usize::MAX;

static QUEUE: [AtomicPtr<u8>; WAITING] = [const { AtomicPtr::new(ptr::null_mut()) }; WAITING];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// `fast::allocate`.
#[inline]
pub fn allocate(size: usize, caller: impl Caller) -> *mut u8 {
    if valgrind::is_running() {
        told(size, 1, false, caller)
    } else {
        fast::allocate(size, caller)
    }
}

/// `plain::allocate_aligned`.
#[inline]
pub fn allocate_aligned(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    if valgrind::is_running() {
        told(size, alignment, false, caller)
    } else {
        plain::allocate_aligned(size, alignment, caller)
    }
}

/// `plain::allocate_zeroed`.
#[inline]
pub fn allocate_zeroed(size: usize, alignment: usize, caller: impl Caller) -> *mut u8 {
    if valgrind::is_running() {
        told(size, alignment, true, caller)
    } else {
        plain::allocate_zeroed(size, alignment, caller)
    }
}

/// What becomes of a failure comes last, outside of everything here: it may
/// throw.
#[inline]
fn told(size: usize, alignment: usize, zeroed: bool, caller: impl Caller) -> *mut u8 {
    match allocate_fenced(size, alignment, zeroed, caller.settings()) {
        Some(block) => block.as_ptr(),
        None => caller.failed(size, alignment),
    }
}

#[inline(never)]
fn allocate_fenced(
    size: usize,
    alignment: usize,
    zeroed: bool,
    settings: Option<&Settings>,
) -> Option<NonNull<u8>> {
    let _quiet = Quiet::begin();
    // What is too long to be fenced is too long anyway.
    let fenced = size.saturating_add(FENCE);
    let block = match (settings, zeroed) {
        (Some(settings), true) => plain::allocate_zeroed(fenced, alignment, Program(settings)),
        (Some(settings), false) => plain::allocate_aligned(fenced, alignment, Program(settings)),
        (None, true) => plain::allocate_zeroed(fenced, alignment, Null),
        (None, false) => plain::allocate_aligned(fenced, alignment, Null),
    };
    let block = NonNull::new(block)?;
    announce(block.as_ptr(), size, zeroed);
    Some(block)
}

/// Tells of a new block. The caller is quiet.
fn announce(block: *mut u8, size: usize, zeroed: bool) {
    let Some(found) = find(block) else { return };
    let (address, usable) = (block as usize, found.usable());
    // SAFETY: the place is the block's, behind what was asked for.
    unsafe { size_of_block(block, usable).write(size) };
    match pool_of(found, block) {
        Some(heap) => valgrind::pool_block_allocated(heap.id() as usize, address, size, zeroed),
        None => valgrind::block_allocated(address, size, zeroed),
    }
    valgrind::forbid(address + size, usable - size);
}

/// Where the size that was asked for is kept. Blocks are whole words long, but
/// for those of a mapping, which end with a page.
fn size_of_block(block: *mut u8, usable: usize) -> *mut usize {
    block.wrapping_add(usable - size_of::<usize>()).cast()
}

/// The bytes that were asked for. The caller is quiet.
fn requested(found: Found, block: *mut u8) -> usize {
    // SAFETY: `announce` has written it, the block being in use.
    unsafe { size_of_block(block, found.usable()).read() }
}

/// The explicit heap that a block is of.
fn pool_of(found: Found, block: *mut u8) -> Option<&'static Heap> {
    let holder = match found {
        Found::Slab(slab) | Found::Run(slab) | Found::Watched(slab) => slab.holder(),
        Found::Large(_) => large::find(block as usize)?.holder as *mut (),
        Found::Guarded(entry) => entry.holder as *mut (),
    };
    Heap::from_id(holder).filter(|heap| heap.kind() == Kind::Explicit)
}

/// `fast::free`.
///
/// # Safety
///
/// As there.
#[inline]
pub unsafe fn free(address: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe {
        if valgrind::is_running() {
            free_told(address);
        } else {
            fast::free(address);
        }
    }
}

/// `fast::free_sized`.
///
/// # Safety
///
/// As there.
#[inline]
pub unsafe fn free_sized(address: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        if valgrind::is_running() {
            free_told(address);
        } else {
            fast::free_sized(address, size);
        }
    }
}

/// `fast::free_tested`.
///
/// # Safety
///
/// As there.
#[inline]
pub unsafe fn free_tested(address: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        if valgrind::is_running() {
            free_told(address);
        } else {
            fast::free_tested(address, size);
        }
    }
}

/// # Safety
///
/// As for [`free`].
#[inline(never)]
unsafe fn free_told(address: *mut u8) {
    if address.is_null() {
        return;
    }
    let quiet = Quiet::begin();
    let found = find(address);
    let pool = found.and_then(|found| pool_of(found, address));
    let size = found.map(|found| requested(found, address));
    drop(quiet);
    // Aloud: of what is not a block memcheck says where it came from, before
    // bifold ends the process over it.
    match pool {
        Some(heap) => valgrind::pool_block_freed(heap.id() as usize, address as usize),
        None => valgrind::block_freed(address as usize),
    }
    if size == Some(FREED) {
        return fast::freed_twice(address);
    }
    let _quiet = Quiet::begin();
    let leaving = match found {
        Some(found) if pool.is_none() && found.usable() <= WAITING_BYTES => wait(found, address),
        _ => address,
    };
    // SAFETY: as the caller promises; of what has waited, as its caller has.
    unsafe { fast::free(leaving) }
}

/// Has a block wait; returns the one that has waited longest, or null.
fn wait(found: Found, block: *mut u8) -> *mut u8 {
    // SAFETY: as in `announce`.
    unsafe { size_of_block(block, found.usable()).write(FREED) };
    let place = NEXT.fetch_add(1, Ordering::Relaxed) % WAITING;
    // AcqRel: who frees the block after this sees what its user did.
    QUEUE[place].swap(block, Ordering::AcqRel)
}

/// `resize::reallocate`, always to another place.
///
/// # Safety
///
/// As there.
#[inline]
pub unsafe fn reallocate(block: *mut u8, size: usize, caller: impl Caller) -> *mut u8 {
    if !valgrind::is_running() {
        // SAFETY: as the caller promises.
        return unsafe { resize::reallocate(block, size, caller) };
    }
    let (old, home) = what_is(block);
    let new = match home {
        None => allocate(size, caller),
        Some(heap) => heap.allocate(size, 1, false).unwrap_or(ptr::null_mut()),
    };
    if new.is_null() {
        return match home {
            None => new,
            Some(_) => caller.failed(size, 1),
        };
    }
    // SAFETY: as the caller promises.
    unsafe { replace(block, new, old.min(size)) }
}

/// The bytes that were asked for, and the locked heap that has the block. What
/// is not a block ends the process.
#[inline(never)]
fn what_is(block: *mut u8) -> (usize, Option<&'static Heap>) {
    let quiet = Quiet::begin();
    let freed = "realloc of a freed block";
    let found = find_or_die(block, "realloc of an invalid pointer", freed);
    let (size, home) = (requested(found, block), found.home());
    drop(quiet);
    if size == FREED {
        die(freed, block as usize);
    }
    (size, home)
}

/// Copies and frees; returns the new block.
///
/// # Safety
///
/// Both are blocks of at least so many bytes, and the old one is given up.
unsafe fn replace(old: *mut u8, new: *mut u8, bytes: usize) -> *mut u8 {
    // SAFETY: as the caller promises.
    unsafe {
        new.copy_from_nonoverlapping(old, bytes);
        free(old);
    }
    new
}

/// `resize::reallocate_aligned`, always to another place.
///
/// # Safety
///
/// As there.
pub unsafe fn reallocate_aligned(
    block: *mut u8,
    layout: Layout,
    size: usize,
    caller: impl Caller,
) -> *mut u8 {
    if !valgrind::is_running() {
        // SAFETY: as the caller promises.
        return unsafe { resize::reallocate_aligned(block, layout, size, caller) };
    }
    let new = allocate_aligned(size, layout.align(), caller);
    if new.is_null() {
        return new;
    }
    // SAFETY: as the caller promises.
    unsafe { replace(block, new, layout.size().min(size)) }
}

/// `lookup::usable_size`: under valgrind no more than was asked for.
pub fn usable_size(address: *mut u8) -> usize {
    if address.is_null() || !valgrind::is_running() {
        return lookup::usable_size(address);
    }
    let quiet = Quiet::begin();
    let freed = "malloc_usable_size of a freed block";
    let found = find_or_die(address, "malloc_usable_size of an invalid pointer", freed);
    let size = requested(found, address);
    drop(quiet);
    if size == FREED {
        die(freed, address as usize);
    }
    size
}

/// `registry::create`.
pub fn create(locking: Option<Locking>) -> Option<&'static Heap> {
    let _quiet = Quiet::begin();
    let heap = registry::create(locking)?;
    valgrind::pool_made(heap.id() as usize);
    Some(heap)
}

/// `registry::destroy`.
///
/// # Safety
///
/// As there.
pub unsafe fn destroy(heap: &'static Heap) {
    let _quiet = Quiet::begin();
    valgrind::pool_gone(heap.id() as usize);
    // SAFETY: as the caller promises.
    unsafe { registry::destroy(heap) }
}

impl Heap {
    /// Allocates from an explicit heap: `size` bytes, at a multiple of
    /// `alignment`, zeroed if so wished. `None`: out of memory.
    pub fn allocate(&'static self, size: usize, alignment: usize, zero: bool) -> Option<*mut u8> {
        if !valgrind::is_running() {
            return self.serve(size, alignment, zero);
        }
        let _quiet = Quiet::begin();
        let block = self.serve(size.saturating_add(FENCE), alignment, zero)?;
        announce(block, size, zero);
        Some(block)
    }

    /// Changes the length of a block of an explicit heap's to `size` bytes, and
    /// its alignment to `alignment`, a power of two; at most `kept` bytes of its
    /// contents matter. Returns where it is now. `None`: out of memory, and the
    /// block is as it was.
    ///
    /// # Safety
    ///
    /// As for [`reallocate`].
    pub unsafe fn reallocate(
        &'static self,
        block: *mut u8,
        kept: usize,
        size: usize,
        alignment: usize,
    ) -> Option<*mut u8> {
        if !valgrind::is_running() {
            // SAFETY: as the caller promises.
            return unsafe { self.resize(block, kept, size, alignment) };
        }
        let (old, _) = what_is(block);
        let size = size.max(1);
        let new = self.allocate(size, alignment, false)?;
        // SAFETY: as the caller promises.
        Some(unsafe { replace(block, new, old.min(kept).min(size)) })
    }
}
