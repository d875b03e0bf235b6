//! Size classes: which block size serves a request.
//!
//! Multiples of 16 up to 128 bytes, then eight classes to each doubling, so
//! that neighbours are at most 12.5 % apart:
//!
//! ```text
//! 16 32 48 64 80 96 112 128 | 144 160 .. 256 | 288 320 .. 512 | .. | .. 64 Ki
//! ```
//!
//! A class is *small* when its blocks come from slabs of [`SMALL_SLAB_PAGES`],
//! aligned to their size, and *medium* when they come from longer slabs.
//! The tables are computed at compile time and tested against these rules.

use crate::sync::folded;

/// The smallest block, and the unit of all block sizes, in bytes.
pub const GRAIN: usize = 16;
/// The binary logarithm of [`GRAIN`].
pub const GRAIN_SHIFT: u32 = GRAIN.trailing_zeros();
/// Requests up to this many bytes find their slab by 16-byte step.
pub const STEP_MAX: usize = 1024;
/// The number of 16-byte steps from 0 to [`STEP_MAX`].
pub const STEPS: usize = STEP_MAX / GRAIN + 1;
/// The largest block of a small slab, in bytes.
pub const SMALL_MAX: usize = 8 << 10;
/// The largest block of any slab, in bytes; above are runs.
pub const MEDIUM_MAX: usize = 64 << 10;
/// The number of classes.
pub const CLASSES: usize = index_of(MEDIUM_MAX) + 1;
/// The pages of a small slab: 64 KiB, so that an offset in it is 16 bits.
pub const SMALL_SLAB_PAGES: usize = 16;

/// The least and the most blocks of a medium slab.
const MEDIUM_BLOCKS: core::ops::RangeInclusive<usize> = 8..=20;

/// What is left free at the end of each slab, in bytes, for a guard.
pub const SLAB_GUARD: usize = if cfg!(feature = "hardened") { 4096 } else { 0 };
/// The most blocks that a slab can have the marks of.
const MOST_BLOCKS: usize = if cfg!(feature = "hardened") {
    2048
} else {
    SMALL_SLAB_PAGES * 4096 / GRAIN
};

/// One size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeClass(u8);

/// Maps a size of at least 1 byte to the index of its class.
#[inline(always)]
const fn index_of(size: usize) -> usize {
    let last = size - 1;
    // Up to 256 the step is 16; above, an eighth of the power of two below.
    let shift = (last | 255).ilog2() as usize - 3;
    ((shift - 4) << 3) + (last >> shift)
}

const fn size_of_index(index: usize) -> usize {
    if index < 16 {
        (index + 1) * GRAIN
    } else {
        let shift = index / 8 + 3;
        (index % 8 + 9) << shift
    }
}

const SIZES: [u32; CLASSES] = {
    let mut sizes = [0; CLASSES];
    let mut i = 0;
    while i < CLASSES {
        sizes[i] = size_of_index(i) as u32;
        i += 1;
    }
    sizes
};

/// The length of each class's slabs: whole small slabs, so that what is left
/// between slabs always serves another; of the possible ones the one that
/// wastes least behind its last block.
const SLAB_PAGES: [u16; CLASSES] = {
    let mut lengths = [SMALL_SLAB_PAGES as u16; CLASSES];
    let mut i = 0;
    while i < CLASSES {
        let size = SIZES[i] as usize;
        if size > SMALL_MAX {
            let (mut pages, mut best) = (SMALL_SLAB_PAGES, usize::MAX);
            while (pages * 4096 - SLAB_GUARD) / size <= *MEDIUM_BLOCKS.end() {
                let bytes = pages * 4096 - SLAB_GUARD;
                // In parts of 65,536 of the slab.
                let waste = ((bytes % size) << 16) / bytes;
                if bytes / size >= *MEDIUM_BLOCKS.start() && waste < best {
                    lengths[i] = pages as u16;
                    best = waste;
                }
                pages += SMALL_SLAB_PAGES;
            }
        }
        i += 1;
    }
    lengths
};

impl SizeClass {
    /// The class for a request of 1 to [`MEDIUM_MAX`] bytes.
    #[inline(always)]
    pub const fn for_medium(size: usize) -> Self {
        debug_assert!(size >= 1 && size <= MEDIUM_MAX);
        Self(index_of(size) as u8)
    }

    /// The class for a request of more than 256 and up to [`MEDIUM_MAX`]
    /// bytes, for the fast path.
    #[inline(always)]
    pub fn for_long(size: usize) -> Self {
        debug_assert!(size > 256 && size <= MEDIUM_MAX);
        let last = (size - 1) as u32;
        let top = folded::top_bit(last);
        // As in `index_of`, with the constants drawn together.
        Self((top * 8 - 56 + (last >> (top - 3))) as u8)
    }

