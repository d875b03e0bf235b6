//! The window: the span of addresses that the heap grows in, and its map.
//!
//! ```text
//!            base - 2 GiB          base - 1 GiB        base      base + pages
//!  ..........|descriptors|units|nodes|page map........|blocks....|.............
//!             mapped from the left     mapped from the   mapped    not mapped
//!             as they are needed       left, in step     in spans  yet
//! ```
//!
//! Nothing is reserved: a span is mapped when it is needed, always at the
//! end of what is mapped, so that limits and figures see only what is used
//! and neighbouring spans are one mapping to the kernel. The page map has a
//! 32-bit entry for every page: the distance from `base` to the descriptor
//! that the page belongs to, negative, or 0. Page 0 of the window is never
//! used, stays zero, and serves entry 0 as the descriptor nobody owns.
//!
//! One subtraction and one unsigned compare tell whether an address has an
//! entry at all, which rejects null, foreign and wild pointers together.

#[cfg(any(test, debug_assertions))]
mod check;

use core::sync::atomic::{AtomicI32, Ordering};

use crossbeam_utils::CachePadded;

use super::PageIndex;
use super::bounds::{Bounds, NOWHERE};
use super::buddy::{MAX_UNITS, NODE_BYTES, NODE_UNITS, UNIT_BYTES, UNIT_PAGES};
use super::fresh::{self, Purpose};
use super::stranded;
use crate::os::memory::{self, MapError};
use crate::os::process;
use crate::sync::folded;

#[cfg(any(test, debug_assertions))]
pub use check::entry_of;

/// bifold's page, whatever the OS page.
pub const PAGE: usize = 4096;
/// The binary logarithm of [`PAGE`].
pub const PAGE_SHIFT: u32 = 12;

const GIB: usize = 1 << 30;
const MAP_BELOW: usize = GIB;
const DESCRIPTORS_BELOW: usize = 2 * GIB;
const NODES_BELOW: usize = MAP_BELOW + (4 << 20);
const UNITS_BELOW: usize = NODES_BELOW + MAX_UNITS * UNIT_BYTES;
/// The length from which on a mapping may hold huge pages.
const HUGE: usize = 2 << 20;
/// Metadata is mapped in pieces of this many bytes; spans in multiples of it.
const STEP: usize = 64 << 10;

/// The places to look for a window, best first: the lowest base, the bits of
/// randomness above it in GiB, the window's pages.
///
/// The first suits 47 address bits and more: far from the places where the
/// kernel puts programs, libraries and mappings, and from those that
/// sanitizers use. The second suits 39 bits, and ThreadSanitizer, which shadows
/// it as a program's own memory.
const PLACES: &[(usize, u32, usize)] = &[
    #[cfg(not(bifold_tsan))]
    (0x1100_0000_0000, 16, 1 << 28),
    (0x10_0000_0000, 6, 1 << 24),
];

static BOUNDS: CachePadded<Bounds> = CachePadded::new(Bounds::new());

/// Whether there is a window.
pub fn is_open() -> bool {
    base() != NOWHERE
}

/// The address of the window's first page.
#[inline(always)]
pub fn base() -> usize {
    BOUNDS.base()
}

/// How many pages from `base` on have an entry in the page map.
#[inline(always)]
pub fn pages() -> usize {
    BOUNDS.pages()
}

/// The descriptor of the page that an address lies in, as an address;
/// `None` outside the mapped part of the window. `base` is [`base`]'s value,
/// which the caller has at hand.
///
/// In a gap, or for a page that is free, it is the window's first page,
/// which reads as zeros.
#[inline(always)]
pub fn descriptor_of(base: usize, address: usize) -> Option<usize> {
    let page = address.wrapping_sub(base) >> PAGE_SHIFT;
    if is_beyond(page) {
        return None;
    }
    // SAFETY: the page is below `pages`.
    Some(unsafe { descriptor_of_known(base, address) })
}

/// [`descriptor_of`] an address that is known to be in the mapped part.
///
/// # Safety
///
/// It is.
#[inline(always)]
pub unsafe fn descriptor_of_known(base: usize, address: usize) -> usize {
    let page = address.wrapping_sub(base) >> PAGE_SHIFT;
    // SAFETY: the page map is mapped for all pages below `pages`. Relaxed:
    // as for `base`.
    let distance = unsafe { folded::entry::<MAP_BELOW>(base, page) };
    base.wrapping_add_signed(distance)
}

/// Whether an address is outside the mapped part of the window. `base` is
/// [`base`]'s value.
#[inline(always)]
pub fn is_outside(base: usize, address: usize) -> bool {
    is_beyond(address.wrapping_sub(base) >> PAGE_SHIFT)
}

