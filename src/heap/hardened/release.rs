//! free: what is checked, and where the block goes.

use super::{Hardening, canary, is_hollow, zero};
use crate::fatal::{die, end};
use crate::heap::settle::settle_own;
use crate::heap::{Heap, Kind, lookup, mine, remote, tick};
use crate::options::harden::{Measure, Measures, has, measures};
use crate::pages::{due, large, window};
use crate::size_class::GRAIN;
use crate::slab::{Kind as SlabKind, Mark, Slab, Standing};
use crate::sync::atomic::{AtomicBool, Ordering, fence};

/// What a write behind a block is called.
pub(super) const BEYOND: &str = "write beyond the end of a block";

/// Stands for a size that nobody says.
const ANY: usize = usize::MAX;

/// Frees a block; null is nothing to free.
///
/// # Safety
///
/// Nobody uses the block any more. What is not a block, was freed before or
/// written beyond, ends the process with a message.
#[inline(always)]
pub unsafe fn free(address: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { release::<false>(address, ANY) }
}

/// Frees a block of which `size` bytes were asked for.
///
/// # Safety
///
/// As for [`free`]; another size ends the process, too.
#[inline(always)]
pub unsafe fn free_sized(address: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { release::<true>(address, size) }
}

/// The same; builds that are not hardened have two.
///
/// # Safety
///
/// As for [`free_sized`].
#[inline(always)]
pub unsafe fn free_tested(address: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { release::<true>(address, size) }
}

/// The path of most blocks, those of the thread's own slabs, saves no register:
/// whatever calls is a function of its own, and the last thing that is done. Where
/// the size is not `SAID`, any will do.
///
/// # Safety
///
/// As for [`free`].
#[inline(never)]
unsafe fn release<const SAID: bool>(address: *mut u8, size: usize) {
    let size = if SAID { size } else { ANY };
    let (base, block) = (window::base(), address as usize);
    if window::is_outside(base, block) {
        return release_large(address, size);
    }
    // SAFETY: the address is in the window.
    let slab = unsafe { Slab::of_known(base, block) };
    let heap = mine();
    if slab.is_not_held_by(heap.id()) {
        // SAFETY: as the caller promises.
        return unsafe { release_elsewhere(slab, address, size) };
    }
    // Of a thread's heap there are slabs only, no runs.
    debug_assert!(slab.kind().is_slab());
    let Some(mark) = slab.find_mark(block) else {
        return end("free of an invalid pointer", block);
    };
    // SAFETY: the slab is the calling thread's, and the mark is a block's.
    if !unsafe { slab.release(mark) } {
        return not_live(slab, block);
    }
    let (length, measures) = (slab.size(), measures());
    // SAFETY: as above, and the free of the block has begun.
    unsafe {
        // Shorter ones are hollow.
        let is_short = (2 * GRAIN..=zero::SHORT).contains(&length);
        if !is_short || !has_plain_neighbour(slab, mark, block, length) {
            return end_release(slab, block, size);
        }
        if let Err(what) = check_end(block, length, size, measures) {
            return what.end(block);
        }
        if measures.has(Measure::Zero) {
            zero::fill(block, length);
        }
        retire(heap, slab, block, length, measures);
    }
}

/// The rest of [`release`] for blocks that take longer, or have no memory, or a
/// neighbour that must be looked at.
///
/// # Safety
///
/// The slab is the calling thread's, and the free of the block has begun.
#[inline(never)]
unsafe fn end_release(slab: &'static Slab, block: usize, size: usize) {
    let (length, mark) = (slab.size(), slab.mark(block));
    // SAFETY: as the caller promises.
    unsafe {
        if !is_hollow(length) && !has_plain_neighbour(slab, mark, block, length) {
            check_neighbour(slab, mark, block, length);
        }
        clear(slab, block, size);
        retire(mine(), slab, block, length, measures());
    }
}

/// Frees what the calling thread has not in a slab of its own.
///
/// # Safety
///
/// As for [`free`].
#[inline(never)]
unsafe fn release_elsewhere(slab: &'static Slab, address: *mut u8, size: usize) {
    let block = address as usize;
    if !slab.kind().is_slab() {
        return release_run(slab, address, size);
    }
    let Some(mark) = slab.find_mark(block) else {
        return end("free of an invalid pointer", block);
    };
    // SAFETY: the mark is a block's, whose free begins here.
    unsafe {
        if !slab.claim(mark) {
            return not_live(slab, block);
        }
        clear(slab, block, size);
    }
    retire_elsewhere(mine(), slab, block);
}

/// Whether this is a forked child whose parent had other threads: each may have
/// been in the middle of a free, whose block is in no quarantine and not clear.
static HAS_LOST_THREADS: AtomicBool = AtomicBool::new(false);

fn has_lost_threads() -> bool {
    HAS_LOST_THREADS.load(Ordering::Relaxed)
}

/// Notes that a fork has left threads behind.
pub(in crate::heap) fn note_lost_threads() {
    HAS_LOST_THREADS.store(true, Ordering::Relaxed);
}

