//! `allocator-api2`: heaps for collections that take an allocator.
//!
//! A request of no bytes has no block: its pointer dangles, aligned, and is
//! nothing to free. What remains of the crate's contract is the same for both
//! allocators, given the few calls of [`Blocks`].

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use allocator_api2::alloc::{AllocError, Allocator};

use super::{Bifold, Heap};
use crate::heap;

/// Blocks of at least one byte.
trait Blocks {
    fn get(&self, layout: Layout) -> Option<NonNull<u8>>;

    fn get_zeroed(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// # Safety
    ///
    /// The block came from here, for this layout, and nobody uses it.
    unsafe fn put(&self, block: NonNull<u8>, layout: Layout);

    /// Changes a block's length, in place where there is room. `None`: no
    /// memory, and the block is as it was.
    ///
    /// # Safety
    ///
    /// As for [`Blocks::put`], but for the contents.
    unsafe fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>>;
}

impl Blocks for Heap {
    fn get(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.allocate(layout).ok()
    }

    fn get_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.allocate_zeroed(layout).ok()
    }

    unsafe fn put(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { self.deallocate(block, layout) }
    }

    unsafe fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: as the caller promises.
        unsafe { self.reallocate(block, old, new) }.ok()
    }
}

impl Blocks for Bifold {
    fn get(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the layout has at least one byte.
        NonNull::new(unsafe { self.alloc(layout) })
    }

    fn get_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: as above.
        NonNull::new(unsafe { self.alloc_zeroed(layout) })
    }

    unsafe fn put(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { self.dealloc(block.as_ptr(), layout) }
    }

    unsafe fn resize(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        if new.align() <= old.align() {
            // SAFETY: as the caller promises. A block that is aligned to more
            // than the new layout asks for does no harm.
            return NonNull::new(unsafe { self.realloc(block.as_ptr(), old, new.size()) });
        }
        let moved = self.get(new)?;
        // SAFETY: both blocks are at least that long, and distinct; the old
        // one is the caller's to free.
        unsafe {
            moved.copy_from_nonoverlapping(block, old.size().min(new.size()));
            self.put(block, old);
        }
        Some(moved)
    }
}

/// What no bytes are at.
fn nothing(layout: Layout) -> Option<NonNull<u8>> {
    NonNull::new(ptr::without_provenance_mut(layout.align()))
}

fn slice(block: Option<NonNull<u8>>, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let block = block.ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(block, layout.size()))
}

/// Writes zeros from the end of `old` to that of `new`.
///
/// # Safety
///
/// The block is as long as `new`, and the caller's.
unsafe fn zero_behind(block: NonNull<u8>, old: Layout, new: Layout) {
    // SAFETY: as the caller promises.
    unsafe {
        block
            .add(old.size())
            .write_bytes(0, new.size() - old.size())
    }
}

macro_rules! implement {
    ($(#[$doc:meta])* $type:ty) => {
        $(#[$doc])*
        // SAFETY: blocks stay where they are until they are freed, or until
        // the heap is dropped, which nobody does who has a block in use;
        // moving the value does not touch them.
        unsafe impl Allocator for $type {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                let block = match layout.size() {
                    0 => nothing(layout),
                    _ => self.get(layout),
                };
                slice(block, layout)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                let block = match layout.size() {
                    0 => nothing(layout),
                    _ => self.get_zeroed(layout),
                };
                slice(block, layout)
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                if layout.size() > 0 {
                    // SAFETY: as the caller promises.
                    unsafe { self.put(block, layout) }
                }
            }

            #[inline]
            unsafe fn grow(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                debug_assert!(new.size() >= old.size());
                if old.size() == 0 {
                    return Allocator::allocate(self, new);
                }
                // SAFETY: as the caller promises.
                slice(unsafe { self.resize(block, old, new) }, new)
            }

            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                debug_assert!(new.size() >= old.size());
                if old.size() == 0 {
                    return Allocator::allocate_zeroed(self, new);
                }
                if new.size() <= heap::usable_size(block.as_ptr()) {
                    // SAFETY: as the caller promises.
                    let block = unsafe { self.resize(block, old, new) }.ok_or(AllocError)?;
                    // SAFETY: the block is that long now.
                    unsafe { zero_behind(block, old, new) };
                    return slice(Some(block), new);
                }
                // Memory that is known to be zero is better not touched than
                // a block moved without a copy and then zeroed.
                let moved = self.get_zeroed(new).ok_or(AllocError)?;
                // SAFETY: the new block is the longer one, and another; the
                // old one is the caller's to free.
                unsafe {
                    moved.copy_from_nonoverlapping(block, old.size());
                    self.put(block, old);
                }
                slice(Some(moved), new)
            }

            #[inline]
            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                debug_assert!(new.size() <= old.size());
                if new.size() == 0 {
                    // SAFETY: as the caller promises.
                    unsafe { Allocator::deallocate(self, block, old) };
                    return slice(nothing(new), new);
                }
                // SAFETY: as the caller promises.
                slice(unsafe { self.resize(block, old, new) }, new)
            }
        }
    };
}

implement! {
    /// Collections in a heap of their own: by reference, or with the heap inside,
    /// which then goes with the collection.
    ///
    /// A request of no bytes takes no block. Growing and shrinking are in place
    /// where the block has room.
    ///
    /// # Safety
    ///
    /// The caller of the unsafe methods promises what
    /// [`Allocator`] asks for. A heap is not dropped as long as one of its blocks
    /// is in use; the borrow in a collection sees to that.
    ///
    /// # Examples
    ///
    /// ```
    /// use allocator_api2::vec::Vec;
    ///
    /// let heap = bifold::Heap::new()?;
    /// let mut squares = Vec::new_in(&heap);
    /// squares.extend((0u64..100).map(|n| n * n));
    /// assert_eq!(squares[99], 9801);
    ///
    /// let owned: Vec<u8, bifold::Heap> = Vec::with_capacity_in(64, bifold::Heap::new()?);
    /// assert!(owned.is_empty());
    /// # Ok::<(), bifold::AllocError>(())
    /// ```
    Heap
}

implement! {
    /// Collections on bifold in a program whose global allocator is another one.
    ///
    /// A request of no bytes takes no block. Growing and shrinking are in place
    /// where the block has room.
    ///
    /// # Safety
    ///
    /// The caller of the unsafe methods promises what [`Allocator`] asks for.
    ///
    /// # Examples
    ///
    /// ```
    /// use allocator_api2::boxed::Box;
    ///
    /// let number = Box::new_in(42, bifold::Bifold::new());
    /// assert_eq!(*number, 42);
    /// ```
    Bifold
}
