//! Random numbers that who sees some of them cannot continue: ChaCha8.
//!
//! A leaf, for hardened builds: may call `os`.
//!
//! Reference: D. J. Bernstein, "ChaCha, a variant of Salsa20", 2008; the layout
//! of the state is that of the paper, with a counter of 64 bits.

use core::cell::Cell;

use crate::os::random;
use row::Row;

const WORDS: usize = 16;
const BYTES: usize = 64;
const DOUBLE_ROUNDS: usize = 4;

/// After how many blocks the kernel is asked for another key.
const BLOCKS_OF_A_KEY: u64 = 1 << 16;

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// A stream of random bytes, for one thread at a time.
pub struct Random {
    key: Cell<[u64; 4]>,
    blocks: Cell<u64>,
    words: Cell<[u32; WORDS]>,
    /// How many of the words' bytes, from the first on, are not used up.
    left: Cell<usize>,
}

impl Random {
    /// A stream that asks the kernel for a key when it is first wanted.
    pub const fn new() -> Self {
        Self {
            key: Cell::new([0; 4]),
            blocks: Cell::new(0),
            words: Cell::new([0; WORDS]),
            left: Cell::new(0),
        }
    }

    /// The next byte.
    #[inline(always)]
    pub fn byte(&self) -> u32 {
        self.byte_at_hand().unwrap_or_else(|| self.refill())
    }

    /// The next byte, if it has been made: for paths that must not call.
    #[inline(always)]
    pub fn byte_at_hand(&self) -> Option<u32> {
        let left = self.left.get().checked_sub(1)?;
        self.left.set(left);
        Some(self.byte_number(left))
    }

    #[inline(always)]
    fn byte_number(&self, number: usize) -> u32 {
        debug_assert!(number < BYTES);
        let bytes = self.words.as_ptr().cast::<u8>();
        // SAFETY: there are so many, of which the caller has taken one off.
        unsafe { bytes.add(number).read() }.into()
    }

    /// Forgets the key and what is left of the stream: in a forked child the
    /// parent goes on with both.
    pub fn forget(&self) {
        self.blocks.set(0);
        self.left.set(0);
    }

    /// Makes the next bytes and returns the first.
    #[cold]
    #[inline(never)]
    fn refill(&self) -> u32 {
        let block = self.blocks.get();
        if block.is_multiple_of(BLOCKS_OF_A_KEY) {
            let mut key = [0; 4];
            random::fill(&mut key);
            self.key.set(key);
        }
        self.words.set(chacha8::<Row>(self.key.get(), block));
        self.blocks.set(block + 1);
        self.left.set(BYTES - 1);
        self.byte_number(BYTES - 1)
    }
}

/// A row of the state: four words, on which the rounds work side by side.
trait Words: Copy {
    fn new(words: [u32; 4]) -> Self;
    fn words(self) -> [u32; 4];
    fn add(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    /// Rotates each word to the left.
    fn turn<const BITS: i32, const REST: i32>(self) -> Self;
    /// Moves each word so many places to the left.
    fn shift<const PLACES: usize>(self) -> Self;
}

/// A block of the stream.
fn chacha8<R: Words>(key: [u64; 4], block: u64) -> [u32; WORDS] {
    let row = |a: u64, b: u64| R::new([a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32]);
    let start = [
        R::new(CONSTANTS),
        row(key[0], key[1]),
        row(key[2], key[3]),
        row(block, 0),
    ];
    let [mut a, mut b, mut c, mut d] = start;
    for _ in 0..DOUBLE_ROUNDS {
        [a, b, c, d] = quarters([a, b, c, d]);
        // The diagonals become columns, and back.
        [a, b, c, d] = quarters([a, b.shift::<1>(), c.shift::<2>(), d.shift::<3>()]);
        [b, c, d] = [b.shift::<3>(), c.shift::<2>(), d.shift::<1>()];
    }
    let mut words = [0; WORDS];
    words[..4].copy_from_slice(&a.add(start[0]).words());
    words[4..8].copy_from_slice(&b.add(start[1]).words());
    words[8..12].copy_from_slice(&c.add(start[2]).words());
    words[12..].copy_from_slice(&d.add(start[3]).words());
    words
}

/// The quarter rounds of four columns.
#[inline(always)]
fn quarters<R: Words>([mut a, mut b, mut c, mut d]: [R; 4]) -> [R; 4] {
    a = a.add(b);
    d = d.xor(a).turn::<16, 16>();
    c = c.add(d);
    b = b.xor(c).turn::<12, 20>();
    a = a.add(b);
    d = d.xor(a).turn::<8, 24>();
    c = c.add(d);
    b = b.xor(c).turn::<7, 25>();
    [a, b, c, d]
}

/// Rows of any machine. Written out, since compilers that care for size leave
/// closures over arrays as calls.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::Words;