/// Ends the process over a block that the program does not have.
#[cold]
#[inline(never)]
fn not_live(slab: &Slab, block: usize) {
    if slab.is_untouched(block) {
        end("free of an invalid pointer", block);
    } else {
        end("double free", block);
    }
}

/// Checks what is behind a block, and zeroes it.
///
/// # Safety
///
/// The address is a block, whose free has begun here.
#[inline(always)]
unsafe fn clear(slab: &Slab, block: usize, size: usize) {
    let (length, measures) = (slab.size(), measures());
    if is_hollow(length) {
        return check_size(block, 0, size);
    }
    // SAFETY: as the caller promises.
    unsafe {
        if let Err(what) = check_end(block, length, size, measures) {
            return what.end(block);
        }
        // A secret is wiped whatever the measures.
        if measures.has(Measure::Zero) || slab.is_guarded() {
            (block as *mut u8).write_bytes(0, length);
        }
    }
}

/// What is wrong with a block that is being freed.
#[derive(Clone, Copy)]
enum Wrong {
    End,
    Size,
}

impl Wrong {
    /// Ends the process.
    #[cold]
    #[inline(never)]
    fn end(self, block: usize) {
        let what = match self {
            Self::End => BEYOND,
            Self::Size => "free with a wrong size",
        };
        end(what, block);
    }
}

/// Checks what is behind a block of `length` bytes, and the size that is said.
///
/// # Errors
///
/// What is wrong.
///
/// # Safety
///
/// The address is a block, whose free has begun here.
#[inline(always)]
unsafe fn check_end(
    block: usize,
    length: usize,
    size: usize,
    measures: Measures,
) -> Result<(), Wrong> {
    if !measures.has(Measure::Canary) {
        return Ok(());
    }
    // SAFETY: as the caller promises.
    match unsafe { canary::check(block, length) } {
        None => Err(Wrong::End),
        Some(asked) if asked != size && size != ANY => Err(Wrong::Size),
        Some(_) => Ok(()),
    }
}

fn check_size(block: usize, size: usize, said: usize) {
    if said != size && said != ANY {
        Wrong::Size.end(block);
    }
}

/// The block before this one, and its end; `None`: there is none.
///
/// # Safety
///
/// The mark is of a block of the slab's, whose blocks have memory, of `length`
/// bytes each.
#[inline(always)]
unsafe fn before<'a>(
    slab: &'a Slab,
    mark: Mark<'a>,
    block: usize,
    length: usize,
) -> Option<(Mark<'a>, canary::End)> {
    let mark = slab.mark_before(mark)?;
    // SAFETY: it is a block of the slab's; only its contents may change now,
    // when another thread frees it.
    Some((mark, unsafe { canary::End::of(block - length, length) }))
}

/// Whether the end of the block before this one is zero, or a canary, and the block
/// in use: who writes before the start of a block writes there.
///
/// # Safety
///
/// As for [`before`].
#[inline(always)]
unsafe fn has_plain_neighbour(slab: &Slab, mark: Mark<'_>, block: usize, length: usize) -> bool {
    // SAFETY: as the caller promises.
    unsafe { before(slab, mark, block, length) }
        .is_none_or(|(mark, end)| end.is_zero() || slab.has_live(mark) && end.is_canary())
}

/// Looks closer at a neighbour that is none of that.
///
/// # Safety
///
/// As for [`before`], and the caller is the slab's owner.
#[cold]
#[inline(never)]
unsafe fn check_neighbour(slab: &Slab, mark: Mark<'_>, block: usize, length: usize) {
    // SAFETY: as the caller promises.
    let Some((mark, end)) = (unsafe { before(slab, mark, block, length) }) else {
        return;
    };
    let is_broken = !end.is_zero()
        && match slab.standing(mark) {
            Standing::Live if has(Measure::Canary) && !end.is_canary() => {
                // Pairs with the one in `Slab::claim`: who has seen a block being
                // zeroed sees that it is being freed.
                fence(Ordering::Acquire);
                slab.standing(mark) == Standing::Live
            }
            Standing::Free => has(Measure::Zero),
            Standing::Waiting => has(Measure::Zero) && !has_lost_threads(),
            Standing::Live | Standing::Claimed => false,
        };
    if is_broken {
        die("write before the start of a block", block);
    }
}

/// Puts a block of the thread's own in quarantine, and makes another free.
///
/// # Safety
///
/// The slab is the calling thread's, and the free of the block has begun.
#[inline(always)]
unsafe fn retire(
    heap: &'static Heap,
    slab: &'static Slab,
    block: usize,
    length: usize,
    measures: Measures,
) {
    if !measures.has(Measure::Quarantine) {
        return finish_own(slab, block);
    }
    let random = &heap.hardening.random;
    let quarantine = &heap.hardening.quarantine;
    let Some(out) = quarantine.exchange(block, length, || random.byte_at_hand()) else {
        return retire_slowly(heap, block);
    };
    if due::is_pending() {
        return come_by(heap, out);
    }
    if out != 0 {
        finish(heap, out);
    }
}

