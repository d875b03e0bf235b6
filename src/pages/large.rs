//! Large requests: each an anonymous mapping of its own.
//!
//! A request above the mmap threshold is rounded up to OS pages and mapped;
//! no header, so the block starts on a page. `realloc` moves page tables
//! instead of bytes.
//!
//! [`threshold`] says which requests, [`mapping`] maps, [`kept`] has the freed
//! mappings that stay for a moment, `gather` makes new ones of them, `filled` says
//! which get huge pages; in a hardened build `fenced` stands for these three.

#[cfg(any(test, debug_assertions))]
mod check;
#[cfg(feature = "hardened")]
mod fenced;
mod filled;
#[cfg(not(feature = "hardened"))]
mod gather;
mod kept;
mod mapping;
mod threshold;

use super::buddy::UNIT_PAGES;
use super::guarded;
use super::peak::RecentPeak;
use super::seams::Seams;
pub use super::table::Entry;
use super::table::{EMPTY, Recent, Table};
use super::window::PAGE;
use crate::options::{self, Id, TABLE};
use crate::os::protect::Locking;
use crate::os::{memory, process};
use crate::sync::{Lock, Locked};

use kept::{KEPT, Kept, NOTHING, Span, unmap_all};
#[cfg(not(feature = "hardened"))]
use kept::{keep_or_unmap, take_kept};
#[cfg(not(feature = "hardened"))]
use mapping::{map, remap};
use threshold::adapt;

#[cfg(any(test, debug_assertions))]
pub use check::check;
pub use kept::{release_kept, tick};
pub use threshold::threshold;

/// How many entries are copied at a time, onto what may be a short stack.
const AT_ONCE: usize = 8;

/// The longest request that can be a run, in bytes.
pub const RUN_MAX: usize = UNIT_PAGES as usize * PAGE;

struct Large {
    table: Table,
    recent: Recent,
    kept: [Kept; KEPT],
    /// Bytes in live blocks, the most they have been, and their recent peak.
    live: usize,
    most: usize,
    /// Seams in live blocks.
    seams: usize,
    peak: RecentPeak,
    /// Blocks freed since the last second without any.
    churn: usize,
    last_free: u64,
    /// When [`tick`] was last called.
    last_tick: u64,
    /// The addresses of freed mappings; see `fenced`.
    #[cfg(feature = "hardened")]
    away: [fenced::Span; fenced::AWAY],
    #[cfg(feature = "hardened")]
    oldest_away: usize,
}

static LARGE: Locked<Large> = Locked::new(Large {
    table: Table::new(),
    recent: Recent::new(),
    kept: [NOTHING; KEPT],
    live: 0,
    most: 0,
    seams: 0,
    peak: RecentPeak::new(),
    churn: 0,
    last_free: 0,
    last_tick: 0,
    #[cfg(feature = "hardened")]
    away: [fenced::NOWHERE; fenced::AWAY],
    #[cfg(feature = "hardened")]
    oldest_away: 0,
});

impl Large {
    fn insert(&mut self, entry: Entry) {
        self.count_in(entry);
        self.note_peak(process::coarse_milliseconds());
        self.table.insert(entry);
    }

    fn count_in(&mut self, entry: Entry) {
        self.live += entry.length;
        self.most = self.most.max(self.live);
        self.seams += entry.seams.count();
    }

    fn count_out(&mut self, entry: Entry) {
        self.live -= entry.length;
        self.seams -= entry.seams.count();
    }

    fn remove(&mut self, address: usize) -> Option<Entry> {
        let entry = self.table.remove(address)?;
        self.count_out(entry);
        Some(entry)
    }

    fn note_peak(&mut self, now: u64) -> usize {
        self.peak.note(self.live, now / options::purge_delay())
    }
}

/// A mapping for a large block.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// Where the block starts.
    pub address: usize,
    /// Its bytes.
    pub length: usize,
    /// Whether it reads as zero.
    pub clean: bool,
    /// Where the kernel's mappings meet in it.
    seams: Seams,
}

