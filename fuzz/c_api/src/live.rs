//! The blocks that are live: where they are, and what they hold.

use core::ffi::c_void;
use std::collections::BTreeMap;

use bifold_fuzz_kit::{MODEST, offsets, pattern};

use crate::api;

/// A block that holds a pattern as far as was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    pub address: *mut c_void,
    pub size: usize,
    pub alignment: usize,
    /// Its heap, by number; `None` is the process's.
    pub heap: Option<usize>,
    id: u64,
}

impl Block {
    pub fn usable(&self) -> usize {
        // SAFETY: the block is live.
        unsafe { api::malloc_usable_size(self.address) }
    }

    pub fn check(&self) {
        self.check_up_to(self.size);
    }

    /// Panics unless the block holds what was written to it.
    pub fn check_up_to(&self, end: usize) {
        for offset in offsets(self.size).filter(|&offset| offset < end) {
            // SAFETY: the offset lies in the block, and was written to.
            let byte = unsafe { self.address.cast::<u8>().add(offset).read() };
            assert_eq!(byte, pattern::byte(self.id, offset), "{self:?} at {offset}");
        }
    }

    fn check_zeros(&self) {
        if self.size > MODEST {
            return;
        }
        // SAFETY: the block is that long, and was allocated with zeros.
        let bytes = unsafe { std::slice::from_raw_parts(self.address.cast::<u8>(), self.size) };
        assert!(bytes.iter().all(|&byte| byte == 0), "{self:?} is not zero");
    }

    fn fill(&self) {
        for offset in offsets(self.size) {
            // SAFETY: the offset lies in the block.
            unsafe {
                let at = self.address.cast::<u8>().add(offset);
                at.write(pattern::byte(self.id, offset));
            }
        }
    }
}

/// All of them, by their addresses.
#[derive(Default)]
pub struct Live {
    blocks: BTreeMap<usize, Block>,
    next_id: u64,
    bytes: usize,
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub size: usize,
    pub alignment: usize,
    pub zeroed: bool,
    pub heap: Option<usize>,
}

impl Live {
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a block in that was just handed out: aligned, long enough, zero
    /// where zeros were asked for, and apart from all others with all that is
    /// usable. `kept` bytes are those of an earlier block.
    pub fn insert(&mut self, address: *mut c_void, request: Request, kept: Option<(Block, usize)>) {
        self.next_id += 1;
        let block = Block {
            address,
            size: request.size,
            alignment: request.alignment,
            heap: request.heap,
            id: self.next_id,
        };
        let start = address.addr();
        let usable = block.usable();
        assert!(start.is_multiple_of(request.alignment.max(16)), "{block:?}");
        assert!(usable >= request.size, "{block:?}: {usable} usable");
        let end = start
            .checked_add(usable)
            .expect("the block ends before the addresses do");
        if let Some((_, below)) = self.blocks.range(..=start).next_back() {
            let below_end = below.address.addr() + below.usable();
            assert!(below_end <= start, "{block:?} overlaps {below:?}");
        }
        if let Some((above, _)) = self.blocks.range(start..).next() {
            assert!(end <= *above, "{block:?} overlaps what is at {above:#x}");
        }
        if let Some((old, kept)) = kept {
            Block { address, ..old }.check_up_to(kept);
        }
        if request.zeroed {
            block.check_zeros();
        }
        block.fill();
        self.bytes += block.size;
        self.blocks.insert(start, block);
    }

    /// One of them, checked, which is not live any more to the caller.
    pub fn take(&mut self, place: usize) -> Option<Block> {
        let address = *self.blocks.keys().nth(place.checked_rem(self.len())?)?;
        let block = self.blocks.remove(&address)?;
        self.bytes -= block.size;
        block.check();
        Some(block)
    }

    /// Which one of them a block is.
    pub fn place_of(&self, block: *mut c_void) -> usize {
        self.blocks.range(..block.addr()).count()
    }

    /// Puts a block back that was taken and is as it was.
    pub fn put_back(&mut self, block: Block) {
        block.check();
        self.bytes += block.size;
        self.blocks.insert(block.address.addr(), block);
    }

    /// Forgets the blocks of a heap that is about to go.
    pub fn forget(&mut self, heap: usize) {
        let mut bytes = 0;
        self.blocks.retain(|_, block| {
            block.check();
            bytes += if block.heap == Some(heap) {
                block.size
            } else {
                0
            };
            block.heap != Some(heap)
        });
        self.bytes -= bytes;
    }
}
