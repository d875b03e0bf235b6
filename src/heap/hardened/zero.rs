//! Whether a block is zero, and making it so: 64 bytes at a step.
//!
//! Compilers that care for size make neither loop wide, and a call of the C
//! library's takes longer than a short block. Blocks are multiples of 16 bytes,
//! and 32 at least; what is left of the last step is done by one that reaches
//! back over the step before it.

use core::ptr;

use pair::Pair;

/// What a step is made of: 32 bytes.
const PAIR: usize = size_of::<Pair>();
const STEP: usize = 2 * PAIR;

/// The longest block that is zeroed here: the C library's is faster from there on.
pub const SHORT: usize = 512;

/// Whether a block of `bytes` bytes is zero.
///
/// # Safety
///
/// The block is that long, at least 32 bytes, and nobody writes to it.
#[inline(always)]
pub unsafe fn is_zero(block: usize, bytes: usize) -> bool {
    // SAFETY: the places lie in the block, as the caller promises.
    unsafe {
        let at = |place: usize| ptr::read(place as *const Pair);
        let mut any;
        if bytes >= STEP {
            let last = block + bytes - STEP;
            any = pair::or(at(last), at(last + PAIR));
            let mut place = block;
            while place < last {
                any = pair::or(any, pair::or(at(place), at(place + PAIR)));
                place += STEP;
            }
        } else {
            any = pair::or(at(block), at(block + bytes - PAIR));
        }
        pair::is_zero(any)
    }
}

/// Zeroes a block of `bytes` bytes.
///
/// # Safety
///
/// The block is the caller's, and that long, at least 32 bytes.
#[inline(always)]
pub unsafe fn fill(block: usize, bytes: usize) {
    // SAFETY: the places lie in the block, as the caller promises.
    unsafe {
        let clear = |place: usize| ptr::write(place as *mut Pair, pair::ZERO);
        if bytes >= STEP {
            let last = block + bytes - STEP;
            let mut place = block;
            while place < last {
                clear(place);
                clear(place + PAIR);
                place += STEP;
            }
            clear(last);
            clear(last + PAIR);
        } else {
            clear(block);
            clear(block + bytes - PAIR);
        }
    }
}

/// Two registers of 16 bytes.
#[cfg(target_arch = "x86_64")]
mod pair {
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_setzero_si128,
    };

    /// Aligned to 16.
    pub type Pair = [__m128i; 2];

    // SAFETY: all bits zero are a value of this type.
    pub const ZERO: Pair = unsafe { core::mem::zeroed() };

    #[inline(always)]
    pub fn or(one: Pair, other: Pair) -> Pair {
        // SAFETY: every x86-64 has SSE2.
        unsafe {
            [
                _mm_or_si128(one[0], other[0]),
                _mm_or_si128(one[1], other[1]),
            ]
        }
    }

    #[inline(always)]
    pub fn is_zero(pair: Pair) -> bool {
        const ALL: i32 = 0xffff;
        // SAFETY: as in `or`.
        unsafe {
            let any = _mm_or_si128(pair[0], pair[1]);
            _mm_movemask_epi8(_mm_cmpeq_epi8(any, _mm_setzero_si128())) == ALL
        }
    }
}

/// Four words.
#[cfg(not(target_arch = "x86_64"))]
mod pair {
    pub type Pair = [u64; 4];

    pub const ZERO: Pair = [0; 4];

    #[inline(always)]
    pub fn or(one: Pair, other: Pair) -> Pair {
        let ([a, b, c, d], [e, f, g, h]) = (one, other);
        [a | e, b | f, c | g, d | h]
    }

    #[inline(always)]
    pub fn is_zero(pair: Pair) -> bool {
        pair == ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::{SHORT, fill, is_zero};

    #[repr(align(16))]
    struct Blocks([u8; SHORT + 96]);

    #[test]
    fn every_byte_counts_and_no_other() {
        for bytes in (32..=SHORT).step_by(16) {
            let mut blocks = Blocks([0xa7; SHORT + 96]);
            let block = blocks.0[32..].as_mut_ptr();
            // SAFETY: the block lies in the array, and nobody else uses it.
            let is_clear = || unsafe { is_zero(block as usize, bytes) };
            assert!(!is_clear());
            // SAFETY: as above.
            unsafe { fill(block as usize, bytes) };
            assert!(is_clear(), "{bytes}");
            for place in 0..bytes {
                // SAFETY: as above.
                unsafe { *block.add(place) = 0x80 };
                assert!(!is_clear(), "{bytes}, {place}");
                // SAFETY: as above.
                unsafe { *block.add(place) = 0 };
            }
            let (before, rest) = blocks.0.split_at(32);
            let outside = before.iter().chain(&rest[bytes..]);
            assert!(outside.copied().all(|byte| byte == 0xa7), "{bytes}");
        }
    }
}
