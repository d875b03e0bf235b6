//! Memory from the kernel as the options want it, and back to it: locked,
//! resident from the start, in huge pages or out of them.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};

use super::stranded;
use super::window::PAGE;
use crate::options::{self, Advice, HugePages, Id, Lock};
use crate::os::memory::{self, MapError, Purging};
use crate::os::process;
use crate::os::protect::{self, Locking};
#[cfg(feature = "valgrind")]
use crate::os::valgrind;
use crate::text::Text;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Page map, descriptors, bits.
    Metadata,
    /// Blocks; `true`: in huge pages.
    Blocks(bool),
    /// A block that is a mapping of its own; `true`: in huge pages.
    Large(bool),
    /// Heaps and tables outside the window, a mapping each.
    Table,
}

/// Where the kernel says what it does about transparent huge pages.
pub const HUGE_PAGE_MODE: &CStr = c"/sys/kernel/mm/transparent_hugepage/enabled";

/// The least length at which huge pages are worth a word: shorter mappings
/// hold none.
const HUGE: usize = 2 << 20;

/// Whether the kernel's huge pages are of the length that the zone counts on, 2 MiB.
/// With OS pages of 16 and 64 KiB they are 32 and 512 MiB long, as much as many a
/// program has, and who has not asked for them gets none.
pub fn are_huge_pages_short() -> bool {
    memory::huge_page_size() <= HUGE
}

/// Maps `length` bytes at exactly `address`.
///
/// # Errors
///
/// As for [`memory::map_at`]; [`MapError::Refused`], too, where the memory
/// should be locked and can't be.
#[cfg_attr(bifold_faults, track_caller)]
pub fn map_at(address: usize, length: usize, purpose: Purpose) -> Result<(), MapError> {
    memory::map_at(address, length)?;
    settle(address, length, purpose)
}

/// Maps `length` bytes where the kernel likes.
///
/// # Errors
///
/// As for [`map_at`].
#[cfg_attr(bifold_faults, track_caller)]
pub fn map(length: usize, purpose: Purpose) -> Result<usize, MapError> {
    let address = memory::map(length)?;
    settle(address, length, purpose)?;
    Ok(address)
}

/// Maps `length` bytes at a multiple of `alignment`, a power of two. What has to
/// be mapped besides goes before the options are looked at: it may be far longer,
/// and must be neither resident nor locked.
///
/// # Errors
///
/// As for [`map_at`].
pub fn map_aligned(length: usize, alignment: usize, purpose: Purpose) -> Result<usize, MapError> {
    let slack = alignment.saturating_sub(memory::page_size());
    let whole = length.checked_add(slack).ok_or(MapError::Refused)?;
    let mapped = memory::map(whole)?;
    let address = mapped.next_multiple_of(alignment);
    let before = address - mapped;
    // SAFETY: both parts are of the mapping made above.
    unsafe {
        if before > 0 {
            stranded::unmap(mapped, before);
        }
        if slack > before {
            stranded::unmap(address + length, slack - before);
        }
    }
    settle(address, length, purpose)?;
    Ok(address)
}

/// Changes the length of a large block's mapping.
///
/// # Errors
///
/// As for [`memory::remap`].
///
/// # Safety
///
/// As for [`memory::remap`].
pub unsafe fn remap(address: usize, old: usize, new: usize) -> Result<usize, MapError> {
    // SAFETY: as the caller promises.
    let moved = unsafe { memory::remap(address, old, new) }?;
    if new > old && options::prefault() {
        // SAFETY: the pages behind the old length are new, and the caller's.
        unsafe { memory::populate(moved + old, new - old) };
    }
    Ok(moved)
}

/// Does with a new mapping what the options want, or unmaps it.
pub(super) fn settle(address: usize, length: usize, purpose: Purpose) -> Result<(), MapError> {
    #[cfg(feature = "valgrind")]
    tell_valgrind(address, length, purpose);
    advise(address, length, purpose);
    if let Some(locking) = locking() {
        // SAFETY: the mapping is new; locking it changes no contents.
        if let Err(refused) = unsafe { protect::lock(address, length, locking) } {
            refuse_unlocked(refused.errno.into());
            // SAFETY: the mapping was made a moment ago and nobody knows it.
            unsafe { stranded::unmap(address, length) };
            return Err(MapError::Refused);
        }
    }
    if options::prefault() {
        // SAFETY: the mapping is new and reads as zero, as it does afterwards.
        unsafe { memory::populate(address, length) };
    }
    Ok(())
}

/// Nothing in new memory is the program's before it is a block.
#[cfg(feature = "valgrind")]
fn tell_valgrind(address: usize, length: usize, purpose: Purpose) {
    if !matches!(purpose, Purpose::Large(_)) {
        valgrind::forbid(address, length);
    }
}

/// Maps a range of blocks' memory anew, as clean as it was at first. Returns
/// whether it is what the options want; if not, nobody may have it.
///
/// # Safety
///
/// As for [`protect::renew`].
pub unsafe fn renew(address: usize, length: usize, huge: bool) -> bool {
    // SAFETY: as the caller promises.
    if !unsafe { protect::renew(address, length) } {
        return false;
    }
    advise(address, length, Purpose::Blocks(huge));
    // SAFETY: as above.
    locking().is_none_or(|locking| unsafe { protect::lock(address, length, locking) }.is_ok())
}

