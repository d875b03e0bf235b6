//! Settling: a slab's counter has come to zero, or its last block was freed
//! by another thread.
//!
//! ```text
//!            list found empty, nothing to cut
//!   Current ---------------------------------> Full
//!      ^                                         | one in 16 freed here:
//!      | needed                                  | counter is zero;
//!      |                                         | one freed elsewhere:
//!   Listed <-------------------------------------  through the inbox
//!      |
//!      | all free: counter is zero, or as many in the remote queue
//!      v
//!   given back to the zone
//! ```
//!
//! While a slab is not current nothing is taken from it, so its count is
//! exact. A current slab's list is walked now and then, ever less often.

use super::fast::lost_mark;
use super::{Heap, SHARED, mine, remote, tick};
#[cfg(not(feature = "hardened"))]
use crate::fatal::die;
use crate::os::process;
use crate::pages::{PAGE, guarded, large, window, zone};
use crate::size_class::SizeClass;
use crate::slab::{Slab, State};

/// Milliseconds for which a class keeps its last slabs, though empty, after it
/// has lost one.
const PARTING_PAUSE: u32 = 10;

/// Looks at the slab of a block that the calling thread has just freed, its
/// own, with which the counter came to zero.
#[cold]
#[inline(never)]
pub(super) fn settle_own(block: *mut u8) {
    let heap = mine();
    match heap.look_at_slab_of(block) {
        // A program that does little comes by with its current slabs alone.
        Some(State::Current) | None => tick::poll(),
        Some(_) => tick::poll_now_and_then(heap),
    }
}

impl Heap {
    /// Does what is to be done about a slab whose counter is zero, and returns where
    /// it stood. `None`: another thread has given it back since.
    fn look_at_slab_of(&'static self, block: *mut u8) -> Option<State> {
        let _guard = self.lock.lock();
        let slab = Slab::of(window::base(), block as usize)
            .filter(|slab| slab.holder() == self.id() && slab.kind().is_slab())?;
        let state = slab.state();
        let is_listed = match state {
            State::Current => self.look_at_current(slab, block),
            State::Listed => self.is_listed_free(slab),
            State::Full => {
                self.wake(slab);
                false
            }
            #[cfg(not(feature = "hardened"))]
            State::Parked => false,
        };
        if is_listed && self.give_back_if_free(slab) {
            large::note_freed(block as usize);
        }
        Some(state)
    }

    /// Counts the current slab's free blocks, unless some are plainly live. If that is
    /// all of them, more than a page is in use and the class has not lost its slab a
    /// moment ago, the slab is listed, ready to be given back.
    fn look_at_current(&'static self, slab: &'static Slab, block: *mut u8) -> bool {
        if slab.rearm_current(tick::cap()) {
            return false;
        }
        #[cfg(not(feature = "hardened"))]
        if let Some(live) = slab.guess_live() {
            self.look_again(slab, live);
            return false;
        }
        // The calling thread is the owner, so nobody changes the list.
        let Some(free) = slab.count_free() else {
            lost_mark(block);
            return false;
        };
        let live = slab.carved() - free;
        if live == 0 && slab.carved() as usize * slab.size() > PAGE && self.may_part(slab.class()) {
            self.unset_current(slab.class());
            slab.arm(0, 0);
            self.list(slab);
            return true;
        }
        self.look_again(slab, live);
        false
    }

    /// Leaves a current slab in which so many blocks are live as it is.
    fn look_again(&self, slab: &Slab, live: u32) {
        slab.tries().set((slab.tries().get() + 1).min(20));
        slab.arm_current(live.max(slab.pause()), tick::cap());
    }

    /// Whether the class may lose its current slab, or its only other one. A
    /// program that fills and empties it in a loop would pay for a new one
    /// each time.
    fn may_part(&self, class: SizeClass) -> bool {
        let now = process::coarse_milliseconds() as u32;
        let parted = &self.parted[class.index()];
        let long_ago = now.wrapping_sub(parted.get()) > PARTING_PAUSE;
        if long_ago {
            parted.set(now);
        }
        long_ago
    }

    /// Puts a full slab of which enough has been freed on the list.
    fn wake(&'static self, slab: &'static Slab) {
        self.rearm(slab);
        if slab.remote().unset_full() {
            self.list(slab);
        } else {
            // It is in the inbox, or on its way there.
            self.drain();
        }
    }

