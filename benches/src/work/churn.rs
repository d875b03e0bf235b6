//! Threads that come and go, after mimalloc-bench's leak test and its kin.
//!
//! `leave`: one short thread after another allocates, frees most, and leaves a
//! few blocks that another thread frees much later. `bursts`: many threads
//! start at once, and each allocates some blocks, frees them and ends.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::kit::{Block, Random, Table, crew};

const LEFT: usize = 1_000;
const LEFT_BY_EACH: usize = 3;
const BLOCKS: usize = 300;

/// `scale` threads one after another, so many rows of them side by side.
pub fn leave(threads: usize, scale: u32) -> u64 {
    crew(threads, |row| {
        let mut left = Table::new(LEFT, |_| None);
        let mut blocks = Table::new(BLOCKS, |_| None);
        let mut sum = 0u64;
        for index in 0..scale as usize {
            let random = Random::new(index * threads + row);
            let places = index * LEFT_BY_EACH;
            thread::scope(|scope| {
                scope.spawn(|| {
                    sum = sum.wrapping_add(work(random, &mut blocks, 16, 1_024));
                    for (offset, block) in blocks[..LEFT_BY_EACH].iter_mut().enumerate() {
                        let place = &mut left[(places + offset) % LEFT];
                        sum = sum.wrapping_add(place.take().map_or(0, Block::free));
                        *place = block.take();
                    }
                });
            });
        }
        sum.wrapping_add(clear(&mut blocks))
            .wrapping_add(clear(&mut left))
    })
}

const IN_A_BURST: usize = 8;

/// `scale` bursts of `IN_A_BURST` threads for each of `threads`.
pub fn bursts(threads: usize, scale: u32) -> u64 {
    let count = threads * IN_A_BURST;
    let tables = Table::new(count, |_| Mutex::new(Table::new(BLOCKS, |_| None)));
    let mut sum = 0u64;
    for burst in 0..scale as usize {
        sum = sum.wrapping_add(crew(count, |index| {
            let mut blocks = tables[index].lock().unwrap_or_else(PoisonError::into_inner);
            let random = Random::new(burst * count + index);
            work(random, &mut blocks, 16, 2_048).wrapping_add(clear(&mut blocks))
        }));
    }
    sum
}

/// Fills the table, and frees all but a few of its blocks.
fn work(mut random: Random, blocks: &mut [Option<Block>], low: usize, high: usize) -> u64 {
    let mut sum = clear(blocks);
    for place in blocks.iter_mut() {
        let tag = random.bits();
        *place = Some(Block::new(random.skewed(low, high), tag));
    }
    for place in blocks.iter_mut().skip(LEFT_BY_EACH) {
        sum = sum.wrapping_add(place.take().map_or(0, Block::free));
    }
    sum
}

fn clear(blocks: &mut [Option<Block>]) -> u64 {
    blocks.iter_mut().fold(0u64, |sum, place| {
        sum.wrapping_add(place.take().map_or(0, Block::free))
    })
}
