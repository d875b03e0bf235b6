//! Large requests: each an anonymous mapping of its own.
//!
//! A request above the mmap threshold is rounded up to OS pages and mapped;
//! no header, so the block starts on a page. `realloc` moves page tables
//! instead of bytes. A few freed mappings are kept for a moment, bounded in
//! number, bytes and age, because mapping and touching again costs far more
//! than either.
//!
//! The threshold adapts as glibc's does (mallopt(3), `M_MMAP_THRESHOLD`): a
//! freed mapping raises it to its size, up to [`ADAPTIVE_MAX`], since a program
//! that frees such blocks is likely to want more of them. A threshold that
//! somebody set stays.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::buddy::UNIT_PAGES;
use super::fresh::Purpose;
use super::guarded;
use super::peak::RecentPeak;
pub use super::table::Entry;
use super::table::{EMPTY, Recent, Table};
use super::window::PAGE;
use super::{due, fresh, limit, zone};
use crate::options::{self, Id, Purge, TABLE};
use crate::os::protect::Locking;
use crate::os::{memory, process};
use crate::sync::{Lock, Locked};

/// The longest request that can be a run, in bytes.
pub const RUN_MAX: usize = UNIT_PAGES as usize * PAGE;
/// The highest that the threshold becomes by itself. Longer runs come and go
/// at lengths that do not fit each other, and cost more memory than they save
/// in system calls.
const ADAPTIVE_MAX: usize = 512 << 10;

/// Kept mappings: how many, and how old in milliseconds. How many bytes they
/// may have, with the live ones, is the recent peak of those.
const KEPT: usize = 16;
const KEPT_AGE: u64 = 500;
/// The rest of a kept mapping stays kept if it has so many bytes.
const REST_LEAST: usize = 64 << 10;
/// How many must be freed, with no longer pauses in milliseconds, before any
/// is kept.
const CHURN_LEAST: usize = 4;
const CHURN_PAUSE: u64 = 1000;

static THRESHOLD: AtomicUsize =
    AtomicUsize::new(TABLE[Id::mmap_threshold as usize].default as usize);
static ADAPTIVE: AtomicBool = AtomicBool::new(true);

/// A mapping that was freed and is still there.
#[derive(Clone, Copy)]
struct Kept {
    address: usize,
    length: usize,
    since: u64,
}

impl Kept {
    fn is_old(&self, now: u64) -> bool {
        self.address != 0
            && now.wrapping_sub(self.since) > KEPT_AGE
            && options::purge() != Purge::Never
    }
}

const NOTHING: Kept = Kept {
    address: 0,
    length: 0,
    since: 0,
};

struct Large {
    table: Table,
    recent: Recent,
    kept: [Kept; KEPT],
    /// Bytes in live blocks, the most they have been, and their recent peak.
    live: usize,
    most: usize,
    peak: RecentPeak,
    /// Blocks freed since the last second without any.
    churn: usize,
    last_free: u64,
}

static LARGE: Locked<Large> = Locked::new(Large {
    table: Table::new(),
    recent: Recent::new(),
    kept: [NOTHING; KEPT],
    live: 0,
    most: 0,
    peak: RecentPeak::new(),
    churn: 0,
    last_free: 0,
});

impl Large {
    fn insert(&mut self, entry: Entry) {
        self.count_in(entry.length);
        self.note_peak(process::coarse_milliseconds());
        self.table.insert(entry);
    }

    fn count_in(&mut self, bytes: usize) {
        self.live += bytes;
        self.most = self.most.max(self.live);
    }

    fn remove(&mut self, address: usize) -> Option<Entry> {
        let entry = self.table.remove(address)?;
        self.live -= entry.length;
        Some(entry)
    }

