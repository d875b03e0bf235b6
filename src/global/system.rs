//! `Bifold`: the process's allocator.

use core::alloc::{GlobalAlloc, Layout};

use crate::heap::{self, Null};

/// The process's allocator, for `#[global_allocator]`.
///
/// All values are one allocator: the calling thread's heap serves a request,
/// and any thread may free a block.
///
/// # Blocks
///
/// A block is at least as many bytes long as asked for, aligned to 16 bytes or
/// to what its layout asks for, any power of two. Its contents are undefined,
/// but for `alloc_zeroed`. Size classes are at most 12.5 % apart, so that a
/// block often has room to grow in place.
///
/// # Errors
///
/// `alloc`, `alloc_zeroed` and `realloc` return null where there is no memory
/// for a request; a block that was to be reallocated is as it was then.
///
/// # Safety
///
/// As [`GlobalAlloc`] demands, `dealloc` and `realloc` get a block of this
/// allocator's that is in use, and its layout. Against that contract, what is
/// not a block, or was freed before, ends the process with a line on standard
/// error, as far as it can be told.
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
#[derive(Clone, Copy, Debug, Default)]
pub struct Bifold(());

impl Bifold {
    /// The allocator.
    ///
    /// # Examples
    ///
    /// Beside another global allocator, it serves who calls it by name:
    ///
    /// ```
    /// use std::alloc::{GlobalAlloc, Layout};
    ///
    /// let bifold = bifold::Bifold::new();
    /// let layout = Layout::new::<u64>();
    /// // SAFETY: the layout has a size, and the block is freed with it, once.
    /// unsafe {
    ///     let block = bifold.alloc(layout);
    ///     assert!(!block.is_null());
    ///     bifold.dealloc(block, layout);
    /// }
    /// ```
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
        let usable = heap::usable_size(block);
        if new_size <= usable && new_size >= usable / 2 {
            return block;
        }
        // SAFETY: the block came from `alloc`, and the caller promises that
        // the new size makes a layout with the old alignment.
        unsafe { heap::relocate::<Null>(block, layout.size(), new_size, layout.align()) }
    }
}
