//! Random replacement in a set of fixed length, for kinds of block that the
//! classics leave out: aligned ones, zeroed ones, those of some pages, and a
//! queue in which the oldest goes first.

use super::kit::{Block, Random, Table, crew};

/// Replaces a place chosen by `choose` with what `make` makes, `steps` times.
fn replace(
    threads: usize,
    steps: usize,
    places: usize,
    choose: fn(&mut Random, step: usize, places: usize) -> usize,
    make: fn(&mut Random) -> Block,
) -> u64 {
    crew(threads, |index| {
        let mut random = Random::new(index);
        let mut blocks = Table::new(places, |_| None);
        let mut sum = 0u64;
        for step in 0..steps {
            let place = &mut blocks[choose(&mut random, step, places)];
            sum = sum.wrapping_add(place.take().map_or(0, Block::free));
            *place = Some(make(&mut random));
        }
        for place in blocks.iter_mut() {
            sum = sum.wrapping_add(place.take().map_or(0, Block::free));
        }
        sum
    })
}

fn any(random: &mut Random, _step: usize, places: usize) -> usize {
    random.below(places)
}

fn oldest(_random: &mut Random, step: usize, places: usize) -> usize {
    step % places
}

/// Aligned blocks: to 16 bytes up to a page, at times to 64 KiB.
pub fn aligned(threads: usize, scale: u32) -> u64 {
    replace(threads, scale as usize * 10_000, 1_000, any, |random| {
        let power = if random.chance(1) {
            16
        } else {
            random.between(4, 12)
        };
        let tag = random.bits();
        Block::aligned(1 << power, random.skewed(8, 8 << 10), tag)
    })
}

/// Zeroed blocks: mostly small, some up to 1 MiB; each page is checked and
/// written.
pub fn zeroed(threads: usize, scale: u32) -> u64 {
    replace(threads, scale as usize * 10_000, 500, any, |random| {
        let size = if random.chance(1) {
            random.skewed(64 << 10, (1 << 20) - 1)
        } else {
            random.skewed(16, 4 << 10)
        };
        let tag = random.bits();
        let mut block = Block::zeroed(size);
        let found = block
            .as_words()
            .iter()
            .step_by(8)
            .fold(0, |or, word| or | word);
        block.touch_pages(tag);
        block.tag(tag ^ found);
        block
    })
}

/// Blocks of 1 to 64 KiB, each page written.
pub fn medium(threads: usize, scale: u32) -> u64 {
    replace(threads, scale as usize * 10_000, 1_000, any, |random| {
        let tag = random.bits();
        let mut block = Block::new(random.skewed(1 << 10, 64 << 10), tag);
        block.touch_pages(tag);
        block
    })
}

/// A log server's queue: lines of 32 bytes to 8 KiB, the oldest goes when a
/// new one comes.
pub fn log(threads: usize, scale: u32) -> u64 {
    replace(threads, scale as usize * 10_000, 8_000, oldest, |random| {
        let tag = random.bits();
        Block::filled(random.skewed(32, 8 << 10), tag)
    })
}
