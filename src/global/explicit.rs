//! `Heap`: a heap as a value.

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use super::HeapBuilder;
use crate::heap;

/// There is no memory for a request, or a limit was reached.
///
/// # Examples
///
/// ```
/// use std::alloc::Layout;
///
/// let heap = bifold::Heap::new()?;
/// let huge = Layout::array::<u8>(isize::MAX as usize).unwrap();
/// assert_eq!(heap.allocate(huge), Err(bifold::AllocError));
/// # Ok::<(), bifold::AllocError>(())
/// ```
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
/// Any thread may allocate from it, under the heap's lock, and any thread may
/// free its blocks. A block stays where it is until it is freed or the heap is
/// dropped; moving the heap does not move it. A heap takes some 3 KiB, and for
/// every size class in use a slab of 64 KiB or more, of which the pages that are
/// touched have memory behind them.
///
/// With the feature `allocator-api2` it is an allocator for collections.
///
/// # Safety
///
/// Dropping a heap is safe in itself, but ends its blocks: whoever uses them
/// through pointers must not do so any more. Nobody may be freeing one of them
/// meanwhile.
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
    /// [`AllocError`] when there is no memory for its descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// let (one, other) = (bifold::Heap::new()?, bifold::Heap::new()?);
    /// drop(one); // the other's blocks stay
    /// # drop(other);
    /// # Ok::<(), bifold::AllocError>(())
    /// ```
    pub fn new() -> Result<Self, AllocError> {
        Self::builder().build()
    }

    /// Says what the heap is to be like before it is made: for one, whether its
    /// memory is locked, for keys and passwords.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let secrets = bifold::Heap::builder().locked().build()?;
    /// # Ok::<(), bifold::AllocError>(())
    /// ```
    pub fn builder() -> HeapBuilder {
        HeapBuilder::default()
    }

    /// The heap as a value.
    pub(super) fn of(inner: &'static heap::Heap) -> Self {
        Self { inner }
    }

    /// Allocates a block of `layout.size()` bytes or more, at a multiple of
    /// `layout.align()` and of 16. Its contents are undefined.
    ///
    /// A request of 0 bytes gets a block too, which is like any other.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when there is no memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    ///
    /// let heap = bifold::Heap::new()?;
    /// let block = heap.allocate(Layout::from_size_align(100, 4096).unwrap())?;
    /// assert_eq!(block.addr().get() % 4096, 0);
    /// # Ok::<(), bifold::AllocError>(())
    /// ```
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let block = self.inner.allocate(layout.size(), layout.align(), false);
        block.and_then(NonNull::new).ok_or(AllocError)
    }

    /// Allocates a block like [`Heap::allocate`], whose first `layout.size()`
    /// bytes are zero. Memory that is known to be zero is not touched.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when there is no memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    ///
    /// let heap = bifold::Heap::new()?;
    /// let block = heap.allocate_zeroed(Layout::new::<[u8; 1 << 20]>())?;
    /// // SAFETY: the block is that long.
    /// assert_eq!(unsafe { block.add(4711).read() }, 0);
    /// # Ok::<(), bifold::AllocError>(())
    /// ```
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let block = self.inner.allocate(layout.size(), layout.align(), true);
        block.and_then(NonNull::new).ok_or(AllocError)
    }

    /// Frees a block, from whatever thread. Blocks that are not freed go when
    /// the heap is dropped.
    ///
    /// # Safety
    ///
    /// The block is one of this heap's, was allocated with this layout, and
    /// nobody uses it any more. What is no block ends the process with a message,
    /// as far as it can be told.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    ///
    /// let heap = bifold::Heap::new()?;
    /// let layout = Layout::new::<u32>();
    /// let block = heap.allocate(layout)?;
    /// // SAFETY: the block is this heap's, with this layout, and not used.
    /// unsafe { heap.deallocate(block, layout) };
    /// # Ok::<(), bifold::AllocError>(())
    /// ```
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { heap::free_tested(block.as_ptr(), layout.size()) }
    }

    /// Changes a block's length and alignment to those of `new`, in place where
    /// it has room and would not be less than half full, and keeps its contents
    /// as far as both lengths reach. Returns where it is now.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when there is no memory; the block is as it was, with its
    /// old layout. A block that becomes shorter needs none.
    ///
    /// # Safety
    ///
    /// The block is one of this heap's and was allocated with the layout `old`.
    /// Unless an error is returned, nobody uses it at its old address any more.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    ///
    /// let heap = bifold::Heap::new()?;
    /// let (short, long) = (Layout::new::<[u8; 10]>(), Layout::new::<[u8; 10_000]>());
    /// let block = heap.allocate_zeroed(short)?;
    /// // SAFETY: the block is this heap's, with that layout.
    /// let block = unsafe { heap.reallocate(block, short, long) }?;
    /// // SAFETY: the contents have moved with the block.
    /// assert_eq!(unsafe { block.add(9).read() }, 0);
    /// # Ok::<(), bifold::AllocError>(())
    /// ```
    pub unsafe fn reallocate(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError> {
        // SAFETY: as the caller promises.
        let moved = unsafe {
            self.inner
                .reallocate(block.as_ptr(), old.size(), new.size(), new.align())
        };
        moved.and_then(NonNull::new).ok_or(AllocError)
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: the heap came from `create`. A block that is used after
        // this was promised not to be, by those who allocated it.
        unsafe { heap::destroy(self.inner) }
    }
}