    /// Whether a listed slab of the calling thread's, whose counter is zero,
    /// is wholly free and need not be kept.
    fn is_listed_free(&self, slab: &'static Slab) -> bool {
        if slab.handed_out() > slab.remote().count() {
            self.rearm(slab);
            return false;
        }
        !self.is_only_listed(slab) || self.may_part(slab.class())
    }

    /// Has the counter of a slab that is not current come to zero when it
    /// may be wholly free. Only for a slab of the calling thread's, or of a
    /// heap without a thread: the owner counts down without a lock.
    ///
    /// Where other threads free, too, the counter comes to zero at half of
    /// what is left, so that what they free meanwhile is taken into account:
    /// else the owner's last free would pass unseen.
    pub(super) fn rearm(&self, slab: &'static Slab) {
        debug_assert!(self.is_ours_under_lock());
        let handed_out = slab.handed_out();
        if !remote::others_free() {
            return slab.arm(handed_out, 0);
        }
        let here = handed_out.saturating_sub(slab.remote().count());
        let counter = here.div_ceil(2);
        slab.arm(counter, handed_out - counter);
    }

    /// Takes the slabs out of the inbox to which other threads have freed
    /// blocks. The caller holds the lock.
    pub(super) fn drain(&'static self) {
        for slab in self.inbox.take() {
            self.receive(slab);
        }
    }

    /// Takes one slab that was in an inbox.
    pub(super) fn receive(&'static self, slab: &'static Slab) {
        if slab.holder() != self.id() {
            // The slab has changed hands on the way.
            return announce(slab);
        }
        slab.remote().unset_queued();
        // The counter is the thread's: another one that is at the inbox, to
        // trim or to give a slab back, leaves it as it is.
        if self.is_ours_under_lock() {
            self.rearm(slab);
        }
        self.list(slab);
        self.give_back_if_free(slab);
    }

    /// Gives a listed slab back if all its blocks are free. The caller holds
    /// the lock; any thread may.
    pub(super) fn give_back_if_free(&'static self, slab: &'static Slab) -> bool {
        debug_assert_eq!(slab.state(), State::Listed);
        if !is_wholly_free(slab) {
            return false;
        }
        self.unlist(slab);
        self.give_back(slab);
        true
    }

    /// Gives a slab that is on no list of the heap's but the one of all back
    /// to the zone.
    pub(super) fn give_back(&'static self, slab: &'static Slab) {
        self.disown(slab);
        #[cfg(feature = "hardened")]
        let is_whole = slab.take_down_fence();
        #[cfg(not(feature = "hardened"))]
        let is_whole = true;
        let (lease, dirty) = slab.take_down();
        if !is_whole {
            return;
        }
        // SAFETY: no block of the slab is in use, no list has it, and it is
        // in no inbox: a queued slab is never listed, and an explicit heap's
        // inbox is emptied before its slabs go.
        unsafe {
            if lease.guarded {
                guarded::give(lease, dirty);
            } else {
                zone::lock().give(lease, dirty);
            }
        }
    }
}

/// Whether no block of a listed slab is in use. The caller holds the lock.
#[cfg(not(feature = "hardened"))]
fn is_wholly_free(slab: &Slab) -> bool {
    let remote = slab.remote().count();
    let handed_out = slab.handed_out();
    if handed_out != remote {
        if remote > handed_out {
            die("double free", slab.start());
        }
        return false;
    }
    // The count says that all are free. A double free makes it lie, and
    // then a block that is in use would be handed out again.
    if cfg!(feature = "checks")
        && let Some(block) = slab.find_unfree()
    {
        lost_mark(block as *mut u8);
    }
    true
}

/// Whether no block of a listed slab is in use. The caller holds the lock.
#[cfg(feature = "hardened")]
fn is_wholly_free(slab: &Slab) -> bool {
    slab.is_wholly_free()
}

/// Puts a queued slab in its holder's inbox, whoever that is by now.
pub(super) fn announce(slab: &'static Slab) {
    let sent = Heap::from_id(slab.holder()).is_some_and(|holder| holder.inbox.push(slab));
    if !sent {
        // The holder's slabs are just going to the shared heap, whose inbox
        // is never closed.
        SHARED.inbox.push(slab);
    }
}