/// [`retire`] where random bytes must be made.
#[cold]
#[inline(never)]
fn retire_slowly(heap: &'static Heap, block: usize) {
    // SAFETY: it is a block, by the caller.
    let slab = unsafe { Slab::of_known(window::base(), block) };
    come_by(heap, heap.exchange(slab, block));
}

/// Ends the free of what comes out of quarantine, if anything does, and gives back
/// what is due, every few frees. Of what comes out of quarantine little is of a
/// current slab, whose counter would see to that.
#[cold]
#[inline(never)]
fn come_by(heap: &'static Heap, out: usize) {
    if out != 0 {
        finish(heap, out);
    }
    if !due::is_pending() {
        return;
    }
    let frees = heap.hardening.frees.get() + 1;
    let is_time = frees >= tick::cap();
    heap.hardening.frees.set(if is_time { 0 } else { frees });
    if is_time {
        tick::poll();
    }
}

/// Puts a block of another heap's in the thread's quarantine. What belongs to an
/// explicit heap, which may end at any time, goes home at once, and so does what
/// a thread without a heap frees.
#[inline(never)]
fn retire_elsewhere(heap: &'static Heap, slab: &'static Slab, block: usize) {
    let home = Heap::from_id(slab.holder());
    let may_wait =
        heap.kind() == Kind::Thread && home.is_some_and(|home| home.kind() != Kind::Explicit);
    if !may_wait || !has(Measure::Quarantine) {
        return remote::hand_back(slab, block);
    }
    let out = heap.exchange(slab, block);
    if out != 0 {
        finish(heap, out);
    }
}

/// Ends the free of a block that was in the quarantine of the calling thread's heap.
#[inline(always)]
fn finish(heap: &Heap, block: usize) {
    // SAFETY: a block in quarantine is in a slab, which stays until it is out.
    let slab = unsafe { Slab::of_known(window::base(), block) };
    if slab.is_not_held_by(heap.id()) {
        remote::hand_back(slab, block);
    } else {
        finish_own(slab, block);
    }
}

#[inline(always)]
fn finish_own(slab: &'static Slab, block: usize) {
    // SAFETY: the slab is the calling thread's, and the free has begun.
    match unsafe { slab.make_free(block) } {
        Some(false) => {}
        Some(true) => settle_own(block as *mut u8),
        None => finish_claimed(slab, block),
    }
}

/// [`finish_own`] of a block whose free has begun as another thread's.
#[cold]
#[inline(never)]
fn finish_claimed(slab: &'static Slab, block: usize) {
    // SAFETY: as in `finish_own`.
    let is_last = unsafe {
        slab.disclaim(block);
        slab.make_free(block)
    };
    if is_last == Some(true) {
        settle_own(block as *mut u8);
    }
}

impl Heap {
    /// Puts a block in quarantine and returns one that has waited, or 0.
    fn exchange(&self, slab: &Slab, block: usize) -> usize {
        let Hardening {
            random, quarantine, ..
        } = &self.hardening;
        let exchanged = quarantine.exchange(block, slab.size(), || Some(random.byte()));
        exchanged.unwrap_or(0)
    }

    /// Lets all blocks go that wait in the heap's quarantine. The caller holds
    /// no lock, and is the heap's thread, or that does not exist any more.
    pub(in crate::heap) fn end_quarantine(&self) {
        let heap = mine();
        self.hardening.quarantine.empty(|block| finish(heap, block));
    }
}

/// Frees an address in the window that is in no slab that is in use.
#[cold]
#[inline(never)]
fn release_run(run: &'static Slab, address: *mut u8, size: usize) {
    let block = address as usize;
    match run.kind() {
        SlabKind::Run | SlabKind::WatchedRun if run.is_block(block) => {
            let requested = run.requested();
            check_size(block, requested, size);
            // SAFETY: the run is the block's, which its user gives up.
            unsafe {
                check_tail(block, requested, run.size());
                if has(Measure::Zero) && !run.is_guarded() {
                    crate::pages::wipe::wipe(block, run.size());
                }
            }
            remote::free_run(address);
        }
        // A block from before the fork: its contents are gone already, and its
        // slab has had its last block.
        SlabKind::Wiped if run.is_block(block) => {}
        _ => release_large(address, size),
    }
}

/// Frees an address that no slab or run has: null, a large block, or one that
/// must not be freed.
#[cold]
#[inline(never)]
fn release_large(address: *mut u8, size: usize) {
    if let Some(entry) = large::find(address as usize) {
        check_size(entry.address, entry.requested, size);
        // SAFETY: the mapping is the block's, which its user gives up.
        unsafe { check_tail(entry.address, entry.requested, entry.length) };
    }
    lookup::free_outside(address);
}

/// Checks that what is behind a block, to the end of its last page, is zero.
///
/// # Safety
///
/// All of it is the block's.
pub(super) unsafe fn check_tail(block: usize, size: usize, length: usize) {
    if !has(Measure::Canary) {
        return;
    }
    // SAFETY: as the caller promises.
    let tail = unsafe { core::slice::from_raw_parts((block + size) as *const u8, length - size) };
    if tail.iter().fold(0, |any, byte| any | byte) != 0 {
        die(BEYOND, block);
    }
}