/// Whether a new mapping is resident at once.
#[cfg(not(feature = "hardened"))]
pub fn touches_new_mappings() -> bool {
    options::prefault() || locking().is_some()
}

/// How all memory is locked.
fn locking() -> Option<Locking> {
    match options::lock() {
        Lock::No => None,
        Lock::Now => Some(Locking::AtOnce),
        Lock::OnFault => Some(Locking::OnFault),
    }
}

/// Tells the kernel where huge pages are wanted. It may know no such thing.
fn advise(address: usize, length: usize, purpose: Purpose) {
    let wanted = match (options::thp(), purpose) {
        (HugePages::System, _)
        | (HugePages::Adaptive, Purpose::Large(false))
        | (_, Purpose::Table) => return,
        (HugePages::Always | HugePages::Adaptive, Purpose::Large(_)) => true,
        (HugePages::Always | HugePages::Adaptive, Purpose::Blocks(huge)) => huge,
        (HugePages::Never, _) | (_, Purpose::Metadata) => false,
    };
    // Spans become one mapping, and so all of them must be told.
    if matches!(purpose, Purpose::Blocks(_)) || length >= HUGE {
        memory::advise_huge(address, length, wanted);
    }
}

/// Tells the kernel that a region of metadata, which has become this long by
/// short pieces, is to stay out of huge pages.
pub fn advise_region(address: usize, length: usize) {
    advise(address, length, Purpose::Metadata);
}

/// Says once that memory is refused because it can't be locked.
#[cold]
fn refuse_unlocked(errno: i32) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if SAID.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut line = Text::<160>::new();
    line.text("bifold: BIFOLD_LOCK: ");
    let is_short = matches!(errno, libc::ENOMEM | libc::EAGAIN | libc::EPERM);
    if let Some(limit) = protect::lock_limit().filter(|_| is_short) {
        line.text("RLIMIT_MEMLOCK of ");
        line.decimal(limit);
        line.text(" bytes is used up");
    } else {
        line.text("mlock or mlock2 fails with errno ");
        line.decimal(errno as usize);
    }
    line.text("; memory is refused\n");
    process::write_stderr(line.bytes());
}

/// Gives the physical pages of a range back. Returns whether the kernel took
/// them.
///
/// # Safety
///
/// As for [`memory::purge`].
#[cfg_attr(bifold_faults, track_caller)]
pub unsafe fn purge(address: usize, length: usize) -> bool {
    let how = if options::lock() != Lock::No {
        Purging::Locked
    } else if options::purge_advice() == Advice::Free {
        Purging::Lazy
    } else {
        Purging::Now
    };
    // SAFETY: as the caller promises.
    unsafe { memory::purge(address, length, how) }
}

/// Whether what [`purge`] has taken reads as zero.
pub fn purged_reads_zero() -> bool {
    options::lock() != Lock::No || options::purge_advice() == Advice::DontNeed
}

/// Whether pages are made resident some at a time.
#[inline]
pub fn faults_around() -> bool {
    options::fault_around() > memory::page_size().max(PAGE)
}

/// How many pages are resident of a run, of which so many at its start have
/// been touched.
pub fn resident_with(touched: usize) -> usize {
    touched.next_multiple_of(options::fault_around().max(PAGE) / PAGE)
}

/// Makes pages resident before they are touched one by one: of the memory from
/// `start` to `end`, the whole steps of `fault_around` that begin between
/// `from` and `to`; but for OS pages that are not wholly in there.
///
/// # Safety
///
/// The memory is the caller's.
#[cold]
pub unsafe fn fault_around(start: usize, end: usize, from: usize, to: usize) {
    let os_page = memory::page_size();
    let step = options::fault_around().next_multiple_of(os_page);
    let first = start + (from - start).next_multiple_of(step);
    if first < to {
        let last = (start + (to - start).next_multiple_of(step)).min(end);
        let (first, last) = (first.next_multiple_of(os_page), last / os_page * os_page);
        if first < last {
            // SAFETY: as the caller promises.
            unsafe { memory::populate(first, last - first) };
        }
    }
}

/// Makes the pages of a block resident that reads as zero. A page that is read
/// before it is written is the kernel's one page of zeros at first, and the
/// write is a second fault, for which in a process of several threads every
/// other CPU is interrupted to forget the first.
///
/// # Safety
///
/// The block is the caller's, and at least `size` bytes long.
pub unsafe fn touch(block: *mut u8, size: usize) {
    /// Fewer whole pages are touched one by one.
    const TOGETHER: usize = 4;
    let (start, end) = (block as usize, block as usize + size);
    let page = memory::page_size();
    let (first, last) = (start.next_multiple_of(page), end & !(page - 1));
    // SAFETY: only bytes of the block, which are zero already, are written.
    unsafe {
        if last.saturating_sub(first) < TOGETHER * page {
            for offset in (0..size).step_by(page) {
                block.add(offset).write_volatile(0);
            }
        } else {
            memory::populate(first, last - first);
            block.write_volatile(0);
        }
        if size > 0 {
            block.add(size - 1).write_volatile(0);
        }
    }
}

/// Whether the options ask for something at the start of the process.
pub fn is_wanted_at_start() -> bool {
    options::verbose()
        || options::prefault()
        || [Id::reserve, Id::hugetlb_2m, Id::hugetlb_1g]
            .into_iter()
            .any(|id| options::value(id) > 0)
}
