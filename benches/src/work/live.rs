//! After alloc-test: a random place of a large set is freed if it holds a
//! block, else filled; places and sizes follow power laws, so that some blocks
//! are short-lived, and others stay long.

use super::kit::{Block, Random, Table, crew};

const PLACES: usize = 1 << 15;
const STEPS: usize = 20_000;

/// `scale` times `STEPS` steps in each thread, in a set of its own.
pub fn run(threads: usize, scale: u32) -> u64 {
    crew(threads, |index| {
        let mut random = Random::new(index);
        let mut blocks = Table::new(PLACES, |_| None);
        let mut sum = 0u64;
        for _ in 0..scale as usize * STEPS {
            let place = &mut blocks[random.skewed(1, 2 * PLACES - 1) % PLACES];
            match place.take() {
                Some(block) => sum = sum.wrapping_add(Block::free(block)),
                None => {
                    let tag = random.bits();
                    *place = Some(Block::filled(random.skewed(8, 2048), tag));
                }
            }
        }
        for place in blocks.iter_mut() {
            sum = sum.wrapping_add(place.take().map_or(0, Block::free));
        }
        sum
    })
}
