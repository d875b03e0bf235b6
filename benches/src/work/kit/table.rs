//! A fixed array outside of malloc, for a workload's own bookkeeping.

use std::ops::{Deref, DerefMut};
use std::process::abort;
use std::ptr::{self, NonNull};
use std::slice;

/// `length` values of `T` in a mapping of their own, resident from the start.
pub struct Table<T> {
    start: NonNull<T>,
    length: usize,
}

// SAFETY: a table owns its values as a boxed slice does.
unsafe impl<T: Send> Send for Table<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Table<T> {}

impl<T> Table<T> {
    /// A table whose value at each index is `make(index)`.
    pub fn new(length: usize, mut make: impl FnMut(usize) -> T) -> Self {
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                Self::bytes(length),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            abort();
        }
        let start = NonNull::new(address.cast::<T>()).unwrap_or_else(|| abort());
        for index in 0..length {
            // SAFETY: the mapping has room for `length` values.
            unsafe { start.add(index).write(make(index)) };
        }
        Self { start, length }
    }

    fn bytes(length: usize) -> usize {
        (length * size_of::<T>()).max(1)
    }
}

impl<T> Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `new` has written `length` values.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T> DerefMut for Table<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `new` has written `length` values; they are owned.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: the values are owned and dropped once, then their mapping
        // goes.
        unsafe {
            ptr::drop_in_place(&raw mut **self);
            libc::munmap(self.start.as_ptr().cast(), Self::bytes(self.length));
        }
    }
}
