//! `Bifold`: the process's allocator.

use core::alloc::{GlobalAlloc, Layout};

use crate::heap::{self, Program};
use crate::options::{Advice, Figures, HugePages, Lock, Purge, Settings, for_each_option};

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
///
/// # Options
///
/// They are asked for where the allocator is made, and are in force from the
/// process's first allocation on; the environment's `BIFOLD_*` variables win
/// over them. The README has the table.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: bifold::Bifold = bifold::Bifold::new()
///     .purge_delay_ms(250)
///     .thp(bifold::HugePages::Never);
/// # fn main() { assert_eq!(vec![1, 2].len(), 2) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Bifold {
    settings: Settings,
}

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
        Self {
            settings: Settings::none(),
        }
    }

    #[inline(always)]
    fn program(&self) -> Program<'_> {
        Program(&self.settings)
    }
}

/// The option's name in the builder is its name in the table, with the unit of
/// times behind it.
macro_rules! builders {
    ($($name:ident: $kind:expr, $type:ty = $default:expr, $range:expr,
        $builder:ident($argument:ident), $help:literal;)+) => {
        impl Bifold {
            $(
                #[doc = $help]
                ///
                /// # Panics
                ///
                /// With a value outside the option's range: of a `static`,
                /// while it is compiled.
                #[must_use]
                pub const fn $builder(self, $argument: $type) -> Self {
                    Self {
                        settings: self.settings.$builder($argument),
                    }
                }
            )+
        }
    };
}

for_each_option!(builders);

// SAFETY: blocks are distinct, aligned, at least as long as asked for, and
// stay until they are freed. Nothing here unwinds.
unsafe impl GlobalAlloc for Bifold {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        heap::allocate_aligned(layout.size(), layout.align(), self.program())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `alloc` with this layout.
        unsafe { heap::free_sized(block, layout.size()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        heap::allocate_zeroed(layout.size(), layout.align(), self.program())
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.align() <= 16 {
            // SAFETY: the block came from `alloc`.
            return unsafe { heap::reallocate(block, new_size, self.program()) };
        }
        // SAFETY: the block came from `alloc`, and the caller promises that
        // the new size makes a layout with the old alignment.
        unsafe { heap::reallocate_aligned(block, layout, new_size, self.program()) }
    }
}
