//! Larson and Krishnan's server: each thread holds an array of blocks,
//! replaces random ones, hands the array to a successor thread and ends. Most
//! blocks are freed by another thread than the one that made them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Scope};

use super::kit::{Block, Random, Table};

const BLOCKS: usize = 5_000;
const REPLACEMENTS: usize = 20_000;
const SIZES: (usize, usize) = (10, 500);

/// `scale` generations of threads.
pub fn run(threads: usize, scale: u32) -> u64 {
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        for index in 0..threads {
            let mut random = Random::new(index);
            let blocks = Table::new(BLOCKS, |_| block(&mut random));
            let server = Server { blocks, random };
            let sum = &sum;
            scope.spawn(move || serve(scope, server, scale, sum));
        }
    });
    sum.into_inner()
}

/// The blocks that `run` makes.
pub fn blocks(threads: usize, scale: u32) -> u64 {
    (threads * (BLOCKS + scale as usize * REPLACEMENTS)) as u64
}

struct Server {
    blocks: Table<Option<Block>>,
    random: Random,
}

fn block(random: &mut Random) -> Option<Block> {
    let tag = random.bits();
    Some(Block::new(random.between(SIZES.0, SIZES.1), tag))
}

fn serve<'scope>(
    scope: &'scope Scope<'scope, '_>,
    mut server: Server,
    generations: u32,
    sum: &'scope AtomicU64,
) {
    let mut read = 0u64;
    for _ in 0..REPLACEMENTS {
        let index = server.random.below(BLOCKS);
        let place = &mut server.blocks[index];
        read = read.wrapping_add(place.take().map_or(0, Block::free));
        *place = block(&mut server.random);
    }
    if generations > 1 {
        scope.spawn(move || serve(scope, server, generations - 1, sum));
    } else {
        for block in server.blocks.iter_mut() {
            read = read.wrapping_add(block.take().map_or(0, Block::free));
        }
    }
    sum.fetch_add(read, Ordering::Relaxed);
}