    /// The shortest request of `size` bytes or more, and at least 1, whose class
    /// has blocks at multiples of `alignment`, a power of two up to a page;
    /// `None` where only a run will do.
    #[inline]
    pub fn aligned_size(size: usize, alignment: usize) -> Option<usize> {
        debug_assert!(alignment.is_power_of_two() && alignment <= 4096);
        if size > MEDIUM_MAX {
            return None;
        }
        // Strides are multiples of an eighth of a power of two. Where the
        // alignment is less than that, any will do; where it is more, its
        // multiples are strides themselves.
        let size = size.max(1).next_multiple_of(alignment);
        (size <= MEDIUM_MAX).then_some(size)
    }

    /// The class with a known index.
    pub fn from_index(index: usize) -> Self {
        debug_assert!(index < CLASSES);
        Self(index as u8)
    }

    /// All classes, smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES as u8).map(Self)
    }

    /// The class's place in tables.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The block size in bytes.
    #[inline(always)]
    pub const fn size(self) -> usize {
        SIZES[self.0 as usize] as usize
    }

    /// Whether its blocks come from small slabs.
    pub const fn is_small(self) -> bool {
        self.size() <= SMALL_MAX
    }

    /// The pages of a slab of this class.
    pub const fn slab_pages(self) -> usize {
        SLAB_PAGES[self.0 as usize] as usize
    }

    /// What a slab of this class must start at a multiple of, in bytes.
    pub const fn slab_alignment(self) -> usize {
        if self.is_small() {
            SMALL_SLAB_PAGES * 4096
        } else {
            4096
        }
    }

    /// The blocks of a slab of this class.
    pub const fn capacity(self) -> u32 {
        let blocks = (self.slab_pages() * 4096 - SLAB_GUARD) / self.size();
        if blocks > MOST_BLOCKS {
            MOST_BLOCKS as u32
        } else {
            blocks as u32
        }
    }

    /// The 16-byte steps whose requests this class serves; none above
    /// [`STEP_MAX`]. In a hardened build the smallest blocks are for requests of no
    /// bytes, and all others have something behind them.
    pub fn steps(self) -> core::ops::RangeInclusive<usize> {
        let last = self.size() / GRAIN;
        if cfg!(feature = "hardened") && self.0 < 2 {
            return self.0.into()..=last - usize::from(self.0 == 0);
        }
        let first = match self.0.checked_sub(1) {
            // A request of 0 bytes gets the smallest block.
            None => 0,
            Some(below) => Self(below).size() / GRAIN + 1,
        };
        first..=last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_rule() {
        let mut rule = [0usize; CLASSES];
        let mut n = 0;
        for size in (16..=128).step_by(16) {
            rule[n] = size;
            n += 1;
        }
        let mut octave = 128;
        while octave < MEDIUM_MAX {
            for eighth in 1..=8 {
                rule[n] = octave + eighth * octave / 8;
                n += 1;
            }
            octave *= 2;
        }
        assert_eq!(n, CLASSES);
        for class in SizeClass::all() {
            assert_eq!(class.size(), rule[class.index()]);
        }
    }

    #[test]
    fn every_request_gets_the_smallest_class_that_fits() {
        for size in 0..=MEDIUM_MAX {
            let class = SizeClass::for_medium(size.max(1));
            assert!(class.size() >= size);
            assert!(size <= 256 || SizeClass::for_long(size) == class);
            if class.index() > 0 {
                assert!(SizeClass::from_index(class.index() - 1).size() < size);
            }
        }
        assert_eq!(SizeClass::aligned_size(MEDIUM_MAX + 1, 1), None);
        assert_eq!(SizeClass::aligned_size(usize::MAX, 4096), None);
    }

    #[test]
    fn alignment_divides_the_stride() {
        for shift in 0..=12 {
            for size in (0..MEDIUM_MAX).step_by(37) {
                if let Some(size) = SizeClass::aligned_size(size, 1 << shift) {
                    let class = SizeClass::for_medium(size);
                    assert_eq!(class.size() % (1 << shift), 0);
                    assert!(class.size() >= size);
                }
            }
        }
    }

    #[test]
    fn steps_cover_every_small_request_once() {
        let mut covered = [0; STEPS];
        for class in SizeClass::all() {
            for step in class.steps().filter(|&step| step < STEPS) {
                covered[step] += 1;
                let serves = if cfg!(feature = "hardened") && step == 1 {
                    SizeClass(1)
                } else {
                    SizeClass::for_medium((step * GRAIN).max(1))
                };
                assert_eq!(serves, class);
            }
        }
        assert!(covered.iter().all(|&n| n == 1));
    }

    #[test]
    fn slabs_waste_little() {
        for class in SizeClass::all() {
            let bytes = class.slab_pages() * 4096;
            let usable = bytes - SLAB_GUARD;
            if class.capacity() as usize == MOST_BLOCKS {
                continue;
            }
            let waste = usable - class.capacity() as usize * class.size();
            let most = match (class.is_small(), SLAB_GUARD) {
                (true, _) => 10,
                (false, 0) => 25,
                // There are fewer lengths to choose from.
                (false, _) => 20,
            };
            assert!(waste * most <= bytes, "{class:?}: {waste} of {bytes}");
            assert!(bytes % (SMALL_SLAB_PAGES * 4096) == 0);
        }
    }
}