/// Goes by the options from now on.
pub fn start() {
    // Addresses that were given back are no pointers to what is there by now.
    #[cfg(feature = "valgrind")]
    crate::os::valgrind::forbid(&raw const LARGE as usize, size_of_val(&LARGE));
    threshold::start();
}

/// The lock of the large blocks itself, for fork.
pub fn raw_lock() -> &'static Lock {
    LARGE.raw()
}

/// Whether so many blocks are large that no more should be.
pub fn are_too_many() -> bool {
    let most = options::mmap_max();
    // The usual number is more than the kernel lets a process have.
    most < TABLE[Id::mmap_max as usize].default as usize && LARGE.lock().table.len() >= most
}

/// Maps a block of `size` bytes at an address that is a multiple of
/// `alignment`, a power of two. `None`: out of memory.
pub fn allocate(size: usize, alignment: usize, holder: usize) -> Option<Mapping> {
    let length = memory::round_to_pages(size.max(1))?;
    let mapping = map_block(length, alignment)?;
    let Mapping {
        address,
        length,
        seams,
        ..
    } = mapping;
    let entered = enter(Entry {
        address,
        length,
        holder,
        guarded: false,
        seams,
        #[cfg(feature = "hardened")]
        requested: length,
    });
    if !entered {
        unmap_block(address, length);
    }
    entered.then_some(mapping)
}

#[cfg(not(feature = "hardened"))]
fn map_block(length: usize, alignment: usize) -> Option<Mapping> {
    let kept = if alignment <= memory::page_size() {
        take_kept(length)
    } else {
        None
    };
    kept.or_else(|| map(length, alignment))
}

#[cfg(not(feature = "hardened"))]
fn unmap_block(address: usize, length: usize) {
    unmap_all(&[Span { address, length }]);
}

#[cfg(feature = "hardened")]
use fenced::{
    map_fenced as map_block, remap_fenced as remap, unmap_fenced as keep_or_unmap,
    unmap_fenced as unmap_block,
};

/// The same for a locked heap: locked, and between guards.
pub fn allocate_guarded(
    size: usize,
    alignment: usize,
    holder: usize,
    locking: Locking,
) -> Option<Mapping> {
    let length = memory::round_to_pages(size.max(1))?;
    let address = guarded::map(length, alignment, locking)?;
    let entered = enter(Entry {
        address,
        length,
        holder,
        guarded: true,
        seams: Seams::NONE,
        #[cfg(feature = "hardened")]
        requested: length,
    });
    if !entered {
        // SAFETY: nobody else knows the mapping yet.
        unsafe { guarded::unmap(address, 0, length) };
    }
    entered.then_some(Mapping {
        address,
        length,
        clean: true,
        seams: Seams::NONE,
    })
}

/// Makes a new mapping a block. Returns whether there was memory for that.
fn enter(entry: Entry) -> bool {
    let mut large = LARGE.lock();
    let has_room = large.table.reserve();
    if has_room {
        large.insert(entry);
    }
    has_room
}

/// The large block at an address.
pub fn find(address: usize) -> Option<Entry> {
    LARGE.lock().table.get(address)
}

/// Notes how many bytes were asked for of the large block at an address.
#[cfg(feature = "hardened")]
pub fn set_requested(address: usize, size: usize) {
    LARGE.lock().table.set_requested(address, size);
}

/// Whether the address was given back not long ago.
pub fn freed_recently(address: usize) -> bool {
    LARGE.lock().recent.has(address)
}

/// Notes that a block of whatever kind was given back and its address is no
/// block's any more, so that a second free can be called by its name.
pub fn note_freed(address: usize) {
    LARGE.lock().recent.note(address);
}

/// Frees the large block at an address. Returns `false`, and does nothing,
/// where there is none.
pub fn free(address: usize) -> bool {
    let Some(entry) = ({
        let mut large = LARGE.lock();
        let entry = large.remove(address);
        if entry.is_some() {
            large.recent.note(address);
        }
        entry
    }) else {
        return false;
    };
    if !entry.guarded {
        adapt(entry.length);
    }
    release(entry);
    true
}

