//! Fences of a hardened build: an inaccessible page behind each slab and run, so
//! that who runs over the end of one does not get into the next.
//!
//! Only where the OS page is as long as bifold's: the room that is left for a
//! fence is one of those.

use super::window::PAGE;
use crate::options::harden::{Measure, has};
use crate::os::{memory, protect};

/// Pages that a fence takes.
pub const PAGES: u32 = 1;

/// Makes a range of pages inaccessible. Returns whether it was done.
///
/// # Safety
///
/// The range is the caller's, and nobody uses it.
pub unsafe fn put_up(address: usize, length: usize) -> bool {
    let possible = memory::page_size() <= PAGE && has(Measure::Guard);
    // SAFETY: as the caller promises.
    possible && unsafe { protect::fence(address, length) }
}

/// Makes a range accessible that [`put_up`] has made inaccessible. Returns
/// whether it was done; if not, nobody may have it.
///
/// # Safety
///
/// As for [`put_up`].
pub unsafe fn take_down(address: usize, length: usize) -> bool {
    // SAFETY: as the caller promises.
    unsafe { protect::unfence(address, length) }
}
