//! Many vectors that grow side by side by realloc: half of them double, half
//! grow by half; each is freed at a length of its own, and another begins.

use super::kit::{Block, Random, Table, crew};

const VECTORS: usize = 64;
const STEPS: usize = 1_000;
const FIRST: usize = 32;
const LONGEST: usize = 512 << 10;

struct Vector {
    block: Block,
    end: usize,
    doubles: bool,
}

/// `scale` times `STEPS` growths in each thread.
pub fn run(threads: usize, scale: u32) -> u64 {
    crew(threads, |index| {
        let mut random = Random::new(index);
        let mut vectors = Table::new(VECTORS, |_| Some(start(&mut random)));
        let mut sum = 0u64;
        for _ in 0..scale as usize * STEPS {
            let place = &mut vectors[random.below(VECTORS)];
            let Some(mut vector) = place.take() else {
                break;
            };
            sum = sum.wrapping_add(grow(&mut vector));
            if vector.block.size() >= vector.end {
                sum = sum.wrapping_add(vector.block.free());
                vector = start(&mut random);
            }
            *place = Some(vector);
        }
        for vector in vectors.iter_mut().filter_map(Option::take) {
            sum = sum.wrapping_add(vector.block.free());
        }
        sum
    })
}

fn start(random: &mut Random) -> Vector {
    let tag = random.bits();
    Vector {
        block: Block::filled(FIRST, tag),
        end: random.skewed(2 * FIRST, LONGEST),
        doubles: random.chance(50),
    }
}

/// Grows the vector and fills what is new, as pushes would.
fn grow(vector: &mut Vector) -> u64 {
    let before = vector.block.read();
    let old = vector.block.size();
    let new = if vector.doubles {
        old * 2
    } else {
        old + old / 2
    };
    vector.block.resize(new);
    vector.block.fill_from(old, before as u8);
    before
}
