//! The two malloc benchmarks of glibc's benchtests.

use super::kit::{Block, Random, Table, crew};

const COUNTS: [usize; 4] = [25, 100, 400, 1600];
const SIZES: [usize; 10] = [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/// Allocates a number of blocks of one size, then frees them in that order;
/// then the next number, then the next size.
pub fn simple(threads: usize, scale: u32) -> u64 {
    crew(threads, |_| {
        let mut blocks = Table::new(COUNTS[COUNTS.len() - 1], |_| None);
        let mut sum = 0u64;
        for round in 0..scale as usize {
            for (size, count) in SIZES.iter().flat_map(|s| COUNTS.map(|c| (*s, c))) {
                for (index, place) in blocks[..count].iter_mut().enumerate() {
                    *place = Some(Block::new(size, (index + round) as u64));
                }
                for place in &mut blocks[..count] {
                    sum = sum.wrapping_add(place.take().map_or(0, Block::free));
                }
            }
        }
        sum
    })
}

const WORKING_SET: usize = 1024;
const REPLACEMENTS: usize = 10_000;

/// Replaces random blocks of a working set; their sizes are 4 bytes to 32 KiB,
/// each likely as the inverse of its square.
pub fn thread(threads: usize, scale: u32) -> u64 {
    crew(threads, |index| {
        let mut random = Random::new(index);
        let mut blocks = Table::new(WORKING_SET, |_| None);
        let mut sum = 0u64;
        for _ in 0..scale as usize * REPLACEMENTS {
            let place = &mut blocks[random.below(WORKING_SET)];
            sum = sum.wrapping_add(place.take().map_or(0, Block::free));
            let tag = random.bits();
            *place = Some(Block::new(random.steep(4, 32 << 10), tag));
        }
        for place in blocks.iter_mut() {
            sum = sum.wrapping_add(place.take().map_or(0, Block::free));
        }
        sum
    })
}
