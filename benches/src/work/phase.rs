//! Phases of one size class each: grow, free nine in ten at random, go on in
//! another size. What stays pins memory that the next phase could use.

use super::kit::{Block, Random, Table, crew};

const SIZES: [usize; 6] = [64, 240, 112, 720, 48, 1600];
const BYTES: usize = 6 << 20;
const FREED: usize = 90;

/// `scale` phases in each thread. A phase's survivors stay until its size
/// comes again.
pub fn run(threads: usize, scale: u32) -> u64 {
    crew(threads, |index| {
        let mut random = Random::new(index);
        let mut classes = SIZES.map(|size| Table::new(BYTES / size, |_| None));
        let mut sum = 0u64;
        for phase in 0..scale as usize {
            let class = phase % SIZES.len();
            let blocks = &mut classes[class];
            sum = sum.wrapping_add(clear(blocks));
            for place in blocks.iter_mut() {
                let tag = random.bits();
                *place = Some(Block::new(SIZES[class], tag));
            }
            let start = random.below(blocks.len());
            for step in 0..blocks.len() {
                // The count is no multiple of this prime: each comes once.
                let place = &mut blocks[(start + step * 7_919) % (BYTES / SIZES[class])];
                if random.chance(FREED) {
                    sum = sum.wrapping_add(place.take().map_or(0, Block::free));
                }
            }
        }
        classes
            .iter_mut()
            .fold(sum, |sum, blocks| sum.wrapping_add(clear(blocks)))
    })
}

fn clear(blocks: &mut Table<Option<Block>>) -> u64 {
    blocks.iter_mut().fold(0u64, |sum, place| {
        sum.wrapping_add(place.take().map_or(0, Block::free))
    })
}
