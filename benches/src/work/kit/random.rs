//! Numbers that look random and repeat from run to run (splitmix64).

/// A generator; equal seeds give equal sequences.
pub struct Random(u64);

impl Random {
    /// A generator of its own for each seed.
    pub fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, evenly.
    pub fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.bits()) * end as u128;
        (wide >> 64) as usize
    }

    /// A number from `low` to `high`, both included, evenly.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// A number from `low` to `high` of which each doubling is about equally
    /// likely: small ones are many, large ones few.
    pub fn skewed(&mut self, low: usize, high: usize) -> usize {
        let (from, to) = (low.ilog2() as usize, high.ilog2() as usize);
        let power = 1 << self.between(from, to);
        (power + self.below(power)).clamp(low, high)
    }

    /// A number from `low` to `high`, each likely as the inverse of its square.
    pub fn steep(&mut self, low: usize, high: usize) -> usize {
        ((low << 32) / self.between(1, 1 << 32)).min(high)
    }

    /// True `percent` times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