/// Whether a page has no entry in the page map.
#[inline(always)]
fn is_beyond(page: usize) -> bool {
    // As in `folded`: the comparison takes its operand from memory.
    #[cfg(all(target_arch = "x86_64", not(bifold_tsan)))]
    {
        // SAFETY: a load of an aligned word, whose place is tested in `bounds`.
        unsafe {
            core::arch::asm!(
                "cmp {page}, qword ptr [rip + {bounds} + 8]",
                "jae {yes}",
                page = in(reg) page,
                bounds = sym BOUNDS,
                yes = label { return true },
                options(nostack, readonly)
            );
        }
        false
    }
    #[cfg(any(not(target_arch = "x86_64"), bifold_tsan))]
    {
        page >= pages()
    }
}

#[inline(always)]
fn entry(base: usize, page: usize) -> *const AtomicI32 {
    (base - MAP_BELOW + page * size_of::<AtomicI32>()) as *const AtomicI32
}

/// Where a page's entry in the page map is.
pub fn map_address(page: usize) -> usize {
    entry(base(), page) as usize
}

/// Makes `pages` pages from `first` on belong to the descriptor at
/// `descriptor`; with `None`, to nobody.
///
/// The caller owns the pages: they are a run it took and has not given back.
pub fn set_descriptor(first: PageIndex, pages: u32, descriptor: Option<usize>) {
    let base = base();
    let distance = descriptor.map_or(0, |address| address.wrapping_sub(base) as isize as i32);
    for page in first.0..first.0 + pages {
        debug_assert!((page as usize) < self::pages());
        // SAFETY: the page map is mapped for all mapped pages.
        let entry = unsafe { &*entry(base, page as usize) };
        entry.store(distance, Ordering::Relaxed);
    }
}

/// The address of a page.
#[inline]
pub fn address_of(page: PageIndex) -> usize {
    base() + ((page.0 as usize) << PAGE_SHIFT)
}

/// The page that an address in the window lies in.
#[inline]
pub fn page_of(address: usize) -> PageIndex {
    PageIndex(((address - base()) >> PAGE_SHIFT) as u32)
}

/// One kind of metadata, mapped from its start on.
struct Region {
    start: usize,
    mapped: usize,
    limit: usize,
}

impl Region {
    const fn nowhere() -> Self {
        Self {
            start: 0,
            mapped: 0,
            limit: 0,
        }
    }

    /// Maps the region up to `bytes` from its start.
    fn reach(&mut self, bytes: usize) -> Result<(), MapError> {
        if bytes <= self.mapped {
            return Ok(());
        }
        if bytes > self.limit {
            return Err(MapError::Refused);
        }
        let more = (bytes - self.mapped).next_multiple_of(STEP);
        fresh::map_at(self.start + self.mapped, more, Purpose::Metadata)?;
        let before = self.mapped;
        self.mapped += more;
        if before < HUGE && self.mapped >= HUGE {
            fresh::advise_region(self.start, self.mapped);
        }
        Ok(())
    }
}

/// The growing side of the window; behind the zone's lock.
pub struct Window {
    limit: usize,
    map: Region,
    descriptors: Region,
    units: Region,
    nodes: Region,
    descriptors_used: usize,
}

impl Window {
    /// No window yet.
    pub const fn none() -> Self {
        Self {
            limit: 0,
            map: Region::nowhere(),
            descriptors: Region::nowhere(),
            units: Region::nowhere(),
            nodes: Region::nowhere(),
            descriptors_used: 0,
        }
    }

    /// Chooses a place and maps the first span and its metadata; the first
    /// page is not for use. Returns the pages mapped.
    ///
    /// # Errors
    ///
    /// [`MapError::Refused`] where there is no memory or no place.
    pub fn open(&mut self, pages: u32) -> Result<u32, MapError> {
        debug_assert!(!is_open());
        let seed = process::random_seed();
        for &(lowest, random_bits, limit) in PLACES {
            for attempt in 0..4u64 {
                let random = (seed >> (random_bits as u64 * attempt % 32)) as usize;
                let base = lowest + (random & ((1 << random_bits) - 1)) * GIB;
                self.place(base, limit);
                let span = (pages as usize) << PAGE_SHIFT;
                match self
                    .cover(pages as usize)
                    .and_then(|()| fresh::map_at(base, span, Purpose::Blocks(false)))
                {
                    Ok(()) => {
                        BOUNDS.open(base, pages as usize);
                        return Ok(pages);
                    }
                    Err(_) => self.undo(),
                }
            }
        }
        Err(MapError::Refused)
    }

