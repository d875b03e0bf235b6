//! Random numbers that who sees some of them cannot continue: ChaCha8.
//!
//! A leaf, for hardened builds: may call `os`.
//!
//! Reference: D. J. Bernstein, "ChaCha, a variant of Salsa20", 2008; the layout
//! of the state is that of the paper, with a counter of 64 bits.

use core::cell::Cell;

use crate::os::random;

const WORDS: usize = 16;
const BYTES: u32 = 64;
const DOUBLE_ROUNDS: usize = 4;

/// After how many blocks the kernel is asked for another key.
const BLOCKS_OF_A_KEY: u64 = 1 << 16;

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// A stream of random bytes, for one thread at a time.
pub struct Random {
    key: Cell<[u64; 4]>,
    blocks: Cell<u64>,
    words: [Cell<u32>; WORDS],
    /// How many of the bytes are used up.
    used: Cell<u32>,
}

impl Random {
    /// A stream that asks the kernel for a key when it is first wanted.
    pub const fn new() -> Self {
        Self {
            key: Cell::new([0; 4]),
            blocks: Cell::new(0),
            words: [const { Cell::new(0) }; WORDS],
            used: Cell::new(BYTES),
        }
    }

    /// The next byte.
    #[inline(always)]
    pub fn byte(&self) -> u32 {
        if self.used.get() >= BYTES {
            self.refill();
        }
        let at = self.used.get();
        self.used.set(at + 1);
        self.words[(at / 4) as usize % WORDS].get() >> (at % 4 * 8) & 0xff
    }

    /// Forgets the key and what is left of the stream: in a forked child the
    /// parent goes on with both.
    pub fn forget(&self) {
        self.blocks.set(0);
        self.used.set(BYTES);
    }

    #[cold]
    #[inline(never)]
    fn refill(&self) {
        let block = self.blocks.get();
        if block.is_multiple_of(BLOCKS_OF_A_KEY) {
            let mut key = [0; 4];
            random::fill(&mut key);
            self.key.set(key);
        }
        for (word, new) in self.words.iter().zip(chacha8(self.key.get(), block)) {
            word.set(new);
        }
        self.blocks.set(block + 1);
        self.used.set(0);
    }
}

/// A block of the stream.
fn chacha8(key: [u64; 4], block: u64) -> [u32; WORDS] {
    let mut start = [0; WORDS];
    start[..4].copy_from_slice(&CONSTANTS);
    for (pair, word) in start[4..12].chunks_exact_mut(2).zip(key) {
        pair[0] = word as u32;
        pair[1] = (word >> 32) as u32;
    }
    start[12] = block as u32;
    start[13] = (block >> 32) as u32;
    let mut state = start;
    for _ in 0..DOUBLE_ROUNDS {
        for column in 0..4 {
            quarter(&mut state, [column, column + 4, column + 8, column + 12]);
        }
        for diagonal in 0..4 {
            let at = |row: usize| 4 * row + (diagonal + row) % 4;
            quarter(&mut state, [at(0), at(1), at(2), at(3)]);
        }
    }
    for (word, start) in state.iter_mut().zip(start) {
        *word = word.wrapping_add(start);
    }
    state
}

#[inline(always)]
fn quarter(state: &mut [u32; WORDS], [a, b, c, d]: [usize; 4]) {
    for (x, y, z, turn) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        state[x] = state[x].wrapping_add(state[y]);
        state[z] = (state[z] ^ state[x]).rotate_left(turn);
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, chacha8};

    /// The first words of the stream of a zero key: J. Strombergson's test
    /// vectors for eight rounds, TC1.
    #[test]
    fn a_zero_key_gives_the_known_stream() {
        let block = chacha8([0; 4], 0);
        let first: [u8; 4] = block[0].to_le_bytes();
        assert_eq!(first, [0x3e, 0x00, 0xef, 0x2f]);
        assert_eq!(block[1].to_le_bytes(), [0x89, 0x5f, 0x40, 0xd6]);
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