/// Gives up the mapping of a block that is none any more.
fn release(entry: Entry) {
    if entry.guarded {
        // SAFETY: the entry was the block's, and whoever took it out frees it.
        unsafe { guarded::unmap(entry.address, entry.length, entry.length) };
    } else {
        #[cfg(not(feature = "hardened"))]
        filled::note_freed(entry.address, entry.length);
        #[cfg(not(feature = "hardened"))]
        keep_or_unmap(entry.address, entry.length, entry.seams);
        #[cfg(feature = "hardened")]
        keep_or_unmap(entry.address, entry.length);
    }
}

/// Changes the length of the large block at an address, in place or by
/// moving its pages. Returns where it is now; `None`: there is no such block
/// or no memory, and nothing has changed. Guarded ones have one length.
pub fn resize(address: usize, size: usize) -> Option<usize> {
    let length = memory::round_to_pages(size)?;
    // The entry goes out first: once the pages have moved, the old address
    // may be another thread's new mapping.
    let entry = {
        let mut large = LARGE.lock();
        let entry = large.table.get(address)?;
        debug_assert!(!entry.guarded);
        if entry.length == length {
            return Some(address);
        }
        large.count_out(entry);
        large.table.take_out(address)?
    };
    // SAFETY: the entry was the block's, and the caller gives the block up.
    let changed = unsafe { remap_entry(entry, length) };
    let mut large = LARGE.lock();
    let now = changed.unwrap_or(entry);
    large.count_in(now);
    large.table.put_back(now);
    let moved = changed?.address;
    if moved != address {
        large.recent.note(address);
    }
    Some(moved)
}

/// Changes the length of a block's mapping, of which the kernel knows but one part at a
/// time where it has seams. Returns what the block is then; `None`: nothing has changed.
///
/// # Safety
///
/// As for [`fresh::remap`](super::fresh::remap).
unsafe fn remap_entry(entry: Entry, length: usize) -> Option<Entry> {
    if entry.seams.count() == 0 {
        // SAFETY: as the caller promises.
        let address = unsafe { remap(entry.address, entry.length, length) }?;
        return Some(Entry {
            address,
            length,
            seams: entry.seams.of_remapped(entry.address, address),
            ..entry
        });
    }
    if length > entry.length {
        return None;
    }
    unmap_all(&[Span {
        address: entry.address + length,
        length: entry.length - length,
    }]);
    Some(Entry {
        length,
        seams: entry.seams.before(length),
        ..entry
    })
}

/// Frees every large block of a holder.
pub fn free_all_of(holder: usize) {
    let mut from = 0;
    loop {
        let mut large = LARGE.lock();
        let Some(entry) = large.table.remove_of(holder, &mut from) else {
            return;
        };
        large.count_out(entry);
        drop(large);
        release(entry);
    }
}

/// What the large blocks are, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many blocks.
    pub blocks: usize,
    /// Their bytes.
    pub live: usize,
    /// Bytes of freed mappings that are kept.
    pub kept: usize,
    /// The most that `live` has been.
    pub most: usize,
    /// Where the table of them lies: its address and bytes.
    pub table: (usize, usize),
}

/// What the large blocks are.
pub fn figures() -> Figures {
    let large = LARGE.lock();
    Figures {
        blocks: large.table.len(),
        live: large.live,
        kept: large.kept.iter().map(|kept| kept.length).sum(),
        most: large.most,
        table: large.table.storage(),
    }
}

/// Calls `each` with the address and the bytes of every mapping, live or kept,
/// without the lock: by then one or another may be gone.
pub fn for_each_mapping(mut each: impl FnMut(usize, usize)) {
    let kept = LARGE.lock().all_kept();
    for kept in kept.iter().filter(|kept| kept.address != 0) {
        each(kept.address, kept.length);
    }
    let mut from = 0;
    loop {
        let mut entries = [EMPTY; AT_ONCE];
        let count = LARGE.lock().table.copy(&mut from, &mut entries);
        if count == 0 {
            return;
        }
        for entry in &entries[..count] {
            each(entry.address, entry.length);
        }
    }
}
