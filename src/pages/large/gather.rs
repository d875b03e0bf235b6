//! New large mappings made of kept ones: mremap(2) moves resident pages for a
//! fiftieth of what it costs to touch new ones.
//!
//! What is kept is often too short for the next request, where all of it together is
//! not. But each part stays a mapping of its own to the kernel, of which a process may
//! have some 65,000 (`vm.max_map_count`). So only long blocks are made of parts, of a
//! few each.

use super::kept::{Kept, NOWHERE, Span, unmap_all};
use super::mapping::{map_in_pages, remap};
use super::{Large, Mapping, filled};
use crate::os::memory::{self, MoveError};
use crate::pages::seams::{MOST, Origin, Seams};
use crate::pages::{fresh, limit};

/// The shortest block, in bytes, that is made of parts.
const LEAST: usize = 1 << 20;

/// What is taken is at least one part in so many of the block; where it is one alone, of
/// whose length nothing else may become, half.
const SHARE: usize = 16;
const HALF: usize = 2;

/// The most seams in all live blocks.
const MOST_SEAMS: usize = 4096;

/// What a new mapping is made of: parts that were kept, each one mapping to the kernel.
pub(super) struct Parts {
    parts: [Span; MOST],
    /// Of the first.
    origin: Origin,
}

impl Large {
    /// Takes parts out for a mapping of so many bytes, of the longest that are kept.
    pub(super) fn take_parts(&mut self, length: usize) -> Parts {
        // One alone is lengthened where it is, or moved, and has no seam; of several each
        // has one behind it. New mappings that are resident at once save nothing, and
        // huge pages do not survive a move to just anywhere.
        let is_whole = length < LEAST || fresh::touches_new_mappings() || filled::are_huge(length);
        let room = match is_whole {
            true => 1,
            false => MOST.min(MOST_SEAMS.saturating_sub(self.seams)).max(1),
        };
        let share = if room == 1 { HALF } else { SHARE };
        let mut all = Parts {
            parts: [NOWHERE; MOST],
            origin: Origin::default(),
        };
        let (mut count, mut left) = (0, length);
        loop {
            let fits = |kept: &&mut Kept| {
                let first = kept.first(left);
                first.length >= length / share && count + first.seams.count() < room
            };
            let longest = self.kept.iter_mut().filter(fits);
            let Some(longest) = longest.max_by_key(|kept| kept.length) else {
                break;
            };
            let taken = longest.first(left);
            *longest = longest.behind(taken.length);
            left -= taken.length;
            for (part, origin) in taken.parts() {
                if count == 0 {
                    all.origin = origin;
                }
                all.parts[count] = part;
                count += 1;
            }
        }
        all
    }
}

impl Parts {
    fn all(&self) -> impl Iterator<Item = Span> {
        self.parts.into_iter().take_while(|part| part.length > 0)
    }

    /// A mapping of so many bytes that begins with these parts. `None`: there are
    /// none, or there is no memory, and they are gone.
    pub(super) fn lengthened(&self, length: usize) -> Option<Mapping> {
        let mut all = self.all();
        let first = all.next()?;
        if all.next().is_none()
            // SAFETY: what was kept was taken out, and is nobody's now.
            && let Some(address) = unsafe { remap(first.address, first.length, length) }
        {
            return Some(Mapping {
                address,
                length,
                clean: false,
                seams: Seams::of(self.origin).of_remapped(first.address, address),
            });
        }
        let Some(new) = map_in_pages(length) else {
            unmap_all(&self.parts);
            return None;
        };
        self.put_in(new)
    }

    /// Moves the parts to the start of a new mapping. `None`: a place in it is lost, and
    /// all is given up.
    fn put_in(&self, new: Mapping) -> Option<Mapping> {
        let mut seams: Option<Seams> = None;
        let mut done = 0;
        for (number, part) in self.all().enumerate() {
            if !replace(part, new.address + done) {
                let before = Span {
                    address: new.address,
                    length: done,
                };
                let next = done + part.length;
                let behind = Span {
                    address: new.address + next,
                    length: new.length - next,
                };
                unmap_all(&[before, behind]);
                limit::uncharge(part.length);
                unmap_all(&self.parts[number + 1..]);
                return None;
            }
            let moved = Seams::of(Origin::of_moved());
            // There is room, by how many parts were taken.
            seams = match seams {
                None => Some(moved),
                Some(before) => before.followed_by(done, &moved),
            };
            done += part.length;
        }
        if done < new.length {
            seams = seams?.followed_by(done, &new.seams);
        }
        Some(Mapping {
            clean: false,
            seams: seams?,
            ..new
        })
    }
}

/// Moves a part to a place in a new mapping; what does not move is unmapped. Returns
/// whether there is still memory at the place. Not where the program has had the kernel
/// treat some of the part in another way: then the place may be another thread's by now.
fn replace(part: Span, place: usize) -> bool {
    // SAFETY: the part was taken out, and nobody knows of the new mapping yet.
    let moved = unsafe { memory::remap_to(part.address, part.length, part.length, place) };
    match moved {
        // Both were charged.
        Ok(()) => limit::uncharge(part.length),
        Err(_) => {
            unmap_all(&[part]);
        }
    }
    moved != Err(MoveError::Split)
}
