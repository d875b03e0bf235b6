//! Lever and Boreham's producers and consumers: half of the threads only
//! allocate, the other half only free, and any consumer takes any batch.

use super::kit::{Block, Queue, Random, Table, crew};

const BATCH: usize = 4096;
const BATCHES_A_THREAD: usize = 4;
const SIZES: [usize; 12] = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384];

type Batch = Table<Option<Block>>;

/// Each producer fills `scale` batches.
pub fn run(threads: usize, scale: u32) -> u64 {
    let producers = producers(threads);
    let consumers = threads.div_ceil(2);
    let batches = BATCHES_A_THREAD * (consumers + producers);
    let full = Queue::new(batches, producers);
    let empty = Queue::new(batches, consumers);
    for _ in 0..batches {
        empty.push(Batch::new(BATCH, |_| None));
    }
    crew(producers + consumers, |index| {
        if index < producers {
            produce(Random::new(index), scale, &empty, &full);
            0
        } else {
            consume(&full, &empty)
        }
    })
}

fn producers(threads: usize) -> usize {
    (threads / 2).max(1)
}

/// The blocks that `run` makes.
pub fn blocks(threads: usize, scale: u32) -> u64 {
    (producers(threads) * scale as usize * BATCH) as u64
}

fn produce(mut random: Random, batches: u32, empty: &Queue<Batch>, full: &Queue<Batch>) {
    for _ in 0..batches {
        let Some(mut batch) = empty.pop() else { break };
        for place in batch.iter_mut() {
            let tag = random.bits();
            *place = Some(Block::new(SIZES[random.below(SIZES.len())], tag));
        }
        full.push(batch);
    }
    full.leave();
}

fn consume(full: &Queue<Batch>, empty: &Queue<Batch>) -> u64 {
    let mut sum = 0u64;
    while let Some(mut batch) = full.pop() {
        for place in batch.iter_mut() {
            sum = sum.wrapping_add(place.take().map_or(0, Block::free));
        }
        empty.push(batch);
    }
    empty.leave();
    sum
}
