//! Blocks of 5 to 25 MiB, replaced at random, each page written once.

use super::kit::{Block, Random, Table, crew};

const BLOCKS: usize = 12;
const MIB: usize = 1 << 20;

/// `scale` replacements in each thread.
pub fn run(threads: usize, scale: u32) -> u64 {
    crew(threads, |index| {
        let mut random = Random::new(index);
        let mut blocks = Table::new(BLOCKS, |_| None);
        let mut sum = 0u64;
        for _ in 0..scale {
            let place = &mut blocks[random.below(BLOCKS)];
            sum = sum.wrapping_add(place.take().map_or(0, Block::free));
            let tag = random.bits();
            let mut block = Block::new(random.between(5 * MIB, 25 * MIB), tag);
            block.touch_pages(tag);
            *place = Some(block);
        }
        for place in blocks.iter_mut() {
            sum = sum.wrapping_add(place.take().map_or(0, Block::free));
        }
        sum
    })
}
