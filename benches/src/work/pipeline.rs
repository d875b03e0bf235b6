//! Three stages in threads of their own: the first makes items, the second
//! replaces each by a larger one, the third frees them. Each stage has a third
//! of the threads, at least one.

use super::kit::{Block, Queue, Random, Table, crew};

const BATCH: usize = 256;
const BATCHES_A_STAGE: usize = 4;

type Batch = Table<Option<Block>>;

/// `scale` batches from each thread of the first stage.
pub fn run(threads: usize, scale: u32) -> u64 {
    let width = threads.div_ceil(3);
    let batches = width * 3 * BATCHES_A_STAGE;
    let empty = Queue::new(batches, width);
    let made = Queue::new(batches, width);
    let changed = Queue::new(batches, width);
    for _ in 0..batches {
        empty.push(Batch::new(BATCH, |_| None));
    }
    crew(3 * width, |index| match index / width {
        0 => {
            make(Random::new(index), scale, &empty, &made);
            0
        }
        1 => change(&made, &changed),
        _ => finish(&changed, &empty),
    })
}

fn make(mut random: Random, batches: u32, empty: &Queue<Batch>, made: &Queue<Batch>) {
    for _ in 0..batches {
        let Some(mut batch) = empty.pop() else { break };
        for place in batch.iter_mut() {
            let tag = random.bits();
            *place = Some(Block::new(random.skewed(32, 1_024), tag));
        }
        made.push(batch);
    }
    made.leave();
}

fn change(made: &Queue<Batch>, changed: &Queue<Batch>) -> u64 {
    let mut sum = 0u64;
    while let Some(mut batch) = made.pop() {
        for place in batch.iter_mut() {
            let Some(old) = place.take() else { continue };
            let size = old.size() + old.size() / 4 + 16;
            let read = old.free();
            sum = sum.wrapping_add(read);
            *place = Some(Block::new(size, read));
        }
        changed.push(batch);
    }
    changed.leave();
    sum
}

fn finish(changed: &Queue<Batch>, empty: &Queue<Batch>) -> u64 {
    let mut sum = 0u64;
    while let Some(mut batch) = changed.pop() {
        for place in batch.iter_mut() {
            sum = sum.wrapping_add(place.take().map_or(0, Block::free));
        }
        empty.push(batch);
    }
    empty.leave();
    sum
}
