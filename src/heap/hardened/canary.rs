//! What is behind each block of a slab: eight bytes, of which the program knows
//! nothing.
//!
//! ```text
//!   | the program's bytes | slack, zero | 0 | canary, with the slack's length |
//!   block                 + size                                  + block size
//! ```
//!
//! The canary is a function of the block's address under a secret of the
//! process: one that was read tells nothing of the others, and one that was
//! copied to another block is wrong there. Its first byte is zero, so that a
//! string without an end stops there. From it and the block's own size follows
//! how many bytes were asked for, so that all of them and none else may be
//! written to, and a free that says another size is wrong.

use crate::options::harden::{Measure, Measures};
use crate::os::random;
use crate::sync::Locked;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The bytes behind a block.
pub const BYTES: usize = size_of::<u64>();

/// The zero byte.
const STOP: u64 = 0xff;
const SLACK_SHIFT: u32 = 8;

/// What the canaries are made with; the first is zero until both are there.
static SECRET: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Makes the secret, if there is none yet. Whoever makes a slab comes here first,
/// so that nobody who has a block needs to ask.
pub fn prepare() {
    static LOCK: Locked<()> = Locked::new(());
    // Acquire pairs with the Release below.
    if SECRET[0].load(Ordering::Acquire) != 0 {
        return;
    }
    let _guard = LOCK.lock();
    if SECRET[0].load(Ordering::Acquire) == 0 {
        let mut words = [0; 2];
        random::fill(&mut words);
        let [first, second] = words.map(|word| word | 1);
        SECRET[1].store(second, Ordering::Relaxed);
        SECRET[0].store(first, Ordering::Release);
    }
}

/// What belongs behind a block without slack.
#[inline(always)]
fn of(block: usize) -> u64 {
    // Relaxed: a block is from a slab, and comes with what was before that.
    let first = SECRET[0].load(Ordering::Relaxed);
    let second = SECRET[1].load(Ordering::Relaxed);
    let product = u128::from(block as u64 ^ first) * u128::from(second);
    ((product >> 64) as u64 ^ product as u64) & !STOP
}

/// The number that the bytes behind a block are.
///
/// # Safety
///
/// The block is one of `length` bytes.
#[inline(always)]
unsafe fn behind(block: usize, length: usize) -> *mut u64 {
    (block + length - BYTES) as *mut u64
}

/// Puts the canary behind a block of `length` bytes, of which `size` were asked
/// for. The slack is zero, or becomes it.
///
/// # Safety
///
/// The block is the caller's, and has room for `size` bytes and the canary.
#[inline(always)]
pub unsafe fn write(block: usize, length: usize, size: usize, measures: Measures) {
    if !measures.has(Measure::Canary) {
        return;
    }
    if !measures.has(Measure::Zero) {
        // SAFETY: as the caller promises.
        unsafe { clear_slack(block, length, size) };
    }
    let slack = length - BYTES - size;
    let canary = of(block) ^ (slack as u64) << SLACK_SHIFT;
    // SAFETY: as the caller promises.
    unsafe { behind(block, length).write(canary) }
}

/// # Safety
///
/// As for [`write`].
#[inline(always)]
unsafe fn clear_slack(block: usize, length: usize, size: usize) {
    // Volatile, because a call would cost those who come by without one.
    for at in block + size..block + length - BYTES {
        // SAFETY: the byte lies in the block, before the canary.
        unsafe { (at as *mut u8).write_volatile(0) };
    }
}

/// How many bytes of a block were asked for; `None`: what is behind it is not
/// what belongs there.
///
/// # Safety
///
/// The block is one of `length` bytes, and in use.
#[inline(always)]
pub unsafe fn size(block: usize, length: usize) -> Option<usize> {
    // SAFETY: as the caller promises.
    let slack = slack(unsafe { behind(block, length).read() }, block);
    (length - BYTES).checked_sub(slack)
}

/// How long the slack is of a block that a word is the canary of; more than any, if
/// it is not.
#[inline(always)]
fn slack(word: u64, block: usize) -> usize {
    (word ^ of(block)).rotate_right(SLACK_SHIFT) as usize
}

