//! Heaps: the slabs that one thread, or one explicit heap, allocates from.
//!
//! May call: `slab`, `pages`, `os` and the leaf modules.
//!
//! ```text
//!  caller      who asks, and what it gets
//!  fast        malloc and free on the hit path; called by ffi and global
//!  hardened    instead of fast, in a hardened build
//!  lookup      what an address is: which kind of block, or none
//!  refill      a class has no block at hand: remote frees, carving, adoption,
//!              a new slab
//!  longer      a longer class's slab serves one that has none
//!  settle      a slab's counter is zero: wake it up, count it, give it back
//!  remote      free of a block that is not the thread's own
//!  watched     free of a block whose contents must not stay
//!  locked      heaps for secrets: guarded, locked, wiped
//!  plain       alignment, calloc; in a hardened build that is in hardened
//!  request     runs and large mappings, explicit heaps
//!  resize      realloc
//!  registry    thread birth and death, the shared heap
//!  fork        what is held before a fork, and what is left in the child
//!  lists       a heap's lists of slabs
//!  start       the first call: options, and what they ask for
//!  announce    what is in force, said at the start
//!  tick        what was free for long goes back
//!  background  a thread that ticks while the program is idle
//!  report      trim
//!  park        trim of a slab that a live thread has as its current one
//!  count       figures over all threads
//!  check       whether all of it is consistent, in debug builds
//!  perturb     blocks filled with nonsense
//!  doors       what the layers above call
//!  memcheck    the same for a program that runs under valgrind
//! ```
//!
//! A heap's fast-path words are written by its thread alone. Everything else
//! about it, including which slab is current, changes under its lock, so that
//! another thread can trim, count, or give back a slab that it emptied. Locks
//! are taken in one order: registry, a heap, the shared heap, zone or large.

mod announce;
mod background;
mod caller;
#[cfg(any(test, debug_assertions))]
mod check;
mod count;
#[cfg(not(feature = "valgrind"))]
mod doors;
#[cfg(not(feature = "hardened"))]
mod fast;
mod fork;
#[cfg(feature = "hardened")]
mod hardened;
mod lists;
mod locked;
mod longer;
mod lookup;
#[cfg(feature = "valgrind")]
mod memcheck;
#[cfg(not(feature = "hardened"))]
mod park;
mod perturb;
#[cfg(not(feature = "hardened"))]
mod plain;
mod refill;
mod registry;
mod remote;
mod report;
mod request;
#[cfg(not(feature = "hardened"))]
mod resize;
mod settle;
mod start;
mod tick;
#[cfg(not(feature = "hardened"))]
mod watched;

use core::cell::Cell;
use core::ptr;

use crossbeam_utils::CachePadded;

use crate::os::slot;
use crate::size_class::{CLASSES, STEP_MAX, STEPS, SizeClass};
use crate::slab::{Inbox, Slab};
use crate::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
use crate::sync::{Lock, LockGuard};

pub use caller::{Caller, Null, Program};
pub use count::{count, measure, print_stats};
#[cfg(not(feature = "valgrind"))]
pub use doors::{
    allocate, allocate_aligned, allocate_zeroed, create, destroy, free, free_sized, free_tested,
    reallocate, reallocate_aligned, usable_size,
};
#[cfg(feature = "hardened")]
use hardened as fast;
#[cfg(feature = "valgrind")]
pub use memcheck::{
    allocate, allocate_aligned, allocate_zeroed, create, destroy, free, free_sized, free_tested,
    reallocate, reallocate_aligned, usable_size,
};
pub use report::trim;
pub use start::{ensure as start, set_parameter};

/// What a heap serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Nobody, and it has no slabs.
    Spare,
    /// One thread, which frees and allocates without locks.
    Thread,
    /// A thread that has died: the next one takes it as it is.
    Orphan,
    /// Every thread, under its lock: the first few blocks of new threads, and
    /// the slabs of dead ones.
    Shared,
    /// An explicit heap of the Rust or C API, under its lock.
    Explicit,
}

