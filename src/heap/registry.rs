//! The registry: all heaps, how a thread gets one, and what becomes of it.
//!
//! A thread's first allocation takes the heap of a thread that has died, with
//! its slabs, or a spare one, or a new one. When a thread wants a slab before
//! such an *orphan* has found a thread, the orphan's slabs go to the shared
//! heap, where whoever needs their class adopts them; the heap is spare then.

use core::ffi::c_void;
use core::ptr;

use super::settle::announce;
use super::{EMPTY, Heap, Kind, SHARED, fork, gone, lock_shared, mine, remote};
use crate::options::{self, Settings};
use crate::os::protect::Locking;
use crate::os::{hooks, slot};
use crate::pages::fresh::{self, Purpose};
use crate::slab::State;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use crate::sync::{Lock, Locked};

struct Registry {
    /// Memory for heaps that has not been used yet.
    unused: usize,
    unused_end: usize,
    /// The mapping that it is from.
    piece: *const Piece,
    /// Whether the exit hook is registered and the first thread has a heap.
    started: bool,
}

/// The start of a mapping that heaps are made in.
#[repr(align(64))]
struct Piece {
    /// The one before.
    before: *const Piece,
}

// SAFETY: pieces are written once, before anybody else knows them.
unsafe impl Send for Registry {}

/// The bytes of a [`Piece`], with the heaps in it.
const PIECE: usize = (16 * size_of::<Heap>()).next_multiple_of(64 << 10);

/// All heaps that ever were, linked; the shared one is not among them. New
/// ones come in front, under the registry's lock, and none goes, so that
/// anybody may walk along.
static HEAPS: AtomicPtr<Heap> = AtomicPtr::new(ptr::null_mut());

/// How many heaps are orphans, at least about.
static ORPHANS: AtomicUsize = AtomicUsize::new(0);

static REGISTRY: Locked<Registry> = Locked::new(Registry {
    unused: 0,
    unused_end: 0,
    piece: ptr::null(),
    started: false,
});

static THREAD_EXIT: hooks::ThreadExit = hooks::ThreadExit::new();

/// Runs before `main`, or when the library is loaded: only then is it sure
/// that forks are guarded before there is a second thread.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    guard_forks();
    STARTED.store(true, Ordering::Relaxed);
}

/// Whether [`start`] has run.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Whether forks are guarded, or being so.
static GUARDED: AtomicBool = AtomicBool::new(false);

/// Guards forks, if there was no memory for it before. The caller holds no lock.
fn guard_forks() {
    // The C library holds a lock, and may allocate: no thread comes twice.
    if !GUARDED.swap(true, Ordering::Relaxed)
        && !hooks::at_fork(fork::prepare, fork::parent, fork::child)
    {
        GUARDED.store(false, Ordering::Relaxed);
    }
}

/// The registry's lock itself, for fork.
pub(super) fn raw_lock() -> &'static Lock {
    REGISTRY.raw()
}

/// The calling thread's heap, which it gets now if it has none, the options
/// being read before; [`super::GONE`] when its exit hook has run; the shared heap's
/// like when there is no memory for another heap.
pub(super) fn thread_heap(settings: Option<&Settings>) -> &'static Heap {
    let heap = mine();
    if !ptr::eq(heap, &EMPTY) {
        return heap;
    }
    new_heap(settings)
}

/// A heap for the calling thread, which has none.
#[cold]
#[inline(never)]
fn new_heap(settings: Option<&Settings>) -> &'static Heap {
    super::start(settings);
    if STARTED.load(Ordering::Relaxed) {
        guard_forks();
    }
    let mut registry = REGISTRY.lock();
    let first = !registry.started;
    registry.started = true;
    // A heap of which nobody hears when its thread ends is lost. The first
    // thread's may be: it mostly ends with the process.
    let is_told = THREAD_EXIT.register(at_thread_exit) || first;
    if options::perturb() != 0 || are_enough() || !is_told {
        drop(registry);
        return go_without();
    }
    let Some(heap) = registry.take(Kind::Thread) else {
        // Without memory for a heap the thread lives off the shared one.
        return gone();
    };
    heap.first.set(first);
    drop(registry);
    slot::set(heap.id());
    // The slot comes first: arming the hook may allocate.
    if !THREAD_EXIT.arm(heap.id().cast()) && !first {
        let gone = go_without();
        leave(heap);
        return gone;
    }
    heap
}

