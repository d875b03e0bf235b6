//! Blocks whose frees are watched: something is done to their contents first.
//!
//! No fast path frees them, so that all others pay nothing: a slab of
//! [`Kind::Watched`] has no owner, and comes here by its kind.

use super::fast::freed_twice;
use super::lookup::{Found, is_free};
use super::{lookup, perturb, remote};
use crate::pages::wipe::wipe;
use crate::slab::{Kind, Slab};

/// Frees an address in the window that is in no ordinary slab or run.
#[cold]
#[inline(never)]
pub(super) fn free(slab: &'static Slab, address: *mut u8) {
    match slab.kind() {
        Kind::WatchedRun => {
            if slab.is_block(address as usize) && !slab.is_guarded() {
                // SAFETY: the address is a run of that size, which its user
                // gives up.
                unsafe { perturb::fill_freed(address, slab.size()) };
            }
            remote::free_run(address);
        }
        Kind::Watched if slab.is_block(address as usize) => free_watched(slab, address),
        // A block from before the fork: its contents are gone already, and its
        // slab has had its last block.
        Kind::Wiped if slab.is_block(address as usize) => {}
        _ => lookup::free_outside(address),
    }
}

fn free_watched(slab: &'static Slab, address: *mut u8) {
    // What is free already is neither wiped nor put on a list again.
    if is_free(slab, address) {
        return freed_twice(address);
    }
    // SAFETY: the address is a block of that size, which its user gives up.
    unsafe {
        if slab.is_guarded() {
            wipe(address as usize, slab.size());
        } else {
            perturb::fill_freed(address, slab.size());
        }
    }
    remote::free_remote(slab, address);
}

/// Wipes what a block that stays where it is does not need any more, if it is
/// a secret's.
///
/// # Safety
///
/// The block is the caller's, who gives up what is behind `size` bytes.
pub(super) unsafe fn shorten(found: Found, block: *mut u8, size: usize) {
    if found.home().is_some() {
        let rest = found.usable() - size;
        // SAFETY: as the caller promises.
        unsafe { wipe(block as usize + size, rest) };
    }
}
