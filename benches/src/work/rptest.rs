//! After rpmalloc's benchmark: threads replace random blocks of 8 to 16,000
//! bytes, and every other loop hand a batch to a neighbour; in each pass the
//! threads start anew and in the end free all that they hold.

use std::mem;
use std::sync::{Mutex, PoisonError};

use super::kit::{Block, Random, Table, crew};

const BLOCKS: usize = 1_000;
const LOOPS: usize = 50;
const REPLACED: usize = 100;
const HANDED: usize = 50;
const SIZES: (usize, usize) = (8, 16_000);

/// `scale` passes.
pub fn run(threads: usize, scale: u32) -> u64 {
    let desks = Table::new(threads, |_| Mutex::new(Table::new(HANDED, |_| None)));
    let mut sum = 0u64;
    for pass in 0..scale as usize {
        sum = sum.wrapping_add(crew(threads, |index| {
            let neighbour = &desks[(index + 1) % threads];
            work(Random::new(pass * threads + index), neighbour)
        }));
    }
    for desk in desks.iter() {
        let mut batch = desk.lock().unwrap_or_else(PoisonError::into_inner);
        sum = sum.wrapping_add(clear(&mut batch));
    }
    sum
}

fn work(mut random: Random, neighbour: &Mutex<Table<Option<Block>>>) -> u64 {
    let mut blocks = Table::new(BLOCKS, |_| None);
    let mut batch = Table::new(HANDED, |_| None);
    let mut sum = 0u64;
    for turn in 0..LOOPS {
        let start = random.below(BLOCKS);
        for step in 0..REPLACED {
            let place = &mut blocks[(start + step * 7) % BLOCKS];
            sum = sum.wrapping_add(place.take().map_or(0, Block::free));
            *place = Some(block(&mut random));
        }
        if turn % 2 == 0 {
            sum = sum.wrapping_add(clear(&mut batch));
            for place in batch.iter_mut() {
                *place = Some(block(&mut random));
            }
            let mut desk = neighbour.lock().unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut *desk, &mut batch);
        }
    }
    sum.wrapping_add(clear(&mut batch))
        .wrapping_add(clear(&mut blocks))
}

/// A block whose size is the less likely the larger, falling to none in a
/// straight line.
fn block(random: &mut Random) -> Block {
    let tag = random.bits();
    let span = SIZES.1 - SIZES.0;
    let distance = random.below(span).abs_diff(random.below(span));
    Block::new(SIZES.0 + distance, tag)
}

fn clear(blocks: &mut Table<Option<Block>>) -> u64 {
    blocks.iter_mut().fold(0u64, |sum, place| {
        sum.wrapping_add(place.take().map_or(0, Block::free))
    })
}
