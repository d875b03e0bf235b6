//! The registry: all heaps, how a thread gets one, and what becomes of it.
//!
//! A thread's first allocation takes a spare heap, or a new one. When the
//! thread dies, its slabs go to the shared heap, where whoever needs their
//! class adopts them; the heap itself is spare again.

use core::ffi::c_void;
use core::ptr;

use super::settle::announce;
use super::{EMPTY, GONE, Heap, Kind, SHARED, fork, mine, remote};
use crate::os::{hooks, memory, slot};
use crate::slab::State;
use crate::sync::atomic::Ordering;
use crate::sync::{Lock, Locked};

struct Registry {
    /// All heaps that ever were, linked; the shared one is not among them.
    heaps: *const Heap,
    /// Memory for heaps that has not been used yet.
    unused: usize,
    unused_end: usize,
    /// Whether the exit hook is registered and the first thread has a heap.
    started: bool,
}

// SAFETY: the pointer is to heaps, which any thread may use.
unsafe impl Send for Registry {}

static REGISTRY: Locked<Registry> = Locked::new(Registry {
    heaps: ptr::null(),
    unused: 0,
    unused_end: 0,
    started: false,
});

static THREAD_EXIT: hooks::ThreadExit = hooks::ThreadExit::new();

/// Runs before `main`, or when the library is loaded: only then is it sure
/// that forks are guarded before there is a second thread.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

/// Guards forks. Called once, from `.init_array`.
pub extern "C" fn start() {
    hooks::at_fork(fork::prepare, fork::parent, fork::child);
}

/// The registry's lock itself, for fork.
pub(super) fn raw_lock() -> &'static Lock {
    REGISTRY.raw()
}

/// The calling thread's heap, which it gets now if it has none; [`GONE`]
/// when its exit hook has run; the shared heap's like when there is no
/// memory for another heap.
pub(super) fn thread_heap() -> &'static Heap {
    let heap = mine();
    if !ptr::eq(heap, &EMPTY) {
        return heap;
    }
    let mut registry = REGISTRY.lock();
    let first = !registry.started;
    if first {
        THREAD_EXIT.register(at_thread_exit);
        registry.started = true;
    }
    let Some(heap) = registry.take_spare(Kind::Thread) else {
        // Without memory for a heap the thread lives off the shared one.
        return &GONE;
    };
    heap.first.set(first);
    drop(registry);
    slot::set(heap.id());
    // The slot comes first: arming the hook may allocate.
    THREAD_EXIT.arm(heap.id().cast());
    heap
}

/// The C library's call at a thread's end.
unsafe extern "C" fn at_thread_exit(heap: *mut c_void) {
    // Destructors that run after this one may still allocate and free.
    slot::set(GONE.id());
    if let Some(heap) = Heap::from_id(heap.cast()) {
        heap.inherit();
    }
}

/// A new explicit heap; `None`: out of memory.
pub fn create() -> Option<&'static Heap> {
    REGISTRY.lock().take_spare(Kind::Explicit)
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
    let registry = REGISTRY.lock();
    for heap in core::iter::once(&SHARED).chain(registry.all()) {
        let _guard = heap.lock.lock();
        if heap.kind.get() != Kind::Spare {
            each(heap);
        }
    }
}

/// Calls `each` with every heap there is, the shared one last, for fork.
///
/// # Safety
///
/// The caller holds the registry's lock.
pub(super) unsafe fn for_each_unlocked(mut each: impl FnMut(&'static Heap)) {
    // SAFETY: the caller holds the lock.
    let registry = unsafe { REGISTRY.get_held() };
    registry.all().for_each(&mut each);
    each(&SHARED);
}

impl Registry {
    fn all(&self) -> impl Iterator<Item = &'static Heap> + use<> {
        // SAFETY: heaps are never unmapped.
        let heap = |pointer: *const Heap| unsafe { pointer.as_ref() };
        core::iter::successors(heap(self.heaps), move |at| {
            heap(at.next.load(Ordering::Relaxed))
        })
    }

    /// A heap that nobody has, of this kind from now on.
    fn take_spare(&mut self, kind: Kind) -> Option<&'static Heap> {
        let spare = self.all().find(|heap| heap.kind.get() == Kind::Spare);
        let heap = match spare {
            Some(heap) => heap,
            None => self.make()?,
        };
        let _guard = heap.lock.lock();
        heap.kind.set(kind);
        heap.inbox.open();
        Some(heap)
    }

    fn make(&mut self) -> Option<&'static Heap> {
        if self.unused_end - self.unused < size_of::<Heap>() {
            let length = (16 * size_of::<Heap>()).next_multiple_of(64 << 10);
            self.unused = memory::map(length).ok()?;
            self.unused_end = self.unused + length;
        }
        let place = self.unused as *mut Heap;
        self.unused += size_of::<Heap>();
        // SAFETY: the memory is mapped, aligned, nobody's, and never
        // unmapped.
        let heap = unsafe {
            place.write(Heap::new(Kind::Spare));
            &*place
        };
        heap.next.store(self.heaps.cast_mut(), Ordering::Relaxed);
        self.heaps = heap;
        Some(heap)
    }
}

impl Heap {
    /// Gives all slabs of a dead thread's heap to the shared heap.
    pub(super) fn inherit(&'static self) {
        let _registry = REGISTRY.lock();
        let _guard = self.lock.lock();
        let _shared = SHARED.lock.lock();
        for slab in self.inbox.close() {
            self.receive(slab);
        }
        self.for_each_slab(|slab| {
            match slab.state() {
                State::Current => {
                    // A count that makes no sense is left for whoever takes
                    // blocks from the slab to report.
                    let free = slab.count_free().unwrap_or(0);
                    slab.arm(slab.carved() - free, 0);
                }
                State::Listed => self.unlist(slab),
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
            self.listed[class.index()].store(ptr::null_mut(), Ordering::Relaxed);
            self.started[class.index()].set(0);
        }
        self.first.set(false);
        self.kind.set(Kind::Spare);
    }
}
