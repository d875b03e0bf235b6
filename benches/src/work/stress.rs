//! After mimalloc's stress test: threads with live sets of their own exchange
//! random blocks through shared places; each round all threads end, half of
//! the shared places are cleared, and new threads go on.

use std::sync::{Mutex, PoisonError};

use super::kit::{Block, Random, Table, crew};

const SHARED: usize = 1_000;
const LIVE: usize = 1_000;
const STEPS: usize = 6_000;

type Place = Mutex<Option<Block>>;

/// `scale` generations of threads.
pub fn run(threads: usize, scale: u32) -> u64 {
    let shared = Table::new(SHARED, |_| Mutex::new(None));
    let mut sum = 0u64;
    for round in 0..scale as usize {
        sum = sum.wrapping_add(crew(threads, |index| {
            work(Random::new(round * threads + index), &shared)
        }));
        for place in shared.iter().skip(round % 2).step_by(2) {
            sum = sum.wrapping_add(exchange(place, None));
        }
    }
    for place in shared.iter() {
        sum = sum.wrapping_add(exchange(place, None));
    }
    sum
}

fn work(mut random: Random, shared: &[Place]) -> u64 {
    let mut live = Table::new(LIVE, |_| None);
    let mut sum = 0u64;
    for _ in 0..STEPS {
        let place = &mut live[random.below(LIVE)];
        let other = &shared[random.below(SHARED)];
        match random.below(4) {
            0 | 1 => {
                let tag = random.bits();
                let next = Block::filled(size(&mut random), tag);
                sum = sum.wrapping_add(place.replace(next).map_or(0, Block::free));
            }
            2 => sum = sum.wrapping_add(place.take().map_or(0, Block::free)),
            _ => {
                let mut other = other.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut *other, place);
            }
        }
    }
    for place in live.iter_mut() {
        sum = sum.wrapping_add(place.take().map_or(0, Block::free));
    }
    sum
}

/// Mostly some words, at times a hundred times that.
fn size(random: &mut Random) -> usize {
    let words = 1 << random.below(6);
    let many = if random.chance(1) { 100 } else { 1 };
    8 * words * many
}

fn exchange(place: &Place, next: Option<Block>) -> u64 {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *place, next).map_or(0, Block::free)
}
