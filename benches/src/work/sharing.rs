//! Berger's two tests for false sharing: threads write to small blocks of
//! their own, which is slow when the allocator has put two threads' blocks in
//! one cache line. In `thrash` the threads allocate from the start; in
//! `scratch` each first frees a block that the main thread made, beside the
//! other threads' blocks.

use std::sync::{Mutex, PoisonError};

use super::kit::{Block, Table, crew};

const SIZE: usize = 8;
const ROUNDS: usize = 100;
const WRITES: usize = 2_000;

/// Blocks that come from the main thread first.
pub fn scratch(threads: usize, scale: u32) -> u64 {
    let first = Table::new(threads, |index| {
        Mutex::new(Some(Block::new(SIZE, index as u64)))
    });
    crew(threads, |index| {
        let given = first[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        given.map_or(0, Block::free).wrapping_add(write(scale))
    })
}

/// Blocks of the thread's own only.
pub fn thrash(threads: usize, scale: u32) -> u64 {
    crew(threads, |_| write(scale))
}

fn write(scale: u32) -> u64 {
    let mut sum = 0u64;
    for _ in 0..scale as usize * ROUNDS {
        let block = Block::new(SIZE, 0);
        let word = block.address().cast::<u64>();
        for _ in 0..WRITES {
            // SAFETY: the block has 8 bytes, aligned, and is owned.
            unsafe { word.write_volatile(word.read_volatile() + 1) };
        }
        sum = sum.wrapping_add(block.free());
    }
    sum
}
