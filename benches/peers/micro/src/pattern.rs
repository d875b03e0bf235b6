//! What one thread does alone. Counts are of blocks allocated and freed.

use std::alloc::Layout;
use std::ptr;

use crate::Allocator;

/// How long the live set of random replacement is.
const LIVE: usize = 8192;
/// Where a block that grows begins and ends, in bytes.
const GROWN: (usize, usize) = (16, 64 << 10);

const fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, 16) {
        Ok(layout) => layout,
        Err(_) => panic!("no such size"),
    }
}

/// Allocates, and writes to the block.
fn take(allocator: &Allocator, layout: Layout) -> *mut u8 {
    // SAFETY: no layout here is empty.
    let block = unsafe { allocator.calls.alloc(layout) };
    assert!(!block.is_null(), "no memory");
    // SAFETY: the block is new, and not empty.
    unsafe { block.write(1) };
    block
}

/// Frees a block that `take` made with this layout.
fn give(allocator: &Allocator, block: *mut u8, layout: Layout) {
    // SAFETY: the callers in this file free what they took, once.
    unsafe { allocator.calls.dealloc(block, layout) };
}

/// A block of 64 bytes is allocated and freed, `count` times.
pub fn pair(allocator: &Allocator, count: usize) {
    const SIZE: Layout = layout(64);
    for _ in 0..count {
        give(allocator, take(allocator, SIZE), SIZE);
    }
}

/// Batches of 100 blocks of 48 bytes, freed last first.
pub fn last_first(allocator: &Allocator, count: usize) {
    const SIZE: Layout = layout(48);
    let mut blocks = [ptr::null_mut(); 100];
    for _ in 0..count / blocks.len() {
        blocks.fill_with(|| take(allocator, SIZE));
        for &block in blocks.iter().rev() {
            give(allocator, block, SIZE);
        }
    }
}

/// Batches of 1,000 blocks of 112 bytes, freed first first.
pub fn first_first(allocator: &Allocator, count: usize) {
    const SIZE: Layout = layout(112);
    let mut blocks = [ptr::null_mut(); 1000];
    for _ in 0..count / blocks.len() {
        blocks.fill_with(|| take(allocator, SIZE));
        for &block in &blocks {
            give(allocator, block, SIZE);
        }
    }
}

/// A block grows from 16 bytes to 64 KiB by doubling, and is freed; `count`
/// blocks.
pub fn grow(allocator: &Allocator, count: usize) {
    for _ in 0..count {
        let mut size = GROWN.0;
        let mut block = take(allocator, layout(size));
        while size < GROWN.1 {
            // SAFETY: the block is of this layout, and the new size is not 0.
            block = unsafe { allocator.calls.realloc(block, layout(size), 2 * size) };
            assert!(!block.is_null(), "no memory");
            size *= 2;
            // SAFETY: the block has `size` bytes.
            unsafe { block.add(size - 1).write(1) };
        }
        give(allocator, block, layout(size));
    }
}

/// 8,192 live blocks of 16 to 527 bytes, of which random ones are replaced.
pub struct Live {
    allocator: Allocator,
    blocks: Vec<(*mut u8, Layout)>,
    state: u64,
}

impl Live {
    /// Allocates the blocks.
    pub fn new(allocator: Allocator) -> Self {
        let mut live = Self {
            allocator,
            blocks: Vec::new(),
            state: 0x9e37_79b9_7f4a_7c15,
        };
        for _ in 0..LIVE {
            let layout = size(live.random());
            live.blocks.push((take(&allocator, layout), layout));
        }
        live
    }

    /// Replaces `count` of them.
    pub fn replace(&mut self, count: usize) {
        for _ in 0..count {
            let random = self.random();
            let place = &mut self.blocks[random as usize % LIVE];
            give(&self.allocator, place.0, place.1);
            let layout = size(random);
            *place = (take(&self.allocator, layout), layout);
        }
    }

    /// A xorshift: cheap beside what is measured.
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for (block, layout) in self.blocks.drain(..) {
            give(&self.allocator, block, layout);
        }
    }
}

fn size(random: u64) -> Layout {
    layout(16 + (random >> 32) as usize % 512)
}