    /// Bytes that kept mappings may have, when one more has been freed. A
    /// program that frees a few and goes on to something else keeps none.
    fn allowance(&mut self, now: u64) -> usize {
        if now.wrapping_sub(self.last_free) > CHURN_PAUSE {
            self.churn = 0;
        }
        self.last_free = now;
        self.churn += 1;
        if self.churn < CHURN_LEAST {
            return 0;
        }
        if options::purge() == Purge::Now {
            return 0;
        }
        self.note_peak(now) - self.live
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
    /// Whether it reads as zero.
    pub clean: bool,
}

/// The lock of the large blocks itself, for fork.
pub fn raw_lock() -> &'static Lock {
    LARGE.raw()
}

/// Requests above this many bytes are large.
#[inline]
pub fn threshold() -> usize {
    // Relaxed: a request near the threshold may go either way.
    THRESHOLD.load(Ordering::Relaxed)
}

/// Goes by the options from now on: a threshold that is set no longer adapts,
/// nor does it where one of those is set that glibc takes for a sign that
/// somebody tunes (mallopt(3)). With a reserve, what fits in there is to be
/// taken from there.
pub fn start() {
    let signs = [Id::mmap_threshold, Id::mmap_max, Id::growth, Id::spare];
    let has_reserve = options::reserve() > 0;
    if has_reserve || signs.into_iter().any(options::is_set) {
        ADAPTIVE.store(false, Ordering::Relaxed);
    }
    let threshold = if has_reserve && !options::is_set(Id::mmap_threshold) {
        RUN_MAX
    } else {
        options::mmap_threshold()
    };
    if !ADAPTIVE.load(Ordering::Relaxed) {
        THRESHOLD.store(threshold, Ordering::Relaxed);
    }
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
    let mapping = if alignment <= memory::page_size() {
        take_kept(length).or_else(|| map(length))
    } else {
        map_aligned(length, alignment)
    }?;
    let entered = enter(Entry {
        address: mapping.address,
        length,
        holder,
        guarded: false,
    });
    if !entered {
        unmap_all(&[Kept {
            address: mapping.address,
            length,
            since: 0,
        }]);
    }
    entered.then_some(mapping)
}

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
    });
    if !entered {
        // SAFETY: nobody else knows the mapping yet.
        unsafe { guarded::unmap(address, 0, length) };
    }
    entered.then_some(Mapping {
        address,
        clean: true,
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

fn map(length: usize) -> Option<Mapping> {
    let address = map_once(length).or_else(|| {
        if release_kept() > 0 {
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
unsafe fn remap(address: usize, old: usize, new: usize) -> Option<usize> {
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
fn map_aligned(length: usize, alignment: usize) -> Option<Mapping> {
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

/// Makes a mapping of this length of one that is kept: of the shortest that is
/// long enough, whose rest stays kept, or of the longest, if that is half of
/// it. Pages that are resident cost far less than new ones.
fn take_kept(length: usize) -> Option<Mapping> {
    let mut large = LARGE.lock();
    let long_enough = large.kept.iter_mut().filter(|kept| kept.length >= length);
    if let Some(kept) = long_enough.min_by_key(|kept| kept.length) {
        let address = kept.address;
        let rest = Kept {
            address: address + length,
            length: kept.length - length,
            ..*kept
        };
        let is_worth_it = rest.length >= REST_LEAST;
        *kept = if is_worth_it { rest } else { NOTHING };
        drop(large);
        if !is_worth_it && rest.length > 0 {
            unmap_all(&[rest]);
        }
        return Some(Mapping {
            address,
            clean: false,
        });
    }
    let longest = large.kept.iter_mut().max_by_key(|kept| kept.length)?;
    if longest.length < length / 2 {
        return None;
    }
    let kept = core::mem::replace(longest, NOTHING);
    drop(large);
    // SAFETY: what was kept was taken out, and is nobody's now.
    match unsafe { remap(kept.address, kept.length, length) } {
        Some(address) => Some(Mapping {
            address,
            clean: false,
        }),
        None => {
            unmap_all(&[kept]);
            None
        }
    }
}

/// The large block at an address.
pub fn find(address: usize) -> Option<Entry> {
    LARGE.lock().table.get(address)
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
        keep_or_unmap(entry.address, entry.length);
    }
}

fn adapt(length: usize) {
    if length <= ADAPTIVE_MAX && length > threshold() && ADAPTIVE.load(Ordering::Relaxed) {
        THRESHOLD.store(length, Ordering::Relaxed);
    }
}

/// Keeps a mapping for a while, at the expense of older ones.
fn keep_or_unmap(address: usize, length: usize) {
    let now = process::coarse_milliseconds();
    let mut leaving = [NOTHING; KEPT + 1];
    let mut large = LARGE.lock();
    let allowance = large.allowance(now);
    // There are few, so that looking at each is as good as an order.
    let mut bytes = length;
    let (mut oldest, mut least) = (0, u64::MAX);
    for (i, (kept, leaving)) in large.kept.iter_mut().zip(&mut leaving).enumerate() {
        if kept.is_old(now) || bytes + kept.length > allowance {
            *leaving = core::mem::replace(kept, NOTHING);
        }
        bytes += kept.length;
        if kept.since < least {
            (oldest, least) = (i, kept.since);
        }
    }
    let newest = Kept {
        address,
        length,
        since: now,
    };
    leaving[KEPT] = if length <= allowance {
        core::mem::replace(&mut large.kept[oldest], newest)
    } else {
        newest
    };
    drop(large);
    if length <= allowance {
        request_tick(now);
    }
    unmap_all(&leaving);
}

/// Has [`tick`] called when what is kept since then is old, which it never
/// becomes where nothing is purged.
fn request_tick(since: u64) {
    if options::purge() != Purge::Never {
        due::request(since + KEPT_AGE + 1);
    }
}

/// Unmaps the mappings that have been kept for long.
pub fn tick(now: u64) {
    let mut leaving = [NOTHING; KEPT];
    let mut large = LARGE.lock();
    let mut youngest = None;
    for (kept, leaving) in large.kept.iter_mut().zip(&mut leaving) {
        if kept.is_old(now) {
            *leaving = core::mem::replace(kept, NOTHING);
        } else if kept.address != 0 {
            youngest = youngest.max(Some(kept.since));
        }
    }
    drop(large);
    if let Some(since) = youngest {
        request_tick(since);
    }
    unmap_all(&leaving);
}

/// Unmaps what was kept and was taken out; returns the bytes.
fn unmap_all(leaving: &[Kept]) -> usize {
    let leaving = leaving.iter().filter(|kept| kept.address != 0);
    leaving.fold(0, |bytes, kept| {
        // SAFETY: the mapping was given up and nobody has it any more.
        unsafe { memory::unmap(kept.address, kept.length) };
        limit::uncharge(kept.length);
        bytes + kept.length
    })
}

/// Unmaps every kept mapping. Returns the bytes.
pub fn release_kept() -> usize {
    let kept = core::mem::replace(&mut LARGE.lock().kept, [NOTHING; KEPT]);
    unmap_all(&kept)
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
        large.live -= entry.length;
        large.table.take_out(address)?
    };
    // SAFETY: the entry was the block's, and the caller gives the block up.
    let moved = unsafe { remap(address, entry.length, length) };
    let mut large = LARGE.lock();
    let entry = match moved {
        Some(address) => Entry {
            address,
            length,
            ..entry
        },
        None => entry,
    };
    large.count_in(entry.length);
    large.table.put_back(entry);
    let moved = moved?;
    if moved != address {
        large.recent.note(address);
    }
    Some(moved)
}

/// Frees every large block of a holder.
pub fn free_all_of(holder: usize) {
    let mut from = 0;
    loop {
        let mut large = LARGE.lock();
        let Some(entry) = large.table.remove_of(holder, &mut from) else {
            return;
        };
        large.live -= entry.length;
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
    let kept = LARGE.lock().kept;
    for kept in kept.iter().filter(|kept| kept.address != 0) {
        each(kept.address, kept.length);
    }
    let mut from = 0;
    loop {
        let mut entries = [EMPTY; KEPT];
        let count = LARGE.lock().table.copy(&mut from, &mut entries);
        if count == 0 {
            return;
        }
        for entry in &entries[..count] {
            each(entry.address, entry.length);
        }
    }
}
