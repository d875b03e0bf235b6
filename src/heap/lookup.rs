//! What an address is: which kind of block, or none.

use super::Heap;
use super::remote::invalid;
use super::tick;
use crate::fatal::die;
use crate::pages::large::{self, Entry};
use crate::pages::window;
use crate::slab::{Kind, Slab};

/// A block, by how it was allocated.
#[derive(Clone, Copy)]
pub(super) enum Found {
    /// In a slab.
    Slab(&'static Slab),
    /// A run.
    Run(&'static Slab),
    /// A mapping of its own.
    Large(Entry),
    /// In a slab whose frees are watched, or such a run.
    Watched(&'static Slab),
    /// A mapping of a locked heap's.
    Guarded(Entry),
}

impl Found {
    /// The bytes that the program may use.
    #[cfg(not(feature = "hardened"))]
    pub(super) fn usable(self) -> usize {
        match self {
            Self::Slab(slab) | Self::Run(slab) | Self::Watched(slab) => slab.size(),
            Self::Large(entry) | Self::Guarded(entry) => entry.length,
        }
    }

    /// The locked heap that has the block, which must not leave it.
    pub(super) fn home(self) -> Option<&'static Heap> {
        match self {
            Self::Watched(slab) if slab.is_guarded() => Heap::from_id(slab.holder()),
            Self::Guarded(entry) => Heap::from_id(entry.holder as *mut ()),
            _ => None,
        }
    }
}

/// Finds the block that starts at an address.
#[inline]
pub(super) fn find(address: *mut u8) -> Option<Found> {
    let Some(slab) = Slab::of(window::base(), address as usize) else {
        return find_large(address);
    };
    match slab.kind() {
        // The kernel may put a mapping in a hole of the window.
        Kind::Nothing => find_large(address),
        _ if !slab.is_block(address as usize) => None,
        Kind::Run => Some(Found::Run(slab)),
        Kind::Small | Kind::Medium => Some(Found::Slab(slab)),
        Kind::Watched | Kind::WatchedRun | Kind::Wiped => Some(Found::Watched(slab)),
    }
}

fn find_large(address: *mut u8) -> Option<Found> {
    let entry = large::find(address as usize)?;
    Some(if entry.guarded {
        Found::Guarded(entry)
    } else {
        Found::Large(entry)
    })
}

/// Finds a block, or ends the process with `what` or `twice`.
pub(super) fn find_or_die(address: *mut u8, what: &str, twice: &str) -> Found {
    match find(address) {
        Some(Found::Slab(slab) | Found::Watched(slab)) if is_free(slab, address) => {
            die(twice, address as usize)
        }
        Some(found) => found,
        None => invalid(what, twice, address),
    }
}

/// Whether a block of a slab, or the one that is a run, is free.
#[cfg(feature = "hardened")]
fn is_free(slab: &Slab, address: *mut u8) -> bool {
    slab.kind().is_slab() && !slab.is_live(address as usize)
}

/// Whether a block of a slab is free, as its mark says and a list confirms.
#[cfg(not(feature = "hardened"))]
pub(super) fn is_free(slab: &Slab, address: *mut u8) -> bool {
    // SAFETY: the address is that of a block.
    let marked = unsafe { slab.is_marked(address) };
    marked && slab.has_free(address)
}

/// The bytes that the program may use of a block; 0 for null.
///
/// What is not a block ends the process with a message.
#[inline(always)]
pub fn usable_size(address: *mut u8) -> usize {
    #[cfg(not(feature = "hardened"))]
    if let Some(slab) = Slab::of(window::base(), address as usize)
        && is_unmarked_block(slab, address)
    {
        return slab.size();
    }
    usable_size_elsewhere(address)
}

/// Whether an address is a block of an ordinary slab without the mark of a free one.
#[cfg(not(feature = "hardened"))]
#[inline(always)]
fn is_unmarked_block(slab: &Slab, address: *mut u8) -> bool {
    matches!(slab.kind(), Kind::Small | Kind::Medium)
        && slab.is_medium_block(address as usize)
        // SAFETY: the address is that of a block.
        && !unsafe { slab.is_marked(address) }
}

/// [`usable_size`] of what is no live block of an ordinary slab, or may be none.
#[inline(never)]
fn usable_size_elsewhere(address: *mut u8) -> usize {
    if address.is_null() {
        return 0;
    }
    let found = find_or_die(
        address,
        "malloc_usable_size of an invalid pointer",
        "malloc_usable_size of a freed block",
    );
    #[cfg(feature = "hardened")]
    return super::hardened::requested(found, address);
    #[cfg(not(feature = "hardened"))]
    found.usable()
}

/// Frees an address that no slab or run has: null, a large block, or one that
/// must not be freed.
#[cold]
#[inline(never)]
pub(super) fn free_outside(address: *mut u8) {
    if address.is_null() {
        return;
    }
    if large::free(address as usize) {
        return tick::poll();
    }
    invalid("free of an invalid pointer", "double free", address);
}
