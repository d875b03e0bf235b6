//! After MicroQuill's SmartHeap benchmarks: batches of blocks whose sizes
//! come in runs, small ones most often, freed half in order and half in
//! reverse, with some that stay for a while. In `sh8` the batches change
//! threads before they are freed.

use std::mem;
use std::sync::{Mutex, PoisonError};

use super::kit::{Block, Table, crew};

const BATCH: usize = 4_000;
const SIZES: usize = 1_000;
const STAY: usize = 8;

type Batch = Table<Option<Block>>;

fn batch() -> Batch {
    Batch::new(BATCH, |_| None)
}

/// Each thread fills and frees `scale` batches of its own.
pub fn sh6(threads: usize, scale: u32) -> u64 {
    crew(threads, |_| {
        let mut batch = batch();
        let mut sum = 0u64;
        for round in 0..scale as usize {
            sum = sum.wrapping_add(fill(&mut batch, round));
            sum = sum.wrapping_add(clear(&mut batch, round));
        }
        sum.wrapping_add(clear_all(&mut batch))
    })
}

/// Each thread fills `scale` batches, and frees those that others leave.
pub fn sh8(threads: usize, scale: u32) -> u64 {
    let board = Table::new(threads, |_| Mutex::new(batch()));
    let mut sum = crew(threads, |index| {
        let mut batch = batch();
        let mut sum = 0u64;
        for round in 0..scale as usize {
            sum = sum.wrapping_add(fill(&mut batch, round));
            let place = &board[(index + round) % threads];
            mem::swap(
                &mut *place.lock().unwrap_or_else(PoisonError::into_inner),
                &mut batch,
            );
            sum = sum.wrapping_add(clear(&mut batch, round));
        }
        sum.wrapping_add(clear_all(&mut batch))
    });
    for place in board.iter() {
        let mut batch = place.lock().unwrap_or_else(PoisonError::into_inner);
        sum = sum.wrapping_add(clear_all(&mut batch));
    }
    sum
}

/// Fills the batch anew, freeing what has stayed in it.
fn fill(batch: &mut Batch, round: usize) -> u64 {
    let mut sum = 0u64;
    let mut size = 1;
    let mut left = run_length(size);
    for place in batch.iter_mut() {
        sum = sum.wrapping_add(place.take().map_or(0, Block::free));
        *place = Some(Block::new(size, (round * size) as u64));
        left -= 1;
        if left == 0 {
            size = size * 5 / 4 + 3;
            if size > SIZES {
                size = 1 + round % 8;
            }
            left = run_length(size);
        }
    }
    sum
}

/// How many blocks of `size` follow each other.
fn run_length(size: usize) -> usize {
    SIZES / (size + 9) + 1
}

/// Frees the first half in order and the second in reverse, except each
/// `STAY`th.
fn clear(batch: &mut Batch, round: usize) -> u64 {
    let mut sum = 0u64;
    let order = (0..BATCH / 2).chain((BATCH / 2..BATCH).rev());
    for index in order {
        if !(index + round).is_multiple_of(STAY) {
            sum = sum.wrapping_add(batch[index].take().map_or(0, Block::free));
        }
    }
    sum
}

fn clear_all(batch: &mut Batch) -> u64 {
    batch.iter_mut().fold(0u64, |sum, place| {
        sum.wrapping_add(place.take().map_or(0, Block::free))
    })
}
