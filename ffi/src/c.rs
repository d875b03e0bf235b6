//! malloc, free and the rest of the C standard's and POSIX's functions.
//!
//! Semantics are glibc's (malloc(3), posix_memalign(3)): blocks are aligned
//! to 16 bytes, a request of 0 bytes gets a block of its own, `realloc(p, 0)`
//! frees and returns null, sizes above PTRDIFF_MAX are refused, and `free`
//! keeps `errno`.

use core::ffi::{c_int, c_void};
use core::ptr;

use crate::inner;

const PAGE: usize = 4096;
const LARGEST_ALIGNMENT: usize = 1 << 62;

/// Null with `errno`: the C way.
#[derive(Clone, Copy)]
struct Enomem;

impl inner::Caller for Enomem {
    #[cold]
    fn failed(self, _: usize, _: usize) -> *mut u8 {
        inner::set_errno(libc::ENOMEM);
        ptr::null_mut()
    }
}

pub fn out_of_memory() -> *mut c_void {
    inner::Caller::failed(Enomem, 0, 0).cast()
}

#[cold]
pub fn invalid_argument() -> *mut c_void {
    inner::set_errno(libc::EINVAL);
    ptr::null_mut()
}

/// Allocates `size` bytes.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    inner::allocate(size, Enomem).cast()
}

/// Frees a block.
///
/// # Safety
///
/// `block` is null or came from a function here and was not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe { inner::free(block.cast()) }
}

/// Allocates `count` times `size` bytes of zeros.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        Some(size) => inner::allocate_zeroed(size, 1, Enomem).cast(),
        None => out_of_memory(),
    }
}

#[inline(always)]
unsafe fn resize(block: *mut c_void, size: usize) -> *mut c_void {
    if block.is_null() {
        return inner::allocate(size, Enomem).cast();
    }
    if size == 0 {
        // SAFETY: as the caller promises.
        unsafe { inner::free(block.cast()) };
        return ptr::null_mut();
    }
    // SAFETY: as the caller promises.
    unsafe { inner::reallocate(block.cast(), size, Enomem) }.cast()
}

/// Changes a block's length.
///
/// # Safety
///
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as the caller promises.
    unsafe { resize(block, size) }
}

/// Changes a block's length to `count` times `size` bytes.
///
/// # Safety
///
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(
    block: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: as the caller promises.
        Some(size) => unsafe { resize(block, size) },
        None => out_of_memory(),
    }
}

fn aligned(alignment: usize, size: usize) -> *mut c_void {
    inner::allocate_aligned(size, alignment, Enomem).cast()
}

/// Allocates `size` bytes at a multiple of `alignment`, a power of two.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    if !alignment.is_power_of_two() {
        return invalid_argument();
    }
    aligned(alignment, size)
}

/// Allocates `size` bytes at a multiple of `alignment`, which is rounded up
/// to a power of two.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    if alignment > LARGEST_ALIGNMENT {
        return invalid_argument();
    }
    aligned(alignment.next_power_of_two(), size)
}

/// Allocates `size` bytes at a multiple of `alignment`, a power of two and a
/// multiple of a pointer's size, and stores the address. Returns 0, EINVAL or
/// ENOMEM; `errno` and, on failure, `*block` stay.
///
/// # Safety
///
/// `block` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    block: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    if !alignment.is_power_of_two() || alignment < size_of::<*mut c_void>() {
        return libc::EINVAL;
    }
    let new = inner::allocate_aligned(size, alignment, inner::Null);
    if new.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: as the caller promises.
    unsafe { block.write(new.cast()) };
    0
}

/// Allocates `size` bytes at the start of a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    aligned(inner::page_size().max(PAGE), size)
}

/// Allocates `size` bytes, rounded up to whole pages, at the start of a page.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let page = inner::page_size().max(PAGE);
    match size.max(1).checked_next_multiple_of(page) {
        Some(size) => aligned(page, size),
        None => out_of_memory(),
    }
}

/// Frees a block that was allocated with this size (C23).
///
/// # Safety
///
/// As for [`free`], and the size is the one asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(block: *mut c_void, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { inner::free_sized(block.cast(), size) }
}

/// Frees a block that was allocated with this alignment and size (C23).
///
/// # Safety
///
/// As for [`free_sized`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(block: *mut c_void, _alignment: usize, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { inner::free_sized(block.cast(), size) }
}

/// Frees a block: an old name.
///
/// # Safety
///
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfree(block: *mut c_void) {
    // SAFETY: as the caller promises.
    unsafe { inner::free(block.cast()) }
}

/// The bytes that the program may use of a block.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    inner::usable_size(block.cast())
}
