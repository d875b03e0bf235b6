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
use super::{Heap, SHARED, mine};
use crate::fatal::die;
use crate::pages::{PAGE, large, window, zone};
use crate::slab::{Kind, Slab, State, UNKNOWN};

/// Looks at the slab of a block that the calling thread has just freed, its
/// own, with which the counter came to zero.
#[cold]
#[inline(never)]
pub(super) fn settle_own(block: *mut u8) {
    let heap = mine();
    let _guard = heap.lock.lock();
    // Another thread may have given the slab back since.
    let Some(slab) = Slab::of(window::base(), block as usize) else {
        return;
    };
    if slab.holder() != heap.id() || slab.kind() == Kind::Run {
        return;
    }
    match slab.state() {
        State::Current => heap.look_at_current(slab, block),
        State::Full => heap.wake(slab),
        State::Listed => {}
    }
    if slab.state() == State::Listed && heap.give_back_if_free(slab) {
        large::note_freed(block as usize);
    }
}

impl Heap {
    /// Counts the current slab's free blocks and gives it back if that is
    /// all of them and more than a page is in use.
    fn look_at_current(&'static self, slab: &'static Slab, block: *mut u8) {
        // The calling thread is the owner, so nobody changes the list.
        let Some(free) = slab.count_free() else {
            lost_mark(block);
            return;
        };
        let live = slab.carved() - free;
        if live == 0 && slab.carved() as usize * slab.size() > PAGE && slab.tries().get() == 0 {
            self.unset_current(slab.class());
            slab.arm(0, 0);
            self.list(slab);
            return;
        }
        // Next time later: walking must stay cheap beside freeing.
        let tries = slab.tries().get().min(8);
        slab.tries().set(tries + 1);
        let pause = if tries == 0 { 16 } else { (slab.carved() / 8).max(16) << tries };
        slab.arm(live.max(pause), UNKNOWN);
    }

    /// Puts a full slab of which enough has been freed on the list.
    fn wake(&'static self, slab: &'static Slab) {
        slab.arm(slab.handed_out(), 0);
        // A slab that is on its way to the inbox comes from there.
        if slab.remote().unset_full() {
            self.list(slab);
        }
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
        slab.arm(slab.handed_out(), 0);
        self.list(slab);
        self.give_back_if_free(slab);
    }

    /// Gives a listed slab back if all its blocks are free. The caller holds
    /// the lock; any thread may.
    pub(super) fn give_back_if_free(&'static self, slab: &'static Slab) -> bool {
        debug_assert_eq!(slab.state(), State::Listed);
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
        self.unlist(slab);
        self.give_back(slab);
        true
    }

    /// Gives a slab that is on no list of the heap's but the one of all back
    /// to the zone.
    pub(super) fn give_back(&'static self, slab: &'static Slab) {
        self.disown(slab);
        let (lease, dirty) = slab.take_down();
        // SAFETY: no block of the slab is in use, no list has it, and it is
        // in no inbox: a queued slab is never listed.
        unsafe { zone::lock().give(lease, dirty) };
    }
}

/// Puts a queued slab in its holder's inbox, whoever that is by now.
pub(super) fn announce(slab: &'static Slab) {
    let sent = Heap::from_id(slab.holder()).is_some_and(|holder| holder.inbox.push(slab));
    if !sent {
        // The holder's thread is dying, and its slabs go to the shared heap,
        // whose inbox is never closed.
        SHARED.inbox.push(slab);
    }
}