/// Whether the slack of a block is as it was.
///
/// # Safety
///
/// The block is one of `length` bytes, at least three words, and in use; `size`
/// were asked for.
#[inline(always)]
pub unsafe fn has_slack(block: usize, length: usize, size: usize) -> bool {
    // SAFETY: all of it lies in the block, as the caller promises.
    unsafe {
        let mut word = behind(block, length).sub(1);
        let mut left = length - BYTES - size;
        let mut any = 0;
        while left > BYTES {
            any |= word.read();
            word = word.sub(1);
            left -= BYTES;
        }
        // The first bytes of the slack are the last ones of a word. In two halves,
        // since a shift by all 64 bits is none.
        let shift = 4 * (BYTES - left);
        any | word.read() >> shift >> shift == 0
    }
}

/// How many bytes of a block were asked for; `None`: it was written beyond.
///
/// # Safety
///
/// The block is one of `length` bytes, and in use.
#[inline(always)]
pub unsafe fn check(block: usize, length: usize) -> Option<usize> {
    // SAFETY: as the caller promises.
    unsafe { size(block, length).filter(|&size| has_slack(block, length, size)) }
}

/// What is at the end of a block, of which it may not be known whether it is in
/// use: the bytes behind it, if it is.
#[derive(Clone, Copy)]
pub struct End {
    word: u64,
    block: usize,
    length: usize,
}

impl End {
    /// # Safety
    ///
    /// The block is one of `length` bytes.
    #[inline(always)]
    pub unsafe fn of(block: usize, length: usize) -> Self {
        // SAFETY: as the caller promises.
        let word = unsafe { behind(block, length).read() };
        Self {
            word,
            block,
            length,
        }
    }

    /// Whether nothing is there: the block is free, or is between its being taken
    /// and its canary's being written, by a thread that does not own the slab, or
    /// that a fork has left behind.
    #[inline(always)]
    pub fn is_zero(self) -> bool {
        self.word == 0
    }

    /// Whether it is what belongs behind a block in use.
    #[inline(always)]
    pub fn is_canary(self) -> bool {
        slack(self.word, self.block) <= self.length - BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES, has_slack, prepare, size, write};
    use crate::options::harden::measures;

    #[repr(align(16))]
    struct Block([u8; 64]);

    #[test]
    fn every_byte_behind_the_block_is_watched() {
        prepare();
        for asked in 0..=64 - BYTES {
            let mut block = Block([0; 64]);
            let at = block.0.as_mut_ptr();
            // SAFETY: the block is that long.
            unsafe { write(at as usize, 64, asked, measures()) };
            let whole = block.0;
            for place in 0..64 {
                block.0 = whole;
                block.0[place] ^= 0x41;
                // SAFETY: as above.
                let is_well = unsafe {
                    size(at as usize, 64).is_some_and(|size| has_slack(at as usize, 64, size))
                };
                assert_eq!(is_well, place < asked, "{asked}, {place}");
            }
        }
    }

    #[test]
    fn the_first_byte_is_zero_and_the_size_is_known() {
        prepare();
        for asked in 0..=64 - BYTES {
            let mut block = Block([0; 64]);
            // SAFETY: the block is that long.
            unsafe {
                write(block.0.as_mut_ptr() as usize, 64, asked, measures());
                assert_eq!(size(block.0.as_ptr() as usize, 64), Some(asked));
            }
            assert_eq!(block.0[64 - BYTES], 0);
        }
    }

    #[test]
    fn a_canary_is_wrong_elsewhere() {
        prepare();
        let mut blocks = [Block([0; 64]), Block([0; 64])];
        // SAFETY: the blocks are that long.
        unsafe { write(blocks[0].0.as_mut_ptr() as usize, 64, 10, measures()) };
        blocks[1].0 = blocks[0].0;
        // SAFETY: as above.
        assert_eq!(unsafe { size(blocks[1].0.as_ptr() as usize, 64) }, None);
    }
}
