//! Whether an address is the start of a block: exact, in four instructions.

use super::descriptor::{BOUND, RECIPROCAL, START, Slab};
use super::kind::Kind;
use crate::sync::folded;

/// The rule by which an offset is tested; see [`Slab::is_block`].
pub(super) const fn reciprocal_of(size: usize) -> u64 {
    // floor(2^64 / size) without a division of 128 bits.
    u64::MAX / size as u64 + size.is_power_of_two() as u64 + 1
}

/// The product of the last valid offset among `carved` blocks of a size with
/// this reciprocal.
pub(super) const fn bound_of(reciprocal: u64, size: usize, carved: u32) -> u64 {
    let excess = reciprocal.wrapping_mul(size as u64);
    excess * carved.saturating_sub(1) as u64
}

impl Slab {
    /// Whether an address in a small slab is the start of a block that has
    /// been cut. Exact.
    ///
    /// With m = floor(2^64 / size) + 1 and m * size = 2^64 + e, the
    /// offset q * size + r has the product q * e + r * m modulo 2^64. For
    /// r = 0 that is q * e, at most the bound for blocks that have been cut
    /// and above it for others; for r > 0 it is at least m, above any bound,
    /// and does not wrap for the offsets in a slab (tested for every class).
    /// Reference: Lemire, Kaser, Kurz, "Faster remainder by direct
    /// computation", 2019.
    #[inline(always)]
    pub fn is_small_block(&self, address: usize) -> bool {
        self.is_multiple((address as u16).into())
    }

    /// The same for a slab of any length.
    #[inline(always)]
    pub fn is_medium_block(&self, address: usize) -> bool {
        // SAFETY: the offset is that field's.
        let offset = unsafe { folded::above::<START>(self.at(), address) };
        self.is_multiple(offset as u64)
    }

    #[inline(always)]
    fn is_multiple(&self, offset: u64) -> bool {
        // SAFETY: the offsets are those fields'.
        unsafe { !folded::product_exceeds::<RECIPROCAL, BOUND>(self.at(), offset) }
    }

    /// Whether an address in the slab, or the run, is the start of a block.
    #[inline]
    pub fn is_block(&self, address: usize) -> bool {
        match self.kind() {
            Kind::Nothing => false,
            Kind::Run | Kind::WatchedRun => address == self.start(),
            Kind::Small | Kind::Medium | Kind::Watched | Kind::Wiped => {
                self.is_medium_block(address)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::PAGE;
    use crate::size_class::SizeClass;

    #[test]
    fn the_interior_test_is_exact_for_every_class() {
        for class in SizeClass::all() {
            let size = class.size();
            let bytes = class.slab_pages() * PAGE;
            assert_eq!(
                u128::from(reciprocal_of(size)),
                (1u128 << 64) / size as u128 + 1
            );
            assert_eq!(reciprocal_of(size).wrapping_mul(size as u64) >> 32, 0);
            for carved in [1, 2, class.capacity() / 2, class.capacity()] {
                let m = reciprocal_of(size);
                let bound = bound_of(m, size, carved);
                for offset in 0..bytes {
                    let is_block = offset % size == 0 && offset / size < carved as usize;
                    let found = (offset as u64).wrapping_mul(m) <= bound;
                    assert_eq!(found, is_block, "{class:?}, {carved} carved, {offset}");
                }
            }
        }
    }
}
