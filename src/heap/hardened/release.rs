//! free: what is checked, and where the block goes.

use super::{canary, is_hollow};
use crate::fatal::{die, end};
use crate::heap::settle::settle_own;
use crate::heap::{Heap, Kind, lookup, mine, remote, tick};
use crate::options::harden::{Measure, has};
use crate::pages::{due, large, window};
use crate::slab::{Kind as SlabKind, Slab, Standing};
use crate::sync::atomic::{AtomicBool, Ordering, fence};

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
    unsafe { release(address, ANY) }
}

/// Frees a block of which `size` bytes were asked for.
///
/// # Safety
///
/// As for [`free`]; another size ends the process, too.
#[inline(always)]
pub unsafe fn free_sized(address: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { release(address, size) }
}

/// The same; builds that are not hardened have two.
///
/// # Safety
///
/// As for [`free_sized`].
#[inline(always)]
pub unsafe fn free_tested(address: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { release(address, size) }
}

/// # Safety
///
/// As for [`free`].
#[inline(never)]
unsafe fn release(address: *mut u8, size: usize) {
    let block = address as usize;
    let Some(slab) = Slab::of(window::base(), block) else {
        return release_large(address, size);
    };
    if !slab.kind().is_slab() {
        return release_run(slab, address, size);
    }
    if !slab.is_medium_block(block) {
        return end("free of an invalid pointer", block);
    }
    let heap = mine();
    if slab.is_not_held_by(heap.id()) {
        // SAFETY: the address is a block.
        if !unsafe { slab.claim(block) } {
            return not_live(slab, block);
        }
        // SAFETY: the address is a block, whose free has begun here.
        unsafe { clear(slab, block, size) };
        return retire_elsewhere(heap, slab, block);
    }
    // SAFETY: the slab is the calling thread's, and the address is a block.
    if !unsafe { slab.release(block) } {
        return not_live(slab, block);
    }
    // SAFETY: as above.
    unsafe {
        check_neighbour(slab, block);
        clear(slab, block, size);
        retire(heap, slab, block);
    }
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
    let length = slab.size();
    if is_hollow(length) {
        return check_size(block, 0, size);
    }
    // SAFETY: as the caller promises.
    unsafe {
        if has(Measure::Canary) {
            check_size(block, canary::check(block, length), size);
        }
        // A secret is wiped whatever the measures.
        if has(Measure::Zero) || slab.is_guarded() {
            (block as *mut u8).write_bytes(0, length);
        }
    }
}

#[inline(always)]
fn check_size(block: usize, size: usize, said: usize) {
    if said != size && said != ANY {
        wrong_size(block);
    }
}

#[cold]
#[inline(never)]
fn wrong_size(block: usize) {
    end("free with a wrong size", block);
}

/// Checks the end of the block before this one: who writes before the start of
/// a block writes there.
///
/// # Safety
///
/// The caller is the slab's owner.
#[inline(always)]
unsafe fn check_neighbour(slab: &Slab, block: usize) {
    let length = slab.size();
    if block == slab.start() || is_hollow(length) {
        return;
    }
    let before = block - length;
    // SAFETY: it is a block of the slab's; only its contents may change now,
    // when another thread frees it.
    let end_is = |live| unsafe { canary::is_well(before, length, live) };
    match slab.standing(before) {
        Standing::Live if !end_is(true) => {
            // Pairs with the one in `Slab::claim`: who has seen a block being
            // zeroed sees that it is being freed.
            fence(Ordering::Acquire);
            if slab.standing(before) == Standing::Live {
                written_before(block);
            }
        }
        Standing::Free if !end_is(false) => written_before(block),
        Standing::Waiting if !end_is(false) && !has_lost_threads() => written_before(block),
        _ => {}
    }
}

#[cold]
#[inline(never)]
fn written_before(block: usize) {
    end("write before the start of a block", block);
}

/// Puts a block of the thread's own in quarantine, and makes another free.
///
/// # Safety
///
/// The slab is the calling thread's, and the free of the block has begun.
#[inline(always)]
unsafe fn retire(heap: &'static Heap, slab: &'static Slab, block: usize) {
    if !has(Measure::Quarantine) {
        return finish_own(slab, block);
    }
    let out = heap.exchange(slab, block);
    if out != 0 {
        finish(out);
    }
    if due::is_pending() {
        come_by(heap);
    }
}

/// Gives back what is due, every few frees. Of what comes out of quarantine little
/// is of a current slab, whose counter would see to that.
#[cold]
#[inline(never)]
fn come_by(heap: &Heap) {
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
        finish(out);
    }
}

/// Ends the free of a block that was in quarantine.
#[inline(always)]
fn finish(block: usize) {
    // SAFETY: a block in quarantine is in a slab, which stays until it is out.
    let slab = unsafe { Slab::of_known(window::base(), block) };
    if slab.is_not_held_by(mine().id()) {
        remote::hand_back(slab, block);
    } else {
        finish_own(slab, block);
    }
}

#[inline(always)]
fn finish_own(slab: &'static Slab, block: usize) {
    // SAFETY: the slab is the calling thread's, and the free has begun.
    if unsafe { slab.make_free(block) } {
        settle_own(block as *mut u8);
    }
}

impl Heap {
    #[inline(always)]
    fn exchange(&self, slab: &Slab, block: usize) -> usize {
        let random = || self.hardening.random.byte();
        self.hardening
            .quarantine
            .exchange(block, slab.size(), random)
    }

    /// Lets all blocks go that wait in the heap's quarantine. The caller holds
    /// no lock, and is the heap's thread, or that does not exist any more.
    pub(in crate::heap) fn end_quarantine(&self) {
        self.hardening.quarantine.empty(finish);
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
        die("write beyond the end of a block", block);
    }
}
