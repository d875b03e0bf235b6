//! One block of the process's malloc, whoever serves it.
//!
//! A block carries a tag in its first and last bytes. Freeing returns what is
//! read there, so that a workload's sum tells when two blocks overlap or one
//! loses its contents. A block that is dropped without `free` leaks.

use std::hint::black_box;
use std::process::abort;
use std::ptr::{self, NonNull};
use std::slice;

/// An owned block; its bytes are all initialised, or never read.
pub struct Block {
    address: NonNull<u8>,
    size: usize,
}

// SAFETY: a block is plain memory with one owner.
unsafe impl Send for Block {}

impl Block {
    /// A block from `malloc`, tagged at both ends.
    pub fn new(size: usize, tag: u64) -> Self {
        let mut block = Self::untouched(size);
        block.tag(tag);
        block
    }

    /// A block from `malloc`, each byte written.
    pub fn filled(size: usize, tag: u64) -> Self {
        let mut block = Self::untouched(size);
        // SAFETY: the block has `size` bytes.
        unsafe { block.address.write_bytes(tag as u8, size) };
        block.tag(tag);
        block
    }

    /// A block from `malloc`, not written: to be filled before it is read.
    pub fn untouched(size: usize) -> Self {
        // SAFETY: malloc takes any size.
        Self::own(unsafe { libc::malloc(size) }, size)
    }

    /// A block from `calloc`, not written.
    pub fn zeroed(size: usize) -> Self {
        // SAFETY: calloc takes any count and size.
        Self::own(unsafe { libc::calloc(size, 1) }, size)
    }

    /// A block from `posix_memalign`, tagged at both ends.
    pub fn aligned(alignment: usize, size: usize, tag: u64) -> Self {
        let mut address = ptr::null_mut();
        // SAFETY: `address` outlives the call.
        let failure = unsafe { libc::posix_memalign(&raw mut address, alignment, size) };
        if failure != 0 || !address.addr().is_multiple_of(alignment) {
            fail("posix_memalign gives no block so aligned");
        }
        let mut block = Self::own(address, size);
        block.tag(tag);
        block
    }

    fn own(address: *mut libc::c_void, size: usize) -> Self {
        // The compiler knows malloc and free, and drops pairs of them unless
        // the address goes somewhere that it cannot see.
        match NonNull::new(black_box(address)) {
            Some(address) => Self {
                address: address.cast(),
                size,
            },
            None => fail("no memory"),
        }
    }

    /// Frees the block, and returns what its ends hold.
    pub fn free(self) -> u64 {
        let read = self.read();
        self.release();
        read
    }

    /// Frees the block without a look at it.
    pub fn release(self) {
        // SAFETY: the block is owned, and came from the malloc family.
        unsafe { libc::free(black_box(self.address.as_ptr()).cast()) };
    }

    /// Changes the size, moving the block where it must.
    pub fn resize(&mut self, size: usize) {
        // SAFETY: the block is owned, and came from the malloc family.
        let moved = unsafe { libc::realloc(self.address.as_ptr().cast(), size) };
        *self = Self::own(moved, size);
    }

    /// Writes `tag` at both ends.
    pub fn tag(&mut self, tag: u64) {
        let start = self.address;
        // SAFETY: each write is within `size` bytes.
        unsafe {
            if self.size >= 8 {
                start.cast::<u64>().write_unaligned(tag);
            }
            if self.size > 0 {
                start.add(self.size - 1).write(tag as u8);
            }
        }
    }

    /// What the ends hold; all bytes there must have been written.
    pub fn read(&self) -> u64 {
        let start = self.address;
        let mut sum = 0;
        // SAFETY: each read is within `size` bytes, which have been written.
        unsafe {
            if self.size >= 8 {
                sum = start.cast::<u64>().read_unaligned();
            }
            if self.size > 0 {
                sum = sum.wrapping_add(u64::from(start.add(self.size - 1).read()));
            }
        }
        sum
    }

    /// The size asked for.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The first byte's address.
    pub fn address(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// The block as whole words. It must have been filled or zeroed.
    pub fn as_words(&self) -> &[u64] {
        // SAFETY: malloc aligns to 16, the words are within the block, and
        // written.
        unsafe { slice::from_raw_parts(self.address.as_ptr().cast(), self.size / 8) }
    }

    /// The block as bytes. It must have been filled or zeroed.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the block has `size` bytes, all written.
        unsafe { slice::from_raw_parts(self.address.as_ptr(), self.size) }
    }

    /// The bytes, to be changed.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the block is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.address.as_ptr(), self.size) }
    }

    /// The words, to be changed.
    pub fn words(&mut self) -> &mut [u64] {
        // SAFETY: as above, and the block is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.address.as_ptr().cast(), self.size / 8) }
    }

    /// Writes each byte from `start` on.
    pub fn fill_from(&mut self, start: usize, value: u8) {
        assert!(start <= self.size);
        // SAFETY: the range is within the block.
        unsafe {
            self.address
                .add(start)
                .write_bytes(value, self.size - start)
        };
    }

    /// Writes a byte in each 4 KiB page.
    pub fn touch_pages(&mut self, tag: u64) {
        for offset in (0..self.size).step_by(4096) {
            // SAFETY: the offset is within the block.
            unsafe { self.address.add(offset).write_volatile(tag as u8) };
        }
    }
}

/// Ends the process: the allocator under test has not done its part.
fn fail(what: &str) -> ! {
    eprintln!("error: {what}");
    abort()
}
