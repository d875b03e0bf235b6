//! Seams: where one of the kernel's mappings ends and the next begins, in a large
//! mapping that was made of several.
//!
//! mremap(2) moves one of them at a time, so that it must be known where they meet.
//! Neighbours that have never been moved are one mapping to the kernel, and so are the
//! halves of what was moved in one: that is what an [`Origin`] tells.

use core::sync::atomic::{AtomicU16, Ordering};

use crate::os::memory;

/// The most seams of a large mapping.
pub const MOST: usize = 15;

/// Where a part of a mapping comes from. Neighbours of one origin have no seam.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin(u16);

impl Origin {
    /// Of what is where it was mapped.
    const MAPPED: Self = Self(0);

    /// Of what has just been moved. After very many the numbers come again; a seam
    /// that is missed for that reason costs the pages beside it, as mremap refuses.
    pub fn of_moved() -> Self {
        static LAST: AtomicU16 = AtomicU16::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) | 1 << 15)
    }
}

/// The seams of a large mapping, and the origins of the parts between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seams {
    /// In OS pages from its start, ascending, then zeros.
    places: [u32; MOST],
    /// Of the parts, of which there is one more; then those of new mappings.
    origins: [Origin; MOST + 1],
}

impl Seams {
    /// Those of a new mapping.
    pub const NONE: Self = Self::of(Origin::MAPPED);

    /// Those of one part.
    pub const fn of(origin: Origin) -> Self {
        let mut origins = [Origin::MAPPED; MOST + 1];
        origins[0] = origin;
        Self {
            places: [0; MOST],
            origins,
        }
    }

    /// Those of one part after mremap from one address to another, or the same one.
    #[must_use]
    pub fn of_remapped(self, from: usize, to: usize) -> Self {
        if from == to {
            return self;
        }
        Self::of(Origin::of_moved())
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.places.iter().take_while(|&&place| place != 0).count()
    }

    /// Where they are, in bytes.
    pub fn offsets(&self) -> impl Iterator<Item = usize> {
        let places = self.places.into_iter().take_while(|&place| place != 0);
        places.map(|place| place as usize * memory::page_size())
    }

    /// The origins of the parts.
    pub fn origins(&self) -> impl Iterator<Item = Origin> {
        self.origins.into_iter().take(self.count() + 1)
    }

    /// The seams in the first `bytes` bytes.
    #[must_use]
    pub fn before(&self, bytes: usize) -> Self {
        let mut all = Self::of(self.origins[0]);
        let seams = self.offsets().zip(self.origins().skip(1));
        for (offset, origin) in seams.filter(|&(offset, _)| offset < bytes) {
            all.push(offset, origin);
        }
        all
    }

    /// The seams of what is behind the first `bytes` bytes.
    #[must_use]
    pub fn behind(&self, bytes: usize) -> Self {
        let gone = self.offsets().filter(|&offset| offset <= bytes).count();
        let mut all = Self::of(self.origins[gone]);
        let seams = self.offsets().zip(self.origins().skip(1)).skip(gone);
        for (offset, origin) in seams {
            all.push(offset - bytes, origin);
        }
        all
    }

    /// The seams with those of another mapping behind the first `bytes` bytes, which
    /// are all of this one; `None`: they are too many.
    pub fn followed_by(&self, bytes: usize, other: &Self) -> Option<Self> {
        let mut all = *self;
        let offsets = [0].into_iter().chain(other.offsets());
        let fits = offsets.zip(other.origins()).all(|(offset, origin)| {
            let is_same = offset == 0 && self.origins[self.count()] == origin;
            is_same || all.push(bytes + offset, origin)
        });
        fits.then_some(all)
    }

    /// Adds one behind the others, and the part behind it. Returns `false`, and does
    /// nothing, where there is no room.
    fn push(&mut self, offset: usize, origin: Origin) -> bool {
        let count = self.count();
        let place = u32::try_from(offset / memory::page_size());
        let (Ok(place), true) = (place, count < MOST) else {
            return false;
        };
        self.places[count] = place;
        self.origins[count + 1] = origin;
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// What is `lengths` pages long, each with another origin or the same.
    fn seams(parts: &[(usize, u16)]) -> Option<Seams> {
        let mut all = Seams::of(Origin(parts[0].1));
        let mut pages = parts[0].0;
        for &(length, origin) in &parts[1..] {
            let next = Seams::of(Origin(origin));
            all = all.followed_by(pages * memory::page_size(), &next)?;
            pages += length;
        }
        Some(all)
    }

    /// The origin of each page.
    fn pages(seams: &Seams, length: usize) -> Vec<u16> {
        let mut offsets = seams
            .offsets()
            .map(|offset| offset / memory::page_size())
            .peekable();
        let mut origins = seams.origins();
        let mut origin = origins.next().unwrap();
        let mut pages = Vec::new();
        for page in 0..length {
            if offsets.next_if_eq(&page).is_some() {
                origin = origins.next().unwrap();
            }
            pages.push(origin.0);
        }
        assert!(offsets.next().is_none() && origins.next().is_none());
        pages
    }

    fn expand(parts: &[(usize, u16)]) -> Vec<u16> {
        let part = |&(length, origin)| core::iter::repeat_n(origin, length);
        parts.iter().flat_map(part).collect()
    }

    proptest! {
        #[test]
        fn cuts_and_joins_agree_with_lists_of_pages(
            first in prop::collection::vec((1usize..9, 0u16..3), 1..12),
            second in prop::collection::vec((1usize..9, 0u16..3), 1..12),
            cut in 1usize..20,
        ) {
            let page = memory::page_size();
            let all = expand(&first);
            let whole = seams(&first).expect("room");
            prop_assert_eq!(&pages(&whole, all.len()), &all);
            if cut < all.len() {
                prop_assert_eq!(&pages(&whole.before(cut * page), cut), &all[..cut]);
                let behind = whole.behind(cut * page);
                prop_assert_eq!(&pages(&behind, all.len() - cut), &all[cut..]);
                let again = whole.before(cut * page).followed_by(cut * page, &behind);
                prop_assert_eq!(again, Some(whole));
            }
            let other = seams(&second).expect("room");
            let both = [first, second].concat();
            match whole.followed_by(all.len() * page, &other) {
                Some(joined) => {
                    prop_assert_eq!(pages(&joined, expand(&both).len()), expand(&both));
                }
                None => prop_assert_eq!(seams(&both), None),
            }
        }
    }

    #[test]
    fn what_is_too_long_has_no_seams() {
        let far = (u32::MAX as usize + 1) * memory::page_size();
        let moved = Seams::of(Origin::of_moved());
        assert_eq!(Seams::NONE.followed_by(far, &moved), None);
    }
}
