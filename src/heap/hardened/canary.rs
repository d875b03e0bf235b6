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

use crate::fatal::end;
use crate::options::harden::{Measure, has};
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

#[inline(always)]
fn secret() -> [u64; 2] {
    // Acquire pairs with the Release in `make_secret`.
    let first = SECRET[0].load(Ordering::Acquire);
    if first == 0 {
        return make_secret();
    }
    [first, SECRET[1].load(Ordering::Relaxed)]
}

#[cold]
#[inline(never)]
fn make_secret() -> [u64; 2] {
    static LOCK: Locked<()> = Locked::new(());
    let _guard = LOCK.lock();
    let mut words = [SECRET[0].load(Ordering::Acquire), 0];
    if words[0] == 0 {
        random::fill(&mut words);
        words = words.map(|word| word | 1);
        SECRET[1].store(words[1], Ordering::Relaxed);
        SECRET[0].store(words[0], Ordering::Release);
    }
    [words[0], SECRET[1].load(Ordering::Relaxed)]
}

/// What belongs behind a block without slack.
#[inline(always)]
fn of(block: usize) -> u64 {
    let [first, second] = secret();
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
pub unsafe fn write(block: *mut u8, length: usize, size: usize) {
    if !has(Measure::Canary) {
        return;
    }
    let slack = length - BYTES - size;
    if !has(Measure::Zero) {
        // SAFETY: as the caller promises.
        unsafe { block.add(size).write_bytes(0, slack) };
    }
    let canary = of(block as usize) ^ (slack as u64) << SLACK_SHIFT;
    // SAFETY: as the caller promises.
    unsafe { behind(block as usize, length).write(canary) }
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
    let slack = (unsafe { behind(block, length).read() } ^ of(block)).rotate_right(SLACK_SHIFT);
    (length - BYTES).checked_sub(slack as usize)
}

/// Whether the slack of a block is as it was.
///
/// # Safety
///
/// The block is one of `length` bytes, and in use; `size` were asked for.
#[inline(always)]
pub unsafe fn has_slack(block: usize, length: usize, size: usize) -> bool {
    // SAFETY: as the caller promises.
    let mut word = unsafe { behind(block, length) };
    let mut left = length - BYTES - size;
    let mut any = 0;
    // SAFETY: all of it lies in the block, which is two words long at least.
    unsafe {
        while left >= BYTES {
            word = word.sub(1);
            any |= word.read();
            left -= BYTES;
        }
        if left > 0 {
            // The slack's first bytes are the last ones of a word.
            any |= word.sub(1).read() >> (u64::BITS as usize - 8 * left);
        }
    }
    any == 0
}

/// How many bytes of a block may be used, all of `length` but the canary where
/// that is not known. A block that was written beyond ends the process.
///
/// # Safety
///
/// The block is one of `length` bytes, and in use.
#[inline(always)]
pub unsafe fn check(block: usize, length: usize) -> usize {
    if !has(Measure::Canary) {
        return length - BYTES;
    }
    // SAFETY: as the caller promises.
    unsafe {
        match size(block, length) {
            Some(size) if has_slack(block, length, size) => size,
            _ => written_beyond(block),
        }
    }
}

#[cold]
#[inline(never)]
pub fn written_beyond(block: usize) -> usize {
    end("write beyond the end of a block", block);
    0
}

/// Whether what is at the end of a block is what belongs there, whether it is
/// in use or not.
///
/// # Safety
///
/// The block is one of `length` bytes.
#[inline(always)]
pub unsafe fn is_well(block: usize, length: usize, is_live: bool) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        // Zero is what is there between the block's being taken and its canary's
        // being written, by a thread that does not own the slab, or that a fork
        // has left behind.
        if behind(block, length).read() == 0 {
            true
        } else if is_live {
            !has(Measure::Canary) || size(block, length).is_some()
        } else {
            !has(Measure::Zero)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES, has_slack, size, write};

    #[repr(align(16))]
    struct Block([u8; 64]);

    #[test]
    fn every_byte_behind_the_block_is_watched() {
        for asked in 0..=64 - BYTES {
            let mut block = Block([0; 64]);
            let at = block.0.as_mut_ptr();
            // SAFETY: the block is that long.
            unsafe { write(at, 64, asked) };
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
        for asked in 0..=64 - BYTES {
            let mut block = Block([0; 64]);
            // SAFETY: the block is that long.
            unsafe {
                write(block.0.as_mut_ptr(), 64, asked);
                assert_eq!(size(block.0.as_ptr() as usize, 64), Some(asked));
            }
            assert_eq!(block.0[64 - BYTES], 0);
        }
    }

    #[test]
    fn a_canary_is_wrong_elsewhere() {
        let mut blocks = [Block([0; 64]), Block([0; 64])];
        // SAFETY: the blocks are that long.
        unsafe { write(blocks[0].0.as_mut_ptr(), 64, 10) };
        blocks[1].0 = blocks[0].0;
        // SAFETY: as above.
        assert_eq!(unsafe { size(blocks[1].0.as_ptr() as usize, 64) }, None);
    }
}
