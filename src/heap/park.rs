//! Parking: trim takes the pages of a slab that a live thread has as its
//! current one and does not use.
//!
//! The thread may be anywhere in its fast path, but only in one: it has read
//! which slab is current, and is about to pop its first block. So another
//! thread, which holds the heap's lock,
//!
//! ```text
//! 1. sees that all blocks of the slab are free,
//! 2. takes the slab out of the heap's words, so that the next malloc comes
//!    to the slow path and waits for the lock,
//! 3. has the kernel put a barrier into every running thread (membarrier(2)):
//!    from now on at most one pop is under way, of the list's first block,
//! 4. sees that all blocks are free still, and swaps the list for a mark,
//! 5. purges all pages but that block's, if the swap found the block there.
//! ```
//!
//! The slab stays the heap's. When the thread wants it again it finds out
//! whether that one pop took place: then the mark is gone, either found gone
//! by the swap or overwritten after it. The thread is the only one that takes
//! blocks from the slab, so nothing is taken before it has looked.

use core::ptr;

use super::{Heap, Kind};
use crate::os::{memory, process};
use crate::pages::{PAGE, fresh};
use crate::size_class::SizeClass;
use crate::slab::{Emptied, Slab, State};

impl Heap {
    /// Parks the current slabs of another thread's heap that are wholly free.
    /// Returns the bytes purged. The caller holds the lock.
    pub(super) fn park_idle(&'static self) -> usize {
        // Without keys the fast path knows one end of a list only.
        let possible = cfg!(feature = "checks") && process::has_barrier();
        if self.kind() != Kind::Thread || self.is_mine() || !possible {
            return 0;
        }
        let idle = |class: &SizeClass| {
            let slab = self.current(*class);
            self.has_current(*class) && self.parked(*class).is_none() && slab.is_all_free()
        };
        let mut any = false;
        for class in SizeClass::all().filter(idle) {
            let slab = self.current(class);
            self.unset_current(class);
            self.park(class, slab);
            any = true;
        }
        if !any || !process::barrier() {
            // Without the barrier nothing is known: leave them parked, with
            // their pages; the thread unparks them when it needs them.
            return 0;
        }
        SizeClass::all()
            .filter_map(|class| self.parked(class))
            .map(Slab::empty_parked)
            .sum()
    }

    fn park(&self, class: SizeClass, slab: &'static Slab) {
        slab.set_state(State::Parked);
        self.parked[class.index()].set(slab);
    }

    /// The parked slab of a class.
    pub(super) fn parked(&self, class: SizeClass) -> Option<&'static Slab> {
        // SAFETY: descriptors are never unmapped.
        unsafe { self.parked[class.index()].get().as_ref() }
    }

    /// Takes the parked slab of a class back, on no list and with an exact
    /// count. The caller holds the lock and is the heap's thread, or the
    /// thread does not exist any more.
    pub(super) fn unpark(&self, class: SizeClass) -> Option<&'static Slab> {
        let slab = self.parked(class)?;
        self.parked[class.index()].set(ptr::null());
        slab.refill_parked();
        Some(slab)
    }
}

impl Slab {
    fn is_all_free(&self) -> bool {
        let free = self.count_free().unwrap_or(0);
        free + self.remote().count() == self.carved()
    }

    /// Step 4 and 5. Returns the bytes purged.
    fn empty_parked(&'static self) -> usize {
        if self.is_emptied() {
            return 0;
        }
        let Some(Emptied { first, end }) = self.empty_list() else {
            return 0;
        };
        let os_page = memory::page_size().max(PAGE);
        // Whole OS pages of this slab, without those of the first block.
        let (from, to) = (
            self.start().next_multiple_of(os_page),
            end / os_page * os_page,
        );
        let keep = match first {
            Some(block) => (
                block / os_page * os_page,
                (block + self.size()).next_multiple_of(os_page),
            ),
            None => (to, to),
        };
        let purge = |from: usize, to: usize| {
            // SAFETY: the pages are of blocks that are free, and no thread
            // takes them before it has the lock.
            if from < to && unsafe { fresh::purge(from, to - from) } {
                to - from
            } else {
                0
            }
        };
        purge(from, keep.0.min(to)) + purge(keep.1.max(from), to)
    }
}