/// Has the calling thread's slot say that it lives off the shared heap; see
/// [`super::GONE`], which is returned.
pub(super) fn go_without() -> &'static Heap {
    let gone = gone();
    slot::set(gone.id());
    gone
}

/// Whether so many threads have heaps that no more should; then they live off
/// the shared one. The caller holds the registry's lock.
fn are_enough() -> bool {
    let most = options::arena_max();
    most > 0 && all().filter(|heap| heap.kind() == Kind::Thread).count() >= most
}

/// The C library's call at a thread's end.
unsafe extern "C" fn at_thread_exit(heap: *mut c_void) {
    #[cfg(feature = "valgrind")]
    let _quiet = crate::os::valgrind::Quiet::begin();
    // Destructors that run after this one may still allocate and free.
    go_without();
    if let Some(heap) = Heap::from_id(heap.cast()) {
        heap.orphan();
    }
}

/// Has the calling thread, whose heap this is, live off the shared heap from
/// now on; its slot says so already. The caller holds no lock.
pub(super) fn leave(heap: &'static Heap) {
    #[cfg(feature = "hardened")]
    heap.end_quarantine();
    let _registry = REGISTRY.lock();
    THREAD_EXIT.disarm();
    heap.retire_thread();
}

/// A new explicit heap, whose pages are locked if so wished; `None`: out of
/// memory.
pub fn create(locking: Option<Locking>) -> Option<&'static Heap> {
    super::start(None);
    let mut registry = REGISTRY.lock();
    let heap = registry.take(Kind::Explicit)?;
    heap.set_locking(locking);
    Some(heap)
}

/// Frees all blocks of an explicit heap, and the heap.
///
/// # Safety
///
/// The heap came from [`create`], and nobody uses it or a block of it.
pub unsafe fn destroy(heap: &'static Heap) {
    let _registry = REGISTRY.lock();
    let _guard = heap.lock.lock();
    for slab in heap.inbox.close() {
        if slab.holder() == heap.id() {
            slab.remote().unset_queued();
        } else {
            // Sent to a thread's heap that this one was before.
            announce(slab);
        }
    }
    remote::free_all(heap);
    heap.forget();
}