/// A set of slabs with one holder. Type-stable: never unmapped.
#[repr(C, align(64))]
pub struct Heap {
    // The fast paths' words: written by the heap's thread alone.
    /// The current slab for every 16-byte step.
    step: [AtomicPtr<Slab>; STEPS],
    /// The current slab of every class.
    current: [AtomicPtr<Slab>; CLASSES],

    // Under the lock.
    lock: Lock,
    /// A [`Kind`]; atomic, because others look for heaps to take.
    kind: AtomicU8,
    /// How an explicit heap's pages are locked, from its start to its end.
    locking: AtomicU8,
    /// Slabs with free blocks, for each class.
    listed: [AtomicPtr<Slab>; CLASSES],
    /// The slab of each class that trim has parked.
    parked: [Cell<*const Slab>; CLASSES],
    /// All slabs, and the runs of an explicit heap.
    all: AtomicPtr<Slab>,
    /// How many blocks the thread got from the shared heap, for each class.
    started: [Cell<u8>; CLASSES],
    /// How far below each class are those that have its current slab, too.
    lent: [Cell<u8>; CLASSES],
    /// When each class last lost its current slab, in milliseconds.
    parted: [Cell<u32>; CLASSES],
    /// Whether this is the first thread's heap, which has slabs of its own
    /// from the start.
    first: Cell<bool>,
    /// Slow paths since the thread came by, of a busy program.
    visits: AtomicU8,

    /// The next heap in the registry.
    next: AtomicPtr<Heap>,
    inbox: CachePadded<Inbox<Slab>>,

    /// What its thread, or who holds the lock, hardens blocks with.
    #[cfg(feature = "hardened")]
    hardening: hardened::Hardening,
}

// SAFETY: the cells are reached only under the lock; the rest is atomic.
unsafe impl Sync for Heap {}

/// What every class's current slab is where a heap has none.
static NOBODY: Slab = Slab::nobody();

/// The heap of a thread that has not allocated yet. It has no blocks, so the
/// fast path needs no test for it.
static EMPTY: Heap = Heap::new(Kind::Spare);

/// The heap of a thread that lives off the shared heap, as its exit hook has
/// run, or as it is to have none of its own: it has no blocks either.
static GONE: Heap = Heap::bare();

/// The heap that belongs to no thread. It is bare until [`lock_shared`] is first called.
static SHARED: Heap = Heap::bare();

slot::define!(EMPTY);

/// The calling thread's heap: its own, or [`EMPTY`] or [`GONE`].
#[inline(always)]
fn mine() -> &'static Heap {
    // SAFETY: the slot holds the address of a heap, and heaps are never
    // unmapped.
    unsafe { &*slot::get().cast::<Heap>() }
}

/// [`GONE`], fit for a thread's slot.
fn gone() -> &'static Heap {
    GONE.fill();
    &GONE
}

/// Takes the lock of [`SHARED`] to give it slabs or take blocks from it.
fn lock_shared() -> LockGuard<'static> {
    let guard = SHARED.lock.lock();
    if SHARED.kind() != Kind::Shared {
        SHARED.fill();
        SHARED.set_kind(Kind::Shared);
    }
    guard
}

impl core::fmt::Debug for Heap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Heap({:p})", ptr::from_ref(self))
    }
}

impl Heap {
    const fn new(kind: Kind) -> Self {
        Self {
            step: [const { AtomicPtr::new((&raw const NOBODY).cast_mut()) }; STEPS],
            current: [const { AtomicPtr::new((&raw const NOBODY).cast_mut()) }; CLASSES],
            lock: Lock::new(),
            kind: AtomicU8::new(kind as u8),
            locking: AtomicU8::new(0),
            listed: [const { AtomicPtr::new(ptr::null_mut()) }; CLASSES],
            parked: [const { Cell::new(ptr::null()) }; CLASSES],
            all: AtomicPtr::new(ptr::null_mut()),
            started: [const { Cell::new(0) }; CLASSES],
            lent: [const { Cell::new(0) }; CLASSES],
            parted: [const { Cell::new(0) }; CLASSES],
            first: Cell::new(false),
            visits: AtomicU8::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
            inbox: CachePadded::new(Inbox::new(!matches!(kind, Kind::Shared))),
            #[cfg(feature = "hardened")]
            hardening: hardened::Hardening::new(),
        }
    }

