//! Mappings of a hardened build: between two inaccessible pages, never used
//! again, and their addresses not used by others for a while either.
//!
//! ```text
//!   | page |  block ... slack | page |
//! ```

use super::kept::release_kept;
use super::mapping::charge;
use super::{LARGE, Mapping};
use crate::options::harden::{Measure, has};
use crate::os::memory::MoveError;
use crate::os::{memory, protect};
use crate::pages::fresh::{self, Purpose};
use crate::pages::seams::Seams;
use crate::pages::{limit, stranded};

/// How many freed mappings keep their addresses, and the longest that does.
pub(super) const AWAY: usize = 32;
const LONGEST_AWAY: usize = 32 << 20;

/// The addresses of a mapping, with its fences.
#[derive(Clone, Copy)]
pub(super) struct Span {
    start: usize,
    length: usize,
}

pub(super) const NOWHERE: Span = Span {
    start: 0,
    length: 0,
};

impl Span {
    fn around(address: usize, length: usize) -> Self {
        let fence = memory::page_size();
        Self {
            start: address - fence,
            length: length + 2 * fence,
        }
    }

    fn unmap(self) {
        if self.start != 0 {
            // SAFETY: the mapping was given up and nobody has it any more.
            unsafe { give_up(self.start, self.length) };
        }
    }
}

/// Unmaps a range of which parts may be inaccessible, now or later.
///
/// # Safety
///
/// As for [`memory::unmap`].
unsafe fn give_up(address: usize, length: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        if memory::unmap(address, length) {
            return;
        }
        if protect::renew(address, length) {
            stranded::unmap(address, length);
        } else {
            // The addresses are lost, but not the memory.
            fresh::purge(address, length);
        }
    }
}

/// Maps `length` bytes, whole OS pages, at a multiple of `alignment`, a power of
/// two, between two fences.
pub(super) fn map_fenced(length: usize, alignment: usize) -> Option<Mapping> {
    if !charge(length) {
        return None;
    }
    let mapped = place(length, alignment).and_then(|address| {
        let settled = fresh::settle(address, length, Purpose::Large(false));
        if settled.is_err() {
            // The block's own pages have gone already.
            // SAFETY: the fences were put up a moment ago, and nobody has them.
            unsafe { take_down(address, length) };
        }
        settled.ok().map(|()| address)
    });
    let Some(address) = mapped else {
        limit::uncharge(length);
        return None;
    };
    Some(Mapping {
        address,
        length,
        clean: true,
        seams: Seams::NONE,
    })
}

/// Addresses for a block, between two fences, if need be in the place of what is
/// away. What is mapped for the sake of the alignment is neither charged nor made
/// resident.
fn place(length: usize, alignment: usize) -> Option<usize> {
    let fence = memory::page_size();
    let alignment = alignment.max(fence);
    let surplus = alignment - fence;
    let whole = length.checked_add(2 * fence)?.checked_add(surplus)?;
    let map = || memory::map(whole).ok();
    let mapped = map().or_else(|| {
        // What is away has no bytes, but addresses.
        release_kept();
        map()
    })?;
    let address = (mapped + fence).next_multiple_of(alignment);
    let (start, end) = (address - fence, address + length + fence);
    for (from, to) in [(mapped, start), (end, mapped + whole)] {
        if from < to {
            // SAFETY: the part is of the mapping made above.
            unsafe { stranded::unmap(from, to - from) };
        }
    }
    // SAFETY: both pages are of that mapping, too.
    unsafe { put_up(address, length) };
    Some(address)
}

/// Makes the pages inaccessible that are around a block.
///
/// # Safety
///
/// They are the caller's.
unsafe fn put_up(address: usize, length: usize) {
    if has(Measure::Guard) {
        let fence = memory::page_size();
        // SAFETY: as the caller promises.
        unsafe {
            protect::fence(address - fence, fence);
            protect::fence(address + length, fence);
        }
    }
}

/// Unmaps the fences of a block that is gone itself.
///
/// # Safety
///
/// They are the caller's.
unsafe fn take_down(address: usize, length: usize) {
    let fence = memory::page_size();
    // SAFETY: as the caller promises.
    unsafe {
        give_up(address - fence, fence);
        give_up(address + length, fence);
    }
}

/// Gives up the mapping of a block. For a while nobody gets its addresses.
pub(super) fn unmap_fenced(address: usize, length: usize) {
    limit::uncharge(length);
    let span = Span::around(address, length);
    // SAFETY: the mapping is the caller's, and nobody uses it any more.
    let is_away = has(Measure::Quarantine)
        && length <= LONGEST_AWAY
        && unsafe { protect::withdraw(span.start, span.length) };
    if !is_away {
        return span.unmap();
    }
    let mut large = LARGE.lock();
    let oldest = large.oldest_away % AWAY;
    large.oldest_away = oldest + 1;
    let leaving = core::mem::replace(&mut large.away[oldest], span);
    drop(large);
    leaving.unmap();
}

/// Lets the addresses of all freed mappings go. Returns whether there were any.
pub(super) fn release_away() -> bool {
    let away = core::mem::replace(&mut LARGE.lock().away, [NOWHERE; AWAY]);
    away.iter().for_each(|span| span.unmap());
    away.iter().any(|span| span.start != 0)
}

/// Changes the length of a block's mapping: shorter in place, longer elsewhere.
/// Returns where it is; `None`: no memory, and nothing has changed.
///
/// # Safety
///
/// The mapping is the caller's, and nobody uses it at its old address any more.
pub(super) unsafe fn remap_fenced(address: usize, old: usize, new: usize) -> Option<usize> {
    let fence = memory::page_size();
    // SAFETY: as the caller promises; every part is the mapping's.
    unsafe {
        if new <= old {
            if new < old {
                put_up(address, new);
                give_up(address + new + fence, old - new);
                limit::uncharge(old - new);
            }
            return Some(address);
        }
        if !charge(new - old) {
            return None;
        }
        let Some(place) = place_for(address, old, new) else {
            limit::uncharge(new - old);
            return None;
        };
        take_down(address, old);
        Some(place)
    }
}

/// Moves the pages of a block to where it can be longer, between two fences. `None`: no
/// memory, or it is more than one mapping to the kernel, and nothing has changed.
///
/// What is moved is not lengthened by the same call: that may fail after the kernel
/// has unmapped what was at the new place, where another thread then maps something.
///
/// # Safety
///
/// As for [`remap_fenced`].
unsafe fn place_for(address: usize, old: usize, new: usize) -> Option<usize> {
    let fence = memory::page_size();
    let place = place(new, fence)?;
    // SAFETY: all of the place was mapped a moment ago, and nobody else has it.
    let leave = |from: usize, to: usize| unsafe { give_up(from, to - from) };
    let (start, behind, end) = (place - fence, place + old, place + new + fence);
    if fresh::settle(behind, new - old, Purpose::Large(false)).is_err() {
        // That part has gone already.
        leave(start, behind);
        leave(end - fence, end);
        return None;
    }
    // SAFETY: as the caller promises, and the place is ours.
    match unsafe { memory::remap_to(address, old, old, place) } {
        Ok(()) => return Some(place),
        Err(MoveError::Refused) => leave(start, end),
        Err(MoveError::Split) => {
            // What was to be replaced is gone, and may be another thread's by now.
            leave(start, place);
            leave(behind, end);
        }
    }
    None
}
