//! Mappings for large blocks, and what is charged for them.

use super::kept::release_kept;
use super::{Mapping, filled};
use crate::pages::fresh::{self, Purpose};
use crate::pages::seams::Seams;
use crate::pages::{limit, zone};

/// The alignment at which the kernel can back memory with huge pages.
const HUGE: usize = 2 << 20;

/// Maps `length` bytes at a multiple of `alignment`, a power of two, if need be
/// in the place of what is kept, in huge pages if the program's blocks have
/// earned them.
pub(super) fn map(length: usize, alignment: usize) -> Option<Mapping> {
    if filled::earns_huge_pages(length) {
        let huge = map_pages(length, alignment.max(HUGE), true);
        return huge.or_else(|| map_pages(length, alignment, false));
    }
    let mapping = map_pages(length, alignment, false)?;
    filled::note_mapped(mapping.address, length);
    Some(mapping)
}

/// The same in pages, to be made of others.
pub(super) fn map_in_pages(length: usize) -> Option<Mapping> {
    map_pages(length, 1, false)
}

fn map_pages(length: usize, alignment: usize, huge: bool) -> Option<Mapping> {
    let address = map_once(length, alignment, huge).or_else(|| {
        if release_kept() > 0 {
            map_once(length, alignment, huge)
        } else {
            None
        }
    })?;
    Some(Mapping {
        address,
        length,
        clean: true,
        seams: Seams::NONE,
    })
}

/// Charges bytes to the limit; at the soft one, what is free goes before. The
/// caller holds no lock.
pub(super) fn charge(bytes: usize) -> bool {
    if limit::is_above_soft(bytes) {
        zone::lock().purge();
        release_kept();
    }
    limit::charge(bytes)
}

fn map_once(length: usize, alignment: usize, huge: bool) -> Option<usize> {
    if !charge(length) {
        return None;
    }
    let mapped = fresh::map_aligned(length, alignment, Purpose::Large(huge));
    if mapped.is_err() {
        limit::uncharge(length);
    }
    mapped.ok()
}

/// Changes a mapping's length, and what is charged for it.
///
/// # Safety
///
/// As for [`fresh::remap`].
pub(super) unsafe fn remap(address: usize, old: usize, new: usize) -> Option<usize> {
    if new > old && !charge(new - old) {
        return None;
    }
    // SAFETY: as the caller promises.
    let moved = unsafe { fresh::remap(address, old, new) };
    match moved {
        Ok(_) => limit::uncharge(old.saturating_sub(new)),
        Err(_) => limit::uncharge(new.saturating_sub(old)),
    }
    moved.ok()
}