    /// A spare heap without even [`NOBODY`]'s address in its words: a static of
    /// zeros, of which no page is written to in a process that does not need it.
    const fn bare() -> Self {
        Self {
            step: [const { AtomicPtr::new(ptr::null_mut()) }; STEPS],
            current: [const { AtomicPtr::new(ptr::null_mut()) }; CLASSES],
            inbox: CachePadded::new(Inbox::new(false)),
            ..Self::new(Kind::Spare)
        }
    }

    /// Makes a bare heap one without slabs. Threads may do so at the same time.
    fn fill(&self) {
        // Acquire pairs with the last Release: who sees that sees the others.
        if self.current[CLASSES - 1].load(Ordering::Acquire).is_null() {
            for place in self.step.iter().chain(&self.current) {
                place.store((&raw const NOBODY).cast_mut(), Ordering::Release);
            }
        }
    }

    /// The heap as the holder of slabs.
    #[inline(always)]
    fn id(&self) -> *mut () {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// The heap that a slab's holder names.
    fn from_id(id: *mut ()) -> Option<&'static Self> {
        // SAFETY: holders are heaps, or null, and heaps are never unmapped.
        unsafe { id.cast::<Self>().as_ref() }
    }

    /// Whether this is the calling thread's own heap.
    fn is_mine(&self) -> bool {
        ptr::eq(self, mine())
    }

    /// What the heap serves. It changes under the lock.
    fn kind(&self) -> Kind {
        const KINDS: [Kind; 5] = [
            Kind::Spare,
            Kind::Thread,
            Kind::Orphan,
            Kind::Shared,
            Kind::Explicit,
        ];
        KINDS[usize::from(self.kind.load(Ordering::Relaxed))]
    }

    fn set_kind(&self, kind: Kind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    /// Whether no thread uses the heap without its lock but the calling one.
    fn is_ours_under_lock(&self) -> bool {
        self.kind() != Kind::Thread || self.is_mine()
    }

    #[inline(always)]
    fn current(&self, class: SizeClass) -> &'static Slab {
        // SAFETY: a class's index is below CLASSES. There is a slab's
        // descriptor or NOBODY; neither is ever unmapped.
        unsafe {
            &*self
                .current
                .get_unchecked(class.index())
                .load(Ordering::Relaxed)
        }
    }

    #[inline(always)]
    fn at_step(&self, step: usize) -> &'static Slab {
        debug_assert!(step < STEPS);
        // SAFETY: as in `current`; the caller has compared the size.
        unsafe { &*self.step.get_unchecked(step).load(Ordering::Relaxed) }
    }

    /// Makes a slab the class's current one.
    fn set_current(&self, class: SizeClass, slab: &'static Slab) {
        self.recall(class);
        self.point(class, slab);
    }

    /// Has malloc take a class's blocks from a slab.
    fn point(&self, class: SizeClass, slab: &'static Slab) {
        let slab = ptr::from_ref(slab).cast_mut();
        self.current[class.index()].store(slab, Ordering::Relaxed);
        if class.size() <= STEP_MAX {
            for place in &self.step[class.steps()] {
                place.store(slab, Ordering::Relaxed);
            }
        }
    }

    /// Leaves the class without a current slab.
    fn unset_current(&self, class: SizeClass) {
        self.set_current(class, &NOBODY);
    }

    /// Whether the class has a current slab of its own.
    fn has_current(&self, class: SizeClass) -> bool {
        let slab = self.current(class);
        !ptr::eq(slab, &NOBODY) && slab.class() == class
    }
}
