//! Mappings for large blocks, and what is charged for them.

use super::Mapping;
use super::kept::release_kept;
use crate::os::memory;
use crate::pages::fresh::{self, Purpose};
use crate::pages::{limit, zone};

/// Maps `length` bytes, if need be in the place of what is kept.
pub(super) fn map(length: usize) -> Option<Mapping> {
    let address = map_once(length).or_else(|| {
        // What is away has no bytes, but addresses.
        if release_kept() > 0 || cfg!(feature = "hardened") {
            map_once(length)
        } else {
            None
        }
    })?;
    Some(Mapping {
        address,
        clean: true,
    })
}

/// Charges bytes to the limit; at the soft one, what is free goes before. The
/// caller holds no lock.
fn charge(bytes: usize) -> bool {
    if limit::is_above_soft(bytes) {
        zone::lock().purge();
        release_kept();
    }
    limit::charge(bytes)
}

fn map_once(length: usize) -> Option<usize> {
    if !charge(length) {
        return None;
    }
    let mapped = fresh::map(length, Purpose::Large);
    if mapped.is_err() {
        limit::uncharge(length);
    }
    mapped.ok()
}

/// Changes a mapping's length, and what is charged for it.
///
/// # Safety
///
/// As for [`memory::remap`].
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

/// Maps more than is needed and unmaps what is outside the aligned part.
pub(super) fn map_aligned(length: usize, alignment: usize) -> Option<Mapping> {
    let slack = alignment - memory::page_size();
    let whole = length.checked_add(slack)?;
    let mapping = map(whole)?;
    let address = mapping.address.next_multiple_of(alignment);
    let before = address - mapping.address;
    // SAFETY: both parts are of the mapping made above.
    unsafe {
        if before > 0 {
            memory::unmap(mapping.address, before);
        }
        if slack > before {
            memory::unmap(address + length, slack - before);
        }
    }
    limit::uncharge(slack);
    Some(Mapping { address, ..mapping })
}
