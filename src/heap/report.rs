//! Trim, and what else looks at every heap's slabs at once.

use super::{Heap, registry};
#[cfg(not(feature = "hardened"))]
use crate::pages::{PAGE, window};
use crate::pages::{large, limit, zone};
use crate::size_class::SizeClass;
use crate::slab::Slab;
#[cfg(not(feature = "hardened"))]
use crate::slab::State;

/// The blocks of a slab that the program has. The caller holds the lock.
#[cfg(not(feature = "hardened"))]
pub(super) fn live_blocks(slab: &'static Slab) -> usize {
    let handed_out = match slab.state() {
        // The owner may be at it; then the count is of some moment.
        State::Current => slab.carved() - slab.count_free().unwrap_or(0),
        State::Listed | State::Full => slab.handed_out(),
        State::Parked => slab.parked_handed_out(),
    };
    handed_out.saturating_sub(slab.remote().count()) as usize
}

/// The blocks of a slab that the program has. The caller holds the lock.
#[cfg(feature = "hardened")]
pub(super) fn live_blocks(slab: &'static Slab) -> usize {
    slab.count_live() as usize
}

/// Has every heap give its free slabs to the zone, and unmaps the large
/// mappings that are kept: for when memory is short. Returns whether there
/// was any. The caller holds no lock.
pub(super) fn reclaim() -> bool {
    end_quarantine();
    let before = zone::lock().figures().free;
    registry::for_each(Heap::give_back_free_slabs);
    let after = zone::lock().figures().free;
    // What is charged for free runs can pay for something else.
    let purged = limit::is_on() && zone::lock().purge() > 0;
    large::release_kept() > 0 || purged || after > before
}

/// Gives everything that is wholly free back to the kernel, now, from every
/// thread's heap: free slabs, and of others the whole pages in free blocks that
/// hold no link. Returns the bytes.
///
/// Of the slabs from which another thread allocates at the moment it leaves
/// one block's pages each.
pub fn trim() -> usize {
    trim_beyond(0)
}

/// Lets the blocks go that the calling thread keeps back. The caller holds no
/// lock.
fn end_quarantine() {
    #[cfg(feature = "hardened")]
    if super::mine().kind() == super::Kind::Thread {
        super::mine().end_quarantine();
    }
}

/// [`trim`], but for so many bytes that stay.
pub(super) fn trim_beyond(spare: usize) -> usize {
    #[cfg(feature = "valgrind")]
    let _quiet = crate::os::valgrind::Quiet::begin();
    end_quarantine();
    let mut purged = 0;
    #[cfg(debug_assertions)]
    super::check::all();
    registry::for_each(|heap| {
        heap.give_back_free_slabs();
        #[cfg(not(feature = "hardened"))]
        {
            purged += heap.park_idle();
            purged += heap.hollow_free_blocks();
        }
    });
    let mut zone = zone::lock();
    purged += zone.purge_beyond(spare);
    drop(zone);
    purged + large::release_kept()
}

impl Heap {
    /// Gives the slabs that are wholly free to the zone. The caller holds the
    /// lock; what another thread allocates from is left to it.
    ///
    /// Full slabs are not looked at, of which there may be any number: one that is
    /// wholly free has been listed long before.
    pub(super) fn give_back_free_slabs(&'static self) {
        self.drain();
        let may_use_current = self.is_ours_under_lock();
        for class in SizeClass::all() {
            if may_use_current {
                self.list_idle(class);
            }
            for slab in self.all_listed(class) {
                self.give_back_if_free(slab);
            }
        }
    }

    /// Lists a class's parked slab, and its current one if that is wholly free.
    fn list_idle(&'static self, class: SizeClass) {
        #[cfg(not(feature = "hardened"))]
        if let Some(slab) = self.unpark(class) {
            self.list(slab);
        }
        let slab = self.current(class);
        if self.has_current(class) && live_blocks(slab) == 0 {
            self.unset_current(class);
            slab.recount();
            self.list(slab);
        }
    }

    /// Purges what is free of whole pages in slabs that stay. Returns the bytes.
    /// The caller holds the lock; what another thread allocates from is left to
    /// it.
    #[cfg(not(feature = "hardened"))]
    fn hollow_free_blocks(&'static self) -> usize {
        let may_use_current = self.is_ours_under_lock();
        let mut purged = 0;
        // The kernel would make a huge page whole again.
        let has_pages = |slab: &Slab| {
            let first = window::page_of(slab.start());
            zone::lock().split(first, slab.end())
        };
        let mut hollow = |slab: &'static Slab| {
            if slab.has_long_blocks() && has_pages(slab) {
                purged += slab.hollow();
            }
        };
        for class in SizeClass::all().filter(|class| class.size() > PAGE) {
            // A full slab has a free block or two, and there may be any number.
            self.all_listed(class).for_each(&mut hollow);
            if may_use_current && self.has_current(class) {
                hollow(self.current(class));
            }
        }
        purged
    }
}
