//! A vector over malloc and realloc.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::slice;

use super::Block;

const FIRST: usize = 4;

/// Values one after another; their block doubles when it is full. Like a
/// block, a list that is dropped without `free` leaks, and so do its values.
pub struct List<T> {
    block: Option<Block>,
    length: usize,
    values: PhantomData<T>,
}

impl<T> List<T> {
    /// A list without values or block.
    pub fn new() -> Self {
        Self {
            block: None,
            length: 0,
            values: PhantomData,
        }
    }

    /// Appends `value`.
    pub fn push(&mut self, value: T) {
        let length = self.length;
        let block = self
            .block
            .get_or_insert_with(|| Block::new(FIRST * size_of::<T>(), 0));
        if (length + 1) * size_of::<T>() > block.size() {
            block.resize(block.size() * 2);
        }
        // SAFETY: the block has room for `length + 1` values.
        unsafe { block.address().cast::<T>().add(length).write(value) };
        self.length += 1;
    }

    /// Takes the last value.
    pub fn pop(&mut self) -> Option<T> {
        let block = self.block.as_ref()?;
        self.length = self.length.checked_sub(1)?;
        // SAFETY: the value was written, and is given up.
        Some(unsafe { block.address().cast::<T>().add(self.length).read() })
    }

    /// Takes the value at `index`, and puts the last one there.
    pub fn swap_pop(&mut self, index: usize) -> Option<T> {
        let last = self.length.checked_sub(1)?;
        self.swap(index, last);
        self.pop()
    }

    /// Frees the list's block.
    pub fn free(self) {
        if let Some(block) = self.block {
            block.release();
        }
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.block {
            // SAFETY: `length` values have been written; malloc aligns to 16.
            Some(block) => unsafe { slice::from_raw_parts(block.address().cast(), self.length) },
            None => &[],
        }
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &self.block {
            // SAFETY: as above, and the list is borrowed mutably.
            Some(block) => unsafe {
                slice::from_raw_parts_mut(block.address().cast(), self.length)
            },
            None => &mut [],
        }
    }
}
