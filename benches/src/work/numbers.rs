//! Like cfrac, which factors by continued fractions: arithmetic on numbers of
//! a few words, where each step makes a new tiny number and drops its
//! operands.

use super::kit::{Block, Random, Table, crew};

const KEPT: usize = 256;
const STEPS: usize = 1_000;
const MOST_DIGITS: usize = 7;

/// `scale` times `STEPS` products in each thread.
pub fn run(threads: usize, scale: u32) -> u64 {
    crew(threads, |index| {
        let mut random = Random::new(index);
        let mut kept = Table::new(KEPT, |_| Some(Number::of(random.bits())));
        let mut sum = 0u64;
        for _ in 0..scale as usize * STEPS {
            let left = kept[random.below(KEPT)].take();
            let right = Number::of(random.bits());
            let left = left.unwrap_or_else(|| Number::of(1));
            let product = left.times(&right);
            left.free();
            right.free();
            let next = product.low(1 + random.below(MOST_DIGITS));
            product.free();
            let place = &mut kept[random.below(KEPT)];
            sum = sum.wrapping_add(place.take().map_or(0, Number::free));
            *place = Some(next);
        }
        for place in kept.iter_mut() {
            sum = sum.wrapping_add(place.take().map_or(0, Number::free));
        }
        sum
    })
}

/// A natural number: 32 bits in each word of a block, the lowest first.
struct Number(Block);

impl Number {
    fn zero(digits: usize) -> Self {
        Self(Block::filled(8 * digits, 0))
    }

    fn of(value: u64) -> Self {
        let mut number = Self::zero(2);
        let digits = number.0.words();
        digits[0] = value & 0xffff_ffff;
        digits[1] = value >> 32;
        number
    }

    fn digits(&self) -> &[u64] {
        self.0.as_words()
    }

    fn times(&self, other: &Self) -> Self {
        let mut sum = Self::zero(1);
        for (place, &digit) in other.digits().iter().enumerate() {
            let part = self.part(digit, place);
            let next = sum.plus(&part);
            sum.free();
            part.free();
            sum = next;
        }
        sum
    }

    /// This number times one digit at `place`.
    fn part(&self, digit: u64, place: usize) -> Self {
        let mut part = Self::zero(self.digits().len() + place + 1);
        let mut carry = 0;
        let to = &mut part.0.words()[place..];
        for (to, from) in to.iter_mut().zip(self.digits()) {
            let value = from * digit + carry;
            *to = value & 0xffff_ffff;
            carry = value >> 32;
        }
        to[self.digits().len()] = carry;
        part
    }

    /// The sum with a number that has more digits.
    fn plus(&self, larger: &Self) -> Self {
        let mut sum = Self::zero(larger.digits().len());
        let mut carry = 0;
        let own = self.digits().iter().copied().chain(std::iter::repeat(0));
        for ((to, own), other) in sum.0.words().iter_mut().zip(own).zip(larger.digits()) {
            let value = own + other + carry;
            *to = value & 0xffff_ffff;
            carry = value >> 32;
        }
        sum
    }

    /// The number's lowest digits.
    fn low(&self, digits: usize) -> Self {
        let digits = digits.min(self.digits().len());
        let mut low = Self::zero(digits);
        low.0.words().copy_from_slice(&self.digits()[..digits]);
        low
    }

    fn free(self) -> u64 {
        self.0.free()
    }
}
