//! Guarded memory, for keys and passwords: runs and mappings between two
//! inaccessible pages, kept out of core dumps, wiped in forked children, and
//! locked as far as they are used.
//!
//! ```text
//!   run in the window, or mapping of its own
//!   | guard |  locked: blocks  |  not locked: not carved yet  | guard |
//!             not dumped, wiped on fork
//! ```
//!
//! A guard is one OS page; what lies between is whole OS pages. To the kernel
//! each part is a mapping, four for a slab, of which a process may have some
//! 65,000 (`vm.max_map_count`).
//!
//! What the kernel refused is kept until somebody tells it, once in the life
//! of the process: the layers above know whether a request fails for it.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::buddy::{PageIndex, Run, UNIT_PAGES};
use super::fresh;
use super::limit;
use super::stranded;
use super::window::{self, PAGE};
use super::wipe::wipe;
use super::zone::{self, Lease};
use crate::os::memory;
use crate::os::process;
use crate::os::protect::{self, Call, Locking, Refused};
use crate::text::Text;

/// The length of a guard in bytes.
fn guard_bytes() -> usize {
    memory::page_size().max(PAGE)
}

/// The pages of the two guards of a run.
pub fn guard_pages() -> u32 {
    (2 * guard_bytes() / PAGE) as u32
}

/// Takes a run of at least `pages` pages, aligned to `alignment` pages (a power
/// of two), between two guards; nothing of it is locked yet. `None`: it would
/// be longer than a run can be, or there is no memory, or the kernel refused.
pub fn take(pages: u32, alignment: u32) -> Option<Lease> {
    let guard = guard_pages() / 2;
    let pages = pages.checked_next_multiple_of(guard)?;
    let lead = alignment.max(guard);
    let whole = lead.checked_add(pages)?.checked_add(guard)?;
    if whole > UNIT_PAGES {
        return None;
    }
    let lease = zone::lock().take_outside_pools(whole, lead)?;
    let outer = lease.run.first;
    let surplus = lead - guard;
    if surplus > 0 {
        // SAFETY: these pages were taken above, and nobody has had them.
        unsafe { zone::lock().put_back(outer, surplus) };
    }
    let inner = Lease {
        run: Run {
            first: PageIndex(outer.0 + lead),
            pages,
            clean: lease.run.clean,
        },
        guarded: true,
        ..lease
    };
    // SAFETY: the run was taken above, and nobody knows it yet.
    match unsafe { enclose(range_of(&inner)) } {
        Ok(()) => Some(inner),
        Err(refused) => {
            note(refused);
            // SAFETY: as above.
            unsafe { give(inner, 0) };
            None
        }
    }
}

/// Gives a run of [`take`]'s back to the zone, wiped as far as it was written
/// to, its first `dirty` pages, and mapped anew.
///
/// # Safety
///
/// As for `Zone::give`.
pub unsafe fn give(lease: Lease, dirty: u32) {
    let guard = guard_pages() / 2;
    let outer = Lease {
        run: Run {
            first: PageIndex(lease.run.first.0 - guard),
            pages: lease.run.pages + 2 * guard,
            clean: true,
        },
        guarded: false,
        ..lease
    };
    let whole = range_of(&outer);
    // SAFETY: the run is the caller's, and its contents are dead.
    unsafe {
        wipe(range_of(&lease).start, dirty as usize * PAGE);
        let huge = zone::lock().is_coarse(outer.run.first);
        if fresh::renew(whole.start, whole.len(), huge) {
            zone::lock().give(outer, 0);
        }
        // Otherwise others must not have it: it stays taken for good. That
        // takes a process at the limit of its mappings, or of its memory.
    }
}

/// Maps `length` bytes, whole OS pages, at a multiple of `alignment`, a power
/// of two, between two guards, and locks them. `None`: no memory, or the
/// kernel refused.
pub fn map(length: usize, alignment: usize, locking: Locking) -> Option<usize> {
    let guard = guard_bytes();
    let alignment = alignment.max(guard);
    let whole = length
        .checked_add(2 * guard)?
        .checked_add(alignment - guard)?;
    if !limit::charge(length) {
        return None;
    }
    let Ok(start) = memory::map(whole) else {
        limit::uncharge(length);
        return None;
    };
    let address = (start + guard).next_multiple_of(alignment);
    let (before, behind) = (
        address - guard - start,
        start + whole - address - length - guard,
    );
    // SAFETY: all of it was mapped above, and nobody knows it yet.
    let done = unsafe {
        if before > 0 {
            stranded::unmap(start, before);
        }
        if behind > 0 {
            stranded::unmap(address + length + guard, behind);
        }
        enclose(address..address + length).and_then(|()| protect::lock(address, length, locking))
    };
    if let Err(refused) = done {
        note(refused);
        // SAFETY: as above.
        unsafe { unmap(address, 0, length) };
        return None;
    }
    Some(address)
}

