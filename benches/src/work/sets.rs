//! Like espresso, which minimises logic: families of bit sets are crossed
//! with each other, most results are dropped at once, the others become the
//! next family.

use super::kit::{Block, List, Random, crew};

const GENERATIONS: usize = 8;
const NEIGHBOURS: usize = 8;
const MOST: usize = 150;

/// `scale` problems in each thread.
pub fn run(threads: usize, scale: u32) -> u64 {
    crew(threads, |index| {
        let mut random = Random::new(index);
        let mut sum = 0u64;
        for _ in 0..scale {
            let words = random.between(1, 24);
            let mut family = List::new();
            for _ in 0..random.between(20, MOST) {
                family.push(random_set(&mut random, words));
            }
            for generation in 0..GENERATIONS {
                let next = cross(&family, &mut random, generation);
                sum = sum.wrapping_add(free(family));
                family = next;
            }
            sum = sum.wrapping_add(free(family));
        }
        sum
    })
}

fn random_set(random: &mut Random, words: usize) -> Block {
    let mut set = Block::filled(8 * words, 0);
    set.words().fill_with(|| random.bits() | random.bits());
    set
}

/// Intersects or joins each set with those after it, and keeps some.
fn cross(family: &[Block], random: &mut Random, generation: usize) -> List<Block> {
    let mut next = List::new();
    for (index, left) in family.iter().enumerate() {
        for right in family.iter().skip(index + 1).take(NEIGHBOURS) {
            let mut set = Block::filled(left.size(), 0);
            let pairs = left.as_words().iter().zip(right.as_words());
            for (to, (left, right)) in set.words().iter_mut().zip(pairs) {
                *to = if generation.is_multiple_of(2) {
                    left & right
                } else {
                    left | right
                };
            }
            if random.chance(15) {
                next.push(set);
            } else {
                set.free();
            }
        }
    }
    while next.len() > MOST {
        let chosen = random.below(next.len());
        next.swap_pop(chosen).map(Block::free);
    }
    next
}

fn free(mut family: List<Block>) -> u64 {
    let mut sum = 0u64;
    while let Some(set) = family.pop() {
        sum = sum.wrapping_add(set.free());
    }
    family.free();
    sum
}
