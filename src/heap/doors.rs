//! What the layers above call, as it is; `memcheck` has the same by the
//! same names for a program that is watched by valgrind.

pub use super::fast::{allocate, free, free_sized, free_tested};
#[cfg(feature = "hardened")]
pub use super::hardened::{allocate_aligned, allocate_zeroed, reallocate, reallocate_aligned};
pub use super::lookup::usable_size;
#[cfg(not(feature = "hardened"))]
pub use super::plain::{allocate_aligned, allocate_zeroed};
pub use super::registry::{create, destroy};
#[cfg(not(feature = "hardened"))]
pub use super::resize::{reallocate, reallocate_aligned};

use super::Heap;

impl Heap {
    /// Allocates from an explicit heap: `size` bytes, at a multiple of
    /// `alignment`, zeroed if so wished. `None`: out of memory.
    #[inline]
    pub fn allocate(&'static self, size: usize, alignment: usize, zero: bool) -> Option<*mut u8> {
        self.serve(size, alignment, zero)
    }

    /// Changes the length of a block of an explicit heap's to `size` bytes, and
    /// its alignment to `alignment`, a power of two; at most `kept` bytes of its
    /// contents matter. Returns where it is now. `None`: out of memory, and the
    /// block is as it was.
    ///
    /// # Safety
    ///
    /// As for [`reallocate`].
    #[inline]
    pub unsafe fn reallocate(
        &'static self,
        block: *mut u8,
        kept: usize,
        size: usize,
        alignment: usize,
    ) -> Option<*mut u8> {
        // SAFETY: as the caller promises.
        unsafe { self.resize(block, kept, size, alignment) }
    }
}