/// Wipes the first `dirty` bytes of a mapping of [`map`]'s and unmaps it, with
/// its guards.
///
/// # Safety
///
/// The mapping is the caller's, and nobody uses it any more.
pub unsafe fn unmap(address: usize, dirty: usize, length: usize) {
    let guard = guard_bytes();
    // SAFETY: as the caller promises.
    unsafe {
        wipe(address, dirty);
        let whole = (address - guard, length + 2 * guard);
        // At the limit of mappings a guard that was joined with a neighbour's
        // cannot go. What lies between them is a mapping of its own.
        if !memory::unmap(whole.0, whole.1) && !memory::unmap(address, length) {
            // Its addresses are nobody's then, and have no memory.
            protect::unlock(address, length);
            fresh::purge(address, length);
        }
    }
    limit::uncharge(length);
}

/// Locks the OS pages of a range of guarded memory, but for one that the range
/// does not begin: that is locked already. Returns whether it was done.
///
/// # Safety
///
/// The range lies in guarded memory of the caller's, which is locked up to it
/// and not from there on.
#[must_use]
pub unsafe fn lock(range: Range<usize>, locking: Locking) -> bool {
    let os_page = memory::page_size();
    let from = range.start.next_multiple_of(os_page);
    let to = range.end.next_multiple_of(os_page);
    if from >= to {
        return true;
    }
    // SAFETY: as the caller promises.
    match unsafe { protect::lock(from, to - from, locking) } {
        Ok(()) => true,
        Err(refused) => {
            note(refused);
            false
        }
    }
}

fn range_of(lease: &Lease) -> Range<usize> {
    let start = window::address_of(lease.run.first);
    start..start + lease.run.pages as usize * PAGE
}

/// Makes guarded memory of a range that has room for guards at both ends.
///
/// # Safety
///
/// Range and guards are the caller's, and nobody uses them.
unsafe fn enclose(inner: Range<usize>) -> Result<(), Refused> {
    let guard = guard_bytes();
    // SAFETY: as the caller promises.
    unsafe {
        protect::hide(inner.start, inner.len())?;
        protect::guard(inner.start - guard, guard)?;
        protect::guard(inner.end, guard)
    }
}

/// What the kernel refused last: the call's number plus one and the `errno`; 0
/// for nothing.
static REFUSED: AtomicU32 = AtomicU32::new(0);

fn note(refused: Refused) {
    let word = (refused.call as u32 + 1) << 16 | u32::from(refused.errno);
    // Relaxed: the word alone matters.
    REFUSED.store(word, Ordering::Relaxed);
}

/// Forgets what the kernel has refused: there will be another try.
pub fn forget_refusal() {
    REFUSED.store(0, Ordering::Relaxed);
}

/// Says on standard error what the kernel has refused, if it did: one line in
/// the life of the process. The caller holds no lock.
pub fn tell_refusal() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let word = REFUSED.swap(0, Ordering::Relaxed);
    let Some(call) = (word >> 16).checked_sub(1) else {
        return;
    };
    if TOLD.swap(true, Ordering::Relaxed) {
        return;
    }
    let (call, errno) = (Call::ALL[call as usize], (word & 0xffff) as i32);
    let is_lock = matches!(call, Call::Mlock | Call::Mlock2);
    let limit = if is_lock && matches!(errno, libc::ENOMEM | libc::EPERM) {
        protect::lock_limit()
    } else {
        None
    };
    let mut line = Text::<160>::new();
    line.text("bifold: locked heap: ");
    if let Some(limit) = limit {
        line.text("RLIMIT_MEMLOCK of ");
        line.decimal(limit);
        line.text(" bytes is used up\n");
    } else {
        line.text(call.name());
        line.text(" failed: errno ");
        line.decimal(errno as usize);
        line.text("\n");
    }
    process::write_stderr(line.bytes());
}
