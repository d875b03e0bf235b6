//! Locked heaps: explicit heaps for keys and passwords.
//!
//! Their memory is guarded (`pages::guarded`) and locked before a block of it
//! is handed out: slabs page by page as they are carved, so that the limit on
//! locked memory pays for what is used; runs and mappings whole. Where a page
//! cannot be locked the request fails, and everything else is as it was.
//!
//! In a forked child the contents are wiped and nothing is locked. There the
//! slabs of such a heap serve no more: they are there so that blocks of theirs
//! can be looked at and freed, until the heap is dropped.

use core::ptr;

use super::caller::Fresh;
use super::settle::announce;
use super::{Heap, report};
use crate::os::protect::Locking;
use crate::pages::{PAGE, guarded, large};
use crate::size_class::SizeClass;
use crate::slab::{Kind, Slab};
use crate::sync::atomic::Ordering;

impl Heap {
    /// How the heap's pages are locked; `None`: not at all.
    #[inline]
    pub(super) fn locking(&self) -> Option<Locking> {
        match self.locking.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Locking::AtOnce),
            _ => Some(Locking::OnFault),
        }
    }

    /// Sets how pages are locked of a heap that has none yet.
    pub(super) fn set_locking(&self, locking: Option<Locking>) {
        let number = match locking {
            None => 0,
            Some(Locking::AtOnce) => 1,
            Some(Locking::OnFault) => 2,
        };
        self.locking.store(number, Ordering::Relaxed);
    }

    /// Locks what is carved next of a slab of the heap's, if it is a locked
    /// one. Returns whether it may be carved.
    #[inline]
    pub(super) fn lock_next(&self, slab: &'static Slab) -> bool {
        let Some(locking) = self.locking() else {
            return true;
        };
        // SAFETY: the slab is guarded, as all of a locked heap's, and what has
        // been carved was locked before.
        unsafe { guarded::lock(slab.next_carving(), locking) }
    }

    /// A free block of a class of whose current slab no further page can be
    /// locked, if another slab has one. The caller holds the lock.
    #[cold]
    pub(super) fn without_locking(&'static self, slab: &'static Slab) -> Option<Fresh> {
        let class = slab.class();
        self.unset_current(class);
        slab.recount();
        self.list(slab);
        // It may never have had a block.
        self.give_back_if_free(slab);
        self.drain();
        let has_free = |slab: &&Slab| slab.remote().count() > 0 || slab.count_free() != Some(0);
        let other = self.all_listed(class).find(has_free)?;
        self.unlist(other);
        self.make_current(other);
        // SAFETY: the caller holds the lock, and no thread owns the slab.
        unsafe { self.pop(other) }.or_else(|| self.replenish(other))
    }

    /// A run or a mapping of a locked heap. `None`: no memory, or it cannot be
    /// locked.
    pub(super) fn long_locked(
        &'static self,
        size: usize,
        alignment: usize,
        locking: Locking,
    ) -> Option<Fresh> {
        let attempt = || {
            self.run_locked(size, alignment, locking)
                .or_else(|| self.mapping_locked(size, alignment, locking))
        };
        attempt().or_else(|| {
            // Free slabs of locked heaps are locked memory.
            report::reclaim();
            guarded::forget_refusal();
            attempt()
        })
    }

    fn run_locked(&'static self, size: usize, align: usize, locking: Locking) -> Option<Fresh> {
        if size > large::RUN_MAX || align > large::RUN_MAX {
            return None;
        }
        let pages = size.max(1).div_ceil(PAGE) as u32;
        let lease = guarded::take(pages, align.div_ceil(PAGE) as u32)?;
        let run = Slab::set_up(lease, None, ptr::null_mut());
        let block = run.start();
        // SAFETY: the run is guarded, and nothing of it is locked yet.
        if !unsafe { guarded::lock(block..block + run.size(), locking) } {
            let (lease, _) = run.take_down();
            // SAFETY: nobody knows of the run.
            unsafe { guarded::give(lease, 0) };
            return None;
        }
        let _guard = self.lock.lock();
        self.adopt(run);
        run.publish();
        Some(Fresh {
            block: block as *mut u8,
            clean: run.is_zeroed(),
        })
    }

    fn mapping_locked(&self, size: usize, alignment: usize, locking: Locking) -> Option<Fresh> {
        let mapping = large::allocate_guarded(size, alignment, self.id() as usize, locking)?;
        Some(Fresh {
            block: mapping.address as *mut u8,
            clean: mapping.clean,
        })
    }

    /// In a forked child: lets the slabs go whose contents the kernel has
    /// wiped, and with them the free lists. Runs and mappings have no lists,
    /// and stay what they are.
    pub(super) fn retire_wiped(&'static self) {
        if self.locking().is_none() {
            return;
        }
        for slab in self.inbox.take() {
            if slab.holder() != self.id() {
                announce(slab);
            }
        }
        for class in SizeClass::all() {
            self.unset_current(class);
            self.unlist_all(class);
        }
        self.for_each_slab(|slab| {
            if slab.kind() == Kind::Watched {
                slab.retire_wiped();
            }
        });
    }
}