    fn place(&mut self, base: usize, limit: usize) {
        let region = |below: usize, limit: usize| Region {
            start: base - below,
            mapped: 0,
            limit,
        };
        self.limit = limit;
        self.map = region(MAP_BELOW, MAP_BELOW);
        self.nodes = region(NODES_BELOW, NODES_BELOW - MAP_BELOW);
        self.units = region(UNITS_BELOW, MAX_UNITS * UNIT_BYTES);
        self.descriptors = region(DESCRIPTORS_BELOW, DESCRIPTORS_BELOW - UNITS_BELOW);
    }

    /// Unmaps what an attempt to open has mapped; nobody knows of it.
    fn undo(&mut self) {
        for (start, mapped) in self.metadata() {
            if mapped > 0 {
                // SAFETY: the region was mapped by `open`, which gives up on it.
                unsafe { stranded::unmap(start, mapped) };
            }
        }
        *self = Self::none();
    }

    /// Maps the metadata of the first `pages` pages.
    fn cover(&mut self, pages: usize) -> Result<(), MapError> {
        let units = pages.div_ceil(UNIT_PAGES as usize);
        self.map.reach(pages * size_of::<AtomicI32>())?;
        self.units.reach(units * UNIT_BYTES)?;
        self.nodes.reach(units.div_ceil(NODE_UNITS) * NODE_BYTES)
    }

    /// The addresses of the units' and the nodes' storage.
    pub fn buddy_storage(&self) -> (usize, usize) {
        (self.units.start, self.nodes.start)
    }

    /// Maps a span of `pages` pages at the end of the window, or beyond
    /// where something else is mapped there, in huge pages if it is to be. Returns
    /// its first page.
    ///
    /// # Errors
    ///
    /// [`MapError::Refused`] where there is no memory or the window is full.
    pub fn grow(&mut self, pages: u32, huge: bool) -> Result<PageIndex, MapError> {
        let map = |address, length| fresh::map_at(address, length, Purpose::Blocks(huge));
        let mut start = self::pages();
        // A stranger's mapping in the window is skipped in growing strides.
        let mut stride = UNIT_PAGES as usize;
        loop {
            match self.grow_at(start, pages as usize, map) {
                Ok(()) => return Ok(PageIndex(start as u32)),
                Err(MapError::Taken) => {
                    start = (start + stride).next_multiple_of(UNIT_PAGES as usize);
                    stride *= 2;
                }
                Err(MapError::Refused) => return Err(MapError::Refused),
            }
        }
    }

    /// Maps a pool of `count` pages of 2^`shift` bytes, `pages` of bifold's
    /// each, at the end of the window; as many of them as there are, in falling
    /// powers of two. Returns its first page and how many there are.
    pub fn grow_pool(
        &mut self,
        count: usize,
        pages: u32,
        shift: u32,
    ) -> Option<(PageIndex, usize)> {
        let pages = pages as usize;
        let map = |address, length| memory::map_hugetlb_at(address, length, shift);
        let start = self::pages().next_multiple_of(pages);
        let (mut got, mut step) = (0, count);
        while step > 0 && got < count {
            step = step.min(count - got);
            // One behind the other: a stranger's mapping ends the pool.
            match self.grow_at(start + got * pages, step * pages, map) {
                Ok(()) => got += step,
                Err(_) => step /= 2,
            }
        }
        (got > 0).then_some((PageIndex(start as u32), got))
    }

    /// Maps pages from `start` on, which is not below the window's end.
    fn grow_at(
        &mut self,
        start: usize,
        pages: usize,
        map: impl Fn(usize, usize) -> Result<(), MapError>,
    ) -> Result<(), MapError> {
        let end = start + pages;
        if end > self.limit {
            return Err(MapError::Refused);
        }
        self.cover(end)?;
        map(base() + (start << PAGE_SHIFT), pages << PAGE_SHIFT)?;
        BOUNDS.reach(end);
        Ok(())
    }

    /// Memory for a new descriptor of `size` bytes, zeroed; never given back.
    pub fn new_descriptor(&mut self, size: usize) -> Option<usize> {
        let end = self.descriptors_used + size;
        self.descriptors.reach(end).ok()?;
        let address = self.descriptors.start + self.descriptors_used;
        self.descriptors_used = end;
        Some(address)
    }

    /// Maps the first `bytes` bytes for descriptors ahead of their use.
    pub fn reserve_descriptors(&mut self, bytes: usize) {
        // What can't be had now is asked for again when it is needed.
        let _ = self.descriptors.reach(bytes);
    }

    /// Where the descriptors start, and how many of `size` bytes there are.
    pub fn descriptors(&self, size: usize) -> (usize, usize) {
        (self.descriptors.start, self.descriptors_used / size)
    }

    /// Where the metadata lies: addresses and bytes mapped.
    pub fn metadata(&self) -> [(usize, usize); 4] {
        let all = [&self.map, &self.descriptors, &self.units, &self.nodes];
        all.map(|region| (region.start, region.mapped))
    }
}

#[cfg(test)]
mod tests;
