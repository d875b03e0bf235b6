//! Who asks for a block, and what it gets.

use super::registry;
use crate::options::Settings;
use crate::pages::fresh;

/// The longest block of zeros whose pages are made resident with it, in a
/// process of several threads, in bytes. Of a longer one a program may well use
/// little.
const TOUCHED_MAX: usize = 1 << 20;

/// A block and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Its address.
    pub block: *mut u8,
    /// Whether it reads as zero.
    pub clean: bool,
}

impl Fresh {
    /// A block that others have written to.
    pub(super) fn used(block: *mut u8) -> Self {
        Self {
            block,
            clean: false,
        }
    }

    /// Zeroes the block, at least `size` bytes long, if it is not clean.
    pub(super) fn zeroed(self, size: usize) -> *mut u8 {
        // SAFETY: the block is at least that long, and nobody's yet.
        unsafe {
            if !self.clean {
                self.block.write_bytes(0, size);
            } else if size <= TOUCHED_MAX && registry::has_several() {
                fresh::touch(self.block, size);
            }
        }
        self.block
    }
}

/// Who asks for a block. Only the cold ends of the fast paths look at it, so
/// that it costs those nothing.
pub trait Caller: Copy {
    /// What becomes of a request for which there is no memory: returns what
    /// the caller gets, mostly null. It is the last thing that a cold end
    /// does, so that the fast path need not look at what it returns.
    fn failed(self, size: usize, alignment: usize) -> *mut u8;

    /// The options that the program was built with, if it has any.
    #[inline(always)]
    fn settings(&self) -> Option<&Settings> {
        None
    }
}

/// Gets null, and nothing else.
#[derive(Clone, Copy)]
pub struct Null;

impl Caller for Null {
    #[inline(always)]
    fn failed(self, _: usize, _: usize) -> *mut u8 {
        core::ptr::null_mut()
    }
}

/// Gets null, and has options: a Rust program.
#[derive(Clone, Copy)]
pub struct Program<'a>(pub &'a Settings);

impl Caller for Program<'_> {
    #[inline(always)]
    fn failed(self, _: usize, _: usize) -> *mut u8 {
        core::ptr::null_mut()
    }

    #[inline(always)]
    fn settings(&self) -> Option<&Settings> {
        Some(self.0)
    }
}