/// Calls `each` with every heap that is in use, the shared one first, under
/// its lock.
pub(super) fn for_each(mut each: impl FnMut(&'static Heap)) {
    let _registry = REGISTRY.lock();
    for heap in core::iter::once(&SHARED).chain(all()) {
        let _guard = heap.lock.lock();
        if heap.kind() != Kind::Spare {
            each(heap);
        }
    }
}

/// The same with every heap that there is, in use or not.
#[cfg(any(test, debug_assertions))]
pub(super) fn for_each_there_is(mut each: impl FnMut(&'static Heap)) {
    let _registry = REGISTRY.lock();
    drop(lock_shared());
    for heap in core::iter::once(&SHARED).chain(all()) {
        let _guard = heap.lock.lock();
        each(heap);
    }
}

/// Calls `each` with the address and the bytes of every mapping that heaps are
/// made in.
pub(super) fn for_each_piece(mut each: impl FnMut(usize, usize)) {
    let mut piece = REGISTRY.lock().piece;
    // SAFETY: pieces are never unmapped, nor changed once they are known.
    while let Some(at) = unsafe { piece.as_ref() } {
        each(piece as usize, PIECE);
        piece = at.before;
    }
}

/// Calls `each` with every heap there is, the shared one last, for fork.
///
/// # Safety
///
/// The caller holds the registry's lock.
pub(super) unsafe fn for_each_unlocked(mut each: impl FnMut(&'static Heap)) {
    all().for_each(&mut each);
    each(&SHARED);
}

fn all() -> impl Iterator<Item = &'static Heap> {
    // SAFETY: heaps are never unmapped.
    let heap = |pointer: *mut Heap| unsafe { pointer.as_ref() };
    // Acquire pairs with the Release in `make`: who finds a heap sees it made.
    core::iter::successors(heap(HEAPS.load(Ordering::Acquire)), move |at| {
        heap(at.next.load(Ordering::Relaxed))
    })
}

/// Whether a second heap was ever made, as a second thread has one.
pub(super) fn has_several() -> bool {
    all().nth(1).is_some()
}

/// Gives the slabs of one orphan to the shared heap. Returns whether there
/// was one. The caller may hold the lock of another heap.
pub(super) fn bury_an_orphan() -> bool {
    if ORPHANS.load(Ordering::Relaxed) == 0 {
        return false;
    }
    for heap in all().filter(|heap| heap.kind() == Kind::Orphan) {
        // Fork takes the locks of heaps in another order.
        if let Some(_guard) = heap.lock.try_lock()
            && heap.kind() == Kind::Orphan
        {
            ORPHANS.fetch_sub(1, Ordering::Relaxed);
            heap.inherit();
            return true;
        }
    }
    false
}

impl Registry {
    /// A heap that nobody has, of this kind from now on. A thread gets one
    /// that a dead thread has left, with its slabs, if there is one.
    fn take(&mut self, kind: Kind) -> Option<&'static Heap> {
        let of = |wanted: Kind| all().find(move |heap| heap.kind() == wanted);
        let orphan = if kind == Kind::Thread {
            of(Kind::Orphan)
        } else {
            None
        };
        if let Some(heap) = orphan {
            let _guard = heap.lock.lock();
            // Another thread may have buried it meanwhile.
            if heap.kind() == Kind::Orphan {
                ORPHANS.fetch_sub(1, Ordering::Relaxed);
                heap.set_kind(Kind::Thread);
                return Some(heap);
            }
        }
        let heap = match of(Kind::Spare) {
            Some(heap) => heap,
            None => self.make()?,
        };
        let _guard = heap.lock.lock();
        heap.set_kind(kind);
        heap.inbox.open();
        Some(heap)
    }

    fn make(&mut self) -> Option<&'static Heap> {
        if self.unused_end - self.unused < size_of::<Heap>() {
            let start = fresh::map(PIECE, Purpose::Table).ok()?;
            let piece = start as *mut Piece;
            // SAFETY: the memory was mapped for this, and is never unmapped.
            unsafe {
                piece.write(Piece { before: self.piece });
            }
            self.piece = piece;
            // A heap is aligned to more than a line where the processor fetches
            // two at a time.
            self.unused = start + size_of::<Piece>().next_multiple_of(align_of::<Heap>());
            self.unused_end = start + PIECE;
        }
        let place = self.unused as *mut Heap;
        debug_assert!(place.is_aligned());
        self.unused += size_of::<Heap>();
        // SAFETY: the memory is mapped, aligned, nobody's, and never
        // unmapped.
        let heap = unsafe {
            place.write(Heap::bare());
            &*place
        };
        heap.fill();
        heap.inbox.close();
        heap.next
            .store(HEAPS.load(Ordering::Relaxed), Ordering::Relaxed);
        HEAPS.store(place, Ordering::Release);
        Some(heap)
    }
}

impl Heap {
    /// Leaves the heap of a thread that dies to the next one.
    fn orphan(&'static self) {
        #[cfg(feature = "hardened")]
        self.end_quarantine();
        let _guard = self.lock.lock();
        self.set_kind(Kind::Orphan);
        self.first.set(false);
        self.give_back_free_slabs();
        ORPHANS.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives all slabs of a dead thread's heap to the shared heap. The caller
    /// holds the lock.
    pub(super) fn inherit(&'static self) {
        let _shared = lock_shared();
        for slab in self.inbox.close() {
            self.receive(slab);
        }
        self.for_each_slab(|slab| {
            match slab.state() {
                State::Current => slab.recount(),
                State::Listed => self.unlist(slab),
                #[cfg(not(feature = "hardened"))]
                State::Parked => {
                    self.unpark(slab.class());
                }
                State::Full => {}
            }
            self.disown(slab);
            SHARED.adopt(slab);
            if slab.state() != State::Full {
                SHARED.list(slab);
                SHARED.give_back_if_free(slab);
            }
        });
        self.forget();
    }

    /// Makes the heap, which has no slabs any more, spare.
    fn forget(&self) {
        for class in crate::size_class::SizeClass::all() {
            self.unset_current(class);
            self.unlist_all(class);
            self.started[class.index()].set(0);
        }
        self.first.set(false);
        self.set_locking(None);
        self.set_kind(Kind::Spare);
    }
}