    impl Words for [u32; 4] {
        #[inline(always)]
        fn new(words: [u32; 4]) -> Self {
            words
        }

        #[inline(always)]
        fn words(self) -> [u32; 4] {
            self
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            let ([a, b, c, d], [e, f, g, h]) = (self, other);
            let add = u32::wrapping_add;
            [add(a, e), add(b, f), add(c, g), add(d, h)]
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            let ([a, b, c, d], [e, f, g, h]) = (self, other);
            [a ^ e, b ^ f, c ^ g, d ^ h]
        }

        #[inline(always)]
        fn turn<const BITS: i32, const REST: i32>(self) -> Self {
            let ([a, b, c, d], turn) = (self, |word: u32| word.rotate_left(BITS as u32));
            [turn(a), turn(b), turn(c), turn(d)]
        }

        #[inline(always)]
        fn shift<const PLACES: usize>(self) -> Self {
            let at = |i: usize| self[(i + PLACES) % 4];
            [at(0), at(1), at(2), at(3)]
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod row {
    pub type Row = [u32; 4];
}

/// Rows in registers of 16 bytes, which every x86-64 has. Compilers find them by
/// themselves only where they need not care for size.
#[cfg(target_arch = "x86_64")]
mod row {
    use super::Words;
    use core::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_loadu_si128, _mm_or_si128, _mm_shuffle_epi32, _mm_slli_epi32,
        _mm_srli_epi32, _mm_storeu_si128, _mm_xor_si128,
    };

    pub type Row = __m128i;

    impl Words for Row {
        #[inline(always)]
        fn new(words: [u32; 4]) -> Self {
            // SAFETY: the array is as long as a row.
            unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
        }

        #[inline(always)]
        fn words(self) -> [u32; 4] {
            let mut words = [0; 4];
            // SAFETY: as in `new`.
            unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), self) };
            words
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: every x86-64 has SSE2; and so below.
            unsafe { _mm_add_epi32(self, other) }
        }

        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            // SAFETY: as in `add`.
            unsafe { _mm_xor_si128(self, other) }
        }

        #[inline(always)]
        fn turn<const BITS: i32, const REST: i32>(self) -> Self {
            // SAFETY: as in `add`.
            unsafe { _mm_or_si128(_mm_slli_epi32::<BITS>(self), _mm_srli_epi32::<REST>(self)) }
        }

        #[inline(always)]
        fn shift<const PLACES: usize>(self) -> Self {
            // SAFETY: as in `add`.
            unsafe {
                match PLACES {
                    1 => _mm_shuffle_epi32::<0b00_11_10_01>(self),
                    2 => _mm_shuffle_epi32::<0b01_00_11_10>(self),
                    _ => _mm_shuffle_epi32::<0b10_01_00_11>(self),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, chacha8, row::Row};

    /// The first words of the stream of a zero key: J. Strombergson's test
    /// vectors for eight rounds, TC1.
    #[test]
    fn a_zero_key_gives_the_known_stream() {
        let block = chacha8::<Row>([0; 4], 0);
        let first: [u8; 4] = block[0].to_le_bytes();
        assert_eq!(first, [0x3e, 0x00, 0xef, 0x2f]);
        assert_eq!(block[1].to_le_bytes(), [0x89, 0x5f, 0x40, 0xd6]);
    }

    #[test]
    fn rows_of_any_machine_give_the_same_stream() {
        for block in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let key = [block, 2, !block, 0xfedc_ba98_7654_3210];
            let portable = chacha8::<[u32; 4]>(key, block);
            assert_eq!(chacha8::<Row>(key, block), portable);
        }
    }

    #[test]
    fn streams_differ_and_bytes_are_spread() {
        let (one, other) = (Random::new(), Random::new());
        let mut seen = [0u32; 256];
        let mut same = 0;
        for _ in 0..25_600 {
            let byte = one.byte();
            seen[byte as usize] += 1;
            same += u32::from(byte == other.byte());
        }
        assert!(seen.iter().all(|&count| (40..200).contains(&count)));
        assert!(same < 400, "{same}");
    }

    #[test]
    fn a_forgotten_stream_starts_anew() {
        let stream = Random::new();
        let mut before = [0; 32];
        before.fill_with(|| stream.byte());
        stream.forget();
        let mut after = [0; 32];
        after.fill_with(|| stream.byte());
        assert_ne!(before, after);
    }
}
