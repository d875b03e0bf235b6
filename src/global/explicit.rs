//! `Heap`: a heap as a value.

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use crate::heap;

/// There is no memory for a request, or a limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError;

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for AllocError {}

/// A heap of its own: its blocks share no page with those of other heaps,
/// and go all at once when it is dropped.
///
/// Any thread may allocate from it and free into it; allocation takes a lock.
///
/// # Examples
///
/// ```
/// use std::alloc::Layout;
///
/// let heap = bifold::Heap::new()?;
/// let layout = Layout::array::<u64>(100).unwrap();
/// let block = heap.allocate(layout)?;
/// // SAFETY: the block is live and was allocated with this layout.
/// unsafe { heap.deallocate(block, layout) };
/// heap.allocate(layout)?; // freed by the drop
/// # Ok::<(), bifold::AllocError>(())
/// ```
#[derive(Debug)]
pub struct Heap {
    inner: &'static heap::Heap,
}

// SAFETY: the inner heap is used under its lock.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

impl Heap {
    /// Makes an empty heap.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when there is no memory for its descriptor, some 3 KiB.
    pub fn new() -> Result<Self, AllocError> {
        let inner = heap::create().ok_or(AllocError)?;
        Ok(Self { inner })
    }

    /// Allocates a block. Its contents are undefined.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when there is no memory.
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let block = self.inner.allocate(layout.size(), layout.align(), false);
        block.and_then(NonNull::new).ok_or(AllocError)
    }

    /// Allocates a block of zeros.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when there is no memory.
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let block = self.inner.allocate(layout.size(), layout.align(), true);
        block.and_then(NonNull::new).ok_or(AllocError)
    }

    /// Frees a block. Blocks that are not freed go when the heap is dropped.
    ///
    /// # Safety
    ///
    /// The block is one of this heap's, was allocated with this layout, and
    /// nobody uses it any more.
    pub unsafe fn deallocate(&self, block: NonNull<u8>, _layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { heap::free(block.as_ptr()) }
    }

    /// Changes a block's length, in place where its size class has room, and
    /// keeps its contents as far as both lengths reach.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when there is no memory; the block is as it was.
    ///
    /// # Safety
    ///
    /// As for [`Heap::deallocate`], unless an error is returned.
    pub unsafe fn reallocate(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        let usable = heap::usable_size(block.as_ptr());
        let fits = new.size() <= usable && new.size() >= usable / 2;
        if fits && block.addr().get().is_multiple_of(new.align()) {
            return Ok(block);
        }
        let moved = self.allocate(new)?;
        // SAFETY: both blocks are at least that long, and distinct; the old
        // one is the caller's to free.
        unsafe {
            moved.copy_from_nonoverlapping(block, old.size().min(new.size()));
            self.deallocate(block, old);
        }
        Ok(moved)
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: the heap came from `create`. A block that is used after
        // this was promised not to be, by those who allocated it.
        unsafe { heap::destroy(self.inner) }
    }
}
