//! Figures over all threads, and trim.

use super::{Heap, registry};
use crate::pages::{PAGE, guarded, large, zone};
use crate::size_class::CLASSES;
use crate::slab::{Kind, Slab, State};

/// What all heaps, the zone and the large blocks have. Other threads go on
/// meanwhile, so sums of parts that change may be off by what they did.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// For each class, the blocks that the program has.
    pub live: [usize; CLASSES],
    /// For each class, the slabs.
    pub slabs: [usize; CLASSES],
    /// Bytes in slabs.
    pub slab_bytes: usize,
    /// Bytes in slab blocks that the program has.
    pub slab_live: usize,
    /// Bytes in runs that the program has.
    pub run_live: usize,
    /// Bytes in guards between the slabs and runs of locked heaps.
    pub guards: usize,
    /// Heaps in use: one a thread that has allocated, and the explicit ones.
    pub heaps: usize,
    /// The zone's figures.
    pub zone: zone::Figures,
    /// The large blocks' figures.
    pub large: large::Figures,
}

/// Counts everything, over all threads.
pub fn figures() -> Figures {
    let mut figures = Figures {
        live: [0; CLASSES],
        slabs: [0; CLASSES],
        slab_bytes: 0,
        slab_live: 0,
        run_live: 0,
        guards: 0,
        heaps: 0,
        zone: zone::Figures::default(),
        large: large::figures(),
    };
    registry::for_each(|heap| {
        figures.heaps += 1;
        heap.for_each_slab(|slab| figures.add(slab));
    });
    figures.zone = zone::lock().figures();
    // What is mapped and neither free nor in a slab is in runs; the window's
    // first page is in neither.
    let zone = figures.zone;
    let taken = (zone.mapped - zone.free).saturating_sub(if zone.mapped > 0 { PAGE } else { 0 });
    figures.run_live = taken.saturating_sub(figures.slab_bytes + figures.guards);
    figures
}

impl Figures {
    fn add(&mut self, slab: &'static Slab) {
        if slab.is_guarded() {
            self.guards += guarded::guard_pages() as usize * PAGE;
        }
        if slab.kind() == Kind::Wiped {
            self.slab_bytes += slab.pages() as usize * PAGE;
        }
        if !slab.kind().is_slab() {
            return;
        }
        let live = live_blocks(slab);
        let class = slab.class();
        self.live[class.index()] += live;
        self.slabs[class.index()] += 1;
        self.slab_live += live * class.size();
        self.slab_bytes += slab.pages() as usize * PAGE;
    }

    /// All bytes in blocks that the program has.
    pub fn in_use(&self) -> usize {
        self.slab_live + self.run_live + self.large.live
    }
}

/// The blocks of a slab that the program has. The caller holds the lock.
fn live_blocks(slab: &'static Slab) -> usize {
    let handed_out = match slab.state() {
        // The owner may be at it; then the count is of some moment.
        State::Current => slab.carved() - slab.count_free().unwrap_or(0),
        State::Listed | State::Full => slab.handed_out(),
        State::Parked => slab.parked_handed_out(),
    };
    handed_out.saturating_sub(slab.remote().count()) as usize
}

/// Has every heap give its free slabs to the zone, and unmaps the large
/// mappings that are kept: for when memory is short. Returns whether there
/// was any. The caller holds no lock.
pub(super) fn reclaim() -> bool {
    let before = zone::lock().figures().free;
    registry::for_each(Heap::give_back_free_slabs);
    let after = zone::lock().figures().free;
    large::release_kept() > 0 || after > before
}

/// Gives everything that is wholly free back to the kernel, now, from every
/// thread's heap. Returns the bytes.
///
/// Of the slabs from which another thread allocates at the moment it leaves
/// one block's pages each.
pub fn trim() -> usize {
    let mut purged = 0;
    registry::for_each(|heap| {
        heap.give_back_free_slabs();
        #[cfg(debug_assertions)]
        debug_assert!(heap.is_valid());
        purged += heap.park_idle();
    });
    let mut zone = zone::lock();
    #[cfg(debug_assertions)]
    debug_assert!(zone.is_valid());
    purged += zone.purge();
    drop(zone);
    purged + large::release_kept()
}

impl Heap {
    /// Gives the slabs that are wholly free to the zone. The caller holds the
    /// lock; what another thread allocates from is left to it.
    pub(super) fn give_back_free_slabs(&'static self) {
        self.drain();
        let may_use_current = self.is_ours_under_lock();
        self.for_each_slab(|slab| {
            if !slab.kind().is_slab() {
                return;
            }
            if slab.state() == State::Parked && may_use_current {
                self.unpark(slab.class());
                self.list(slab);
            }
            if slab.state() == State::Current {
                if !may_use_current || live_blocks(slab) > 0 {
                    return;
                }
                self.unset_current(slab.class());
                slab.recount();
                self.list(slab);
            }
            if slab.state() == State::Listed {
                self.give_back_if_free(slab);
            }
        });
    }

    /// Whether every slab of the heap is possible and, where no other thread
    /// is at it, all counts agree. The caller holds the lock.
    #[cfg(debug_assertions)]
    fn is_valid(&'static self) -> bool {
        let mut valid = true;
        let is_still = self.is_ours_under_lock();
        self.for_each_slab(|slab| {
            valid &= slab.is_valid() && slab.holder() == self.id();
            if is_still
                && slab.kind().is_slab()
                && slab.state() == State::Listed
                && let Some(free) = slab.count_free()
            {
                valid &= free + slab.handed_out() == slab.carved();
            }
        });
        valid
    }
}
