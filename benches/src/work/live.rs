//! After alloc-test: a random place of a large set is freed if it holds a
//! block, else filled; places and sizes follow power laws, so that some blocks
//! are short-lived, and others stay long.

use super::kit::{Block, Random, Table, crew};

const STEPS: usize = 20_000;

/// How large a set is, and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// Places; half of them hold a block, on average.
    pub places: usize,
    /// The least and the most bytes of a block.
    pub sizes: (usize, usize),
}

/// The workload's.
pub const SMALL: Set = Set {
    places: 1 << 15,
    sizes: (8, 2048),
};

/// Who makes and frees the blocks.
pub trait Calls {
    /// A block of `size` bytes, not written.
    fn make(&mut self, size: usize) -> Block {
        Block::untouched(size)
    }

    /// Frees it.
    fn free(&mut self, block: Block) {
        block.release();
    }
}

/// Just so.
struct Plain;

impl Calls for Plain {}

/// `scale` times `STEPS` steps in each thread, in a set of its own.
pub fn run(threads: usize, scale: u32) -> u64 {
    let steps = scale as usize * STEPS;
    crew(threads, |index| walk(SMALL, index, steps, &mut Plain))
}

/// The blocks that `run` makes, about.
pub fn blocks(threads: usize, scale: u32) -> u64 {
    (threads * scale as usize * STEPS / 2) as u64
}

/// So many steps in a set, then all that is left is freed.
pub fn walk(set: Set, seed: usize, steps: usize, calls: &mut impl Calls) -> u64 {
    let Set {
        places,
        sizes: (least, most),
    } = set;
    let mut random = Random::new(seed);
    let mut blocks = Table::new(places, |_| None);
    let mut sum = 0u64;
    let mut free = |block: Block, calls: &mut _| {
        sum = sum.wrapping_add(block.read());
        Calls::free(calls, block);
    };
    for _ in 0..steps {
        let place = &mut blocks[random.skewed(1, 2 * places - 1) % places];
        match place.take() {
            Some(block) => free(block, calls),
            None => {
                let tag = random.bits();
                let mut block = calls.make(random.skewed(least, most));
                block.fill_from(0, tag as u8);
                block.tag(tag);
                *place = Some(block);
            }
        }
    }
    for block in blocks.iter_mut().filter_map(Option::take) {
        free(block, calls);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::{Block, Calls, Set, walk};

    #[derive(Default)]
    struct Counting {
        made: Vec<usize>,
        freed: usize,
    }

    impl Calls for Counting {
        fn make(&mut self, size: usize) -> Block {
            self.made.push(size);
            Block::untouched(size)
        }

        fn free(&mut self, block: Block) {
            self.freed += 1;
            block.release();
        }
    }

    #[test]
    fn a_walk_frees_what_it_makes_and_repeats() {
        let set = Set {
            places: 64,
            sizes: (16, 256),
        };
        let walk = |seed| {
            let mut calls = Counting::default();
            let sum = walk(set, seed, 5_000, &mut calls);
            assert_eq!(calls.made.len(), calls.freed);
            assert!(calls.made.len() > 2_000);
            assert!(calls.made.iter().all(|size| (16..=256).contains(size)));
            (sum, calls.made)
        };
        assert!(walk(1) == walk(1));
        assert!(walk(1) != walk(2));
    }
}
