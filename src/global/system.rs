//! `Bifold`: the process's allocator.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;

use crate::heap::{self, Null};

/// The process's allocator, for `#[global_allocator]`.
///
/// All values are one allocator: the calling thread's heap serves a request,
/// and a block may be freed by any thread.
///
/// # Examples
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();
///
/// fn main() {
///     let numbers: Vec<u32> = (0..1000).collect();
///     assert_eq!(numbers.iter().sum::<u32>(), 499_500);
/// }
/// ```
///
/// # Errors
///
/// Out of memory, or a size above `isize::MAX` in the caller's own
/// arithmetic, gives null, as [`GlobalAlloc`] demands. A `dealloc` or
/// `realloc` of what is not a block, against the contract, ends the process
/// with a line on standard error, in so far as it can be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bifold(());

impl Bifold {
    /// The allocator.
    pub const fn new() -> Self {
        Self(())
    }
}

// SAFETY: blocks are distinct, aligned, at least as long as asked for, and
// stay until they are freed. Nothing here unwinds.
unsafe impl GlobalAlloc for Bifold {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        heap::allocate_aligned::<Null>(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the block came from `alloc` with this layout.
        unsafe { heap::free_sized(block) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        heap::allocate_zeroed::<Null>(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.align() <= 16 {
            // SAFETY: the block came from `alloc`.
            return unsafe { heap::reallocate::<Null>(block, new_size) };
        }
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        // SAFETY: the block came from `alloc`, and the layouts are valid.
        unsafe {
            heap::relocate::<Null>(block, layout.size(), new_layout.size(), new_layout.align())
        }
    }
}
