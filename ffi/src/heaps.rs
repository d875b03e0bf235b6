//! Explicit heaps, as `include/bifold.h` declares and describes them.

use core::ffi::{c_uint, c_void};
use core::ptr;

use crate::c::{invalid_argument, out_of_memory};
use crate::inner::{self, Heap, Locking};

/// `BIFOLD_HEAP_LOCKED`.
const LOCKED: c_uint = 1;
/// `BIFOLD_HEAP_LOCKED_ON_FAULT`.
const LOCKED_ON_FAULT: c_uint = 2;

/// Makes a heap; null with EINVAL or ENOMEM.
#[unsafe(no_mangle)]
pub extern "C" fn bifold_heap_create(flags: c_uint) -> *mut c_void {
    let locking = match flags {
        0 => None,
        LOCKED => Some(Locking::AtOnce),
        LOCKED_ON_FAULT => Some(Locking::OnFault),
        _ => return invalid_argument(),
    };
    match inner::create(locking) {
        Some(heap) => ptr::from_ref(heap).cast_mut().cast(),
        None => out_of_memory(),
    }
}

/// # Safety
///
/// The pointer came from [`bifold_heap_create`], and the heap is there.
unsafe fn heap_at(heap: *mut c_void) -> &'static Heap {
    // SAFETY: as the caller promises; heaps are never unmapped.
    unsafe { &*heap.cast::<Heap>() }
}

/// Frees all blocks of a heap, and the heap; null is nothing to destroy.
///
/// # Safety
///
/// The heap came from [`bifold_heap_create`], and nobody uses it or its blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bifold_heap_destroy(heap: *mut c_void) {
    if !heap.is_null() {
        // SAFETY: as the caller promises.
        unsafe { inner::destroy(heap_at(heap)) }
    }
}

/// # Safety
///
/// As for [`bifold_heap_malloc`].
unsafe fn allocate(heap: *mut c_void, size: usize, alignment: usize, zero: bool) -> *mut c_void {
    // SAFETY: as the caller promises.
    match unsafe { heap_at(heap) }.allocate(size, alignment, zero) {
        Some(block) => block.cast(),
        None => out_of_memory(),
    }
}

/// Allocates `size` bytes.
///
/// # Safety
///
/// The heap came from [`bifold_heap_create`] and was not destroyed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bifold_heap_malloc(heap: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as the caller promises.
    unsafe { allocate(heap, size, 1, false) }
}

/// Allocates `count` times `size` bytes of zeros.
///
/// # Safety
///
/// As for [`bifold_heap_malloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bifold_heap_calloc(
    heap: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: as the caller promises.
        Some(size) => unsafe { allocate(heap, size, 1, true) },
        None => out_of_memory(),
    }
}

/// Allocates `size` bytes at a multiple of `alignment`, a power of two.
///
/// # Safety
///
/// As for [`bifold_heap_malloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bifold_heap_aligned_alloc(
    heap: *mut c_void,
    alignment: usize,
    size: usize,
) -> *mut c_void {
    if !alignment.is_power_of_two() {
        return invalid_argument();
    }
    // SAFETY: as the caller promises.
    unsafe { allocate(heap, size, alignment, false) }
}

/// Changes the length of a block of the heap.
///
/// # Safety
///
/// As for [`bifold_heap_malloc`]; `block` is null, or a block of the heap that
/// nobody uses any more unless null is returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bifold_heap_realloc(
    heap: *mut c_void,
    block: *mut c_void,
    size: usize,
) -> *mut c_void {
    if block.is_null() {
        // SAFETY: as the caller promises.
        return unsafe { allocate(heap, size, 1, false) };
    }
    if size == 0 {
        // SAFETY: as the caller promises.
        unsafe { inner::free(block.cast()) };
        return ptr::null_mut();
    }
    // SAFETY: as the caller promises.
    match unsafe { heap_at(heap).reallocate(block.cast(), usize::MAX, size, 1) } {
        Some(block) => block.cast(),
        None => out_of_memory(),
    }
}

/// Frees a block.
///
/// # Safety
///
/// As for `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bifold_heap_free(_heap: *mut c_void, block: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe { inner::free(block.cast()) }
}

/// Gives everything that is wholly free back to the kernel; returns the bytes.
#[unsafe(no_mangle)]
pub extern "C" fn bifold_trim() -> usize {
    inner::trim()
}
