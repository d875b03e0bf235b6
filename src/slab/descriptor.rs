//! The descriptor: all that bifold knows of one slab, or of one long run.
//!
//! Descriptors are type-stable: the memory of one never serves anything else,
//! so a thread that reads a stale one finds a descriptor, and tests under the
//! holder's lock whether it is still the one it means.

use core::cell::Cell;
use core::mem;
use core::ptr;

use super::counter::{Counter, FREES};
use super::inbox::Linked;
use super::interior::reciprocal_of;
use super::kind::{Kind, State};
#[cfg(not(feature = "hardened"))]
use super::list::{Block, end};
#[cfg(feature = "hardened")]
use super::marks::Marks;
use super::remote::RemoteQueue;
use crate::options;
#[cfg(feature = "hardened")]
use crate::pages::fence;
use crate::pages::zone::{DESCRIPTOR_BYTES, Lease};
use crate::pages::{PAGE, PageIndex, Run, fresh, window};
use crate::size_class::SizeClass;
use crate::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::folded;

/// What is known of a slab's run as it was taken.
const CLEAN: u8 = 1;
const ZEROED: u8 = 2;
/// Whether its end, or all of it, is inaccessible.
#[cfg(feature = "hardened")]
const FENCED: u8 = 4;

/// A slab's descriptor.
#[repr(C, align(64))]
pub struct Slab {
    // Everyone reads.
    /// The heap whose thread may free into this slab by the fast path.
    pub(super) owner: AtomicPtr<()>,
    /// The heap that the slab belongs to; the owner, for small slabs.
    pub(super) holder: AtomicPtr<()>,
    pub(super) start: AtomicUsize,
    /// See [`Slab::is_small_block`].
    pub(super) reciprocal: AtomicU64,
    pub(super) bound: AtomicU64,
    /// The block size; a run's is no more than 2 MiB.
    pub(super) size: AtomicU32,
    pub(super) pages: AtomicU32,
    /// The most blocks that can be cut.
    pub(super) capacity: AtomicU32,
    pub(super) kind: AtomicU8,
    pub(super) class: AtomicU8,
    pub(super) clean: AtomicU8,
    guarded: AtomicU8,

    // The owner writes.
    pub(super) line: OwnerLine,

    // Others write.
    pub(super) remote: RemoteLine,

    /// Which blocks are free; the owner writes, and others.
    #[cfg(feature = "hardened")]
    pub(super) marks: Marks,
}

#[repr(C, align(64))]
pub(super) struct OwnerLine {
    #[cfg(not(feature = "hardened"))]
    pub(super) free: AtomicPtr<Block>,
    /// The group that blocks are taken from, and those that have free ones, a bit
    /// each; of others, none has.
    #[cfg(feature = "hardened")]
    pub(super) group: Cell<u32>,
    #[cfg(feature = "hardened")]
    pub(super) stocked: Cell<u32>,
    pub(super) counter: Counter,
    pub(super) carved: AtomicU32,
    pub(super) tries: Cell<u8>,
    pub(super) state: Cell<State>,
    /// The first block of the list that was emptied; null while it was not.
    #[cfg(not(feature = "hardened"))]
    pub(super) emptied: Cell<*mut Block>,
    /// The blocks of the last group that were never handed out.
    #[cfg(feature = "hardened")]
    pub(super) fresh: Cell<u64>,
    pub(super) next: Cell<*const Slab>,
    pub(super) previous: Cell<*const Slab>,
    pub(super) all_next: Cell<*const Slab>,
    pub(super) all_previous: Cell<*const Slab>,
}

// Where the fast paths' fields lie in a descriptor.
pub(super) const OWNER: usize = mem::offset_of!(Slab, owner);
pub(super) const HOLDER: usize = mem::offset_of!(Slab, holder);
pub(super) const START: usize = mem::offset_of!(Slab, start);
pub(super) const RECIPROCAL: usize = mem::offset_of!(Slab, reciprocal);
pub(super) const BOUND: usize = mem::offset_of!(Slab, bound);
pub(super) const COUNTER: usize =
    mem::offset_of!(Slab, line) + mem::offset_of!(OwnerLine, counter) + FREES;
#[repr(C, align(64))]
pub(super) struct RemoteLine {
    pub(super) queue: RemoteQueue,
    pub(super) inbox_next: AtomicPtr<Slab>,
}

const _: () = assert!(mem::size_of::<Slab>() == DESCRIPTOR_BYTES);

// SAFETY: the cells are reached only under the holder's lock; the rest is
// atomic.
unsafe impl Sync for Slab {}

impl Linked for Slab {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.remote.inbox_next
    }
}

impl Slab {
    /// The slab that a heap has where it has none: no blocks, no owner.
    pub const fn nobody() -> Self {
        Self {
            owner: AtomicPtr::new(ptr::null_mut()),
            holder: AtomicPtr::new(ptr::null_mut()),
            start: AtomicUsize::new(0),
            reciprocal: AtomicU64::new(0),
            bound: AtomicU64::new(0),
            size: AtomicU32::new(0),
            pages: AtomicU32::new(0),
            capacity: AtomicU32::new(0),
            kind: AtomicU8::new(Kind::Nothing as u8),
            class: AtomicU8::new(0),
            clean: AtomicU8::new(0),
            guarded: AtomicU8::new(0),
            line: OwnerLine {
                #[cfg(not(feature = "hardened"))]
                free: AtomicPtr::new(end()),
                #[cfg(feature = "hardened")]
                group: Cell::new(0),
                #[cfg(feature = "hardened")]
                stocked: Cell::new(0),
                counter: Counter::new(),
                carved: AtomicU32::new(0),
                tries: Cell::new(0),
                state: Cell::new(State::Current),
                #[cfg(not(feature = "hardened"))]
                emptied: Cell::new(ptr::null_mut()),
                #[cfg(feature = "hardened")]
                fresh: Cell::new(0),
                next: Cell::new(ptr::null()),
                previous: Cell::new(ptr::null()),
                all_next: Cell::new(ptr::null()),
                all_previous: Cell::new(ptr::null()),
            },
            remote: RemoteLine {
                queue: RemoteQueue::new(),
                inbox_next: AtomicPtr::new(ptr::null_mut()),
            },
            #[cfg(feature = "hardened")]
            marks: Marks::none(),
        }
    }

    /// The descriptor of the page that an address lies in; `None` outside
    /// the window. Of a page that is free it is of [`Kind::Nothing`].
    #[inline(always)]
    pub fn of(base: usize, address: usize) -> Option<&'static Self> {
        let descriptor = window::descriptor_of(base, address)?;
        // SAFETY: the page map names descriptors only, or the window's first
        // page, which reads as zeros, a descriptor of `Kind::Nothing`. Both
        // are never unmapped.
        Some(unsafe { &*(descriptor as *const Self) })
    }

    /// [`Slab::of`] an address that is known to be in the window.
    ///
    /// # Safety
    ///
    /// It is.
    #[inline(always)]
    pub unsafe fn of_known(base: usize, address: usize) -> &'static Self {
        // SAFETY: as the caller promises, and as in `of`.
        unsafe { &*(window::descriptor_of_known(base, address) as *const Self) }
    }

    /// Makes a descriptor of a run: a slab of `class` for `holder`, or one
    /// block; watched, if the run is guarded or all are to be. The caller puts it on lists and
    /// then calls [`Slab::publish`].
    pub fn set_up(lease: Lease, class: Option<SizeClass>, holder: *mut ()) -> &'static Self {
        // SAFETY: the lease's slot is a descriptor's memory, the caller's.
        let slab = unsafe { &*(lease.descriptor as *const Self) };
        let set = |field: &AtomicU32, value| field.store(value, Ordering::Relaxed);
        // A hardened build has no fast path that others must be kept from.
        let is_perturbed = !cfg!(feature = "hardened") && options::perturb() != 0;
        let is_watched = lease.guarded || is_perturbed;
        let (kind, size) = match class {
            Some(class) if is_watched => (Kind::Watched, class.size()),
            Some(class) if class.is_small() => (Kind::Small, class.size()),
            Some(class) => (Kind::Medium, class.size()),
            None if is_watched => (Kind::WatchedRun, lease.run.pages as usize * PAGE),
            None => (Kind::Run, lease.run.pages as usize * PAGE),
        };
        slab.remote.queue.reset();
        slab.start
            .store(window::address_of(lease.run.first), Ordering::Relaxed);
        set(&slab.pages, lease.run.pages);
        set(&slab.capacity, class.map_or(1, SizeClass::capacity));
        slab.reciprocal
            .store(reciprocal_of(size), Ordering::Relaxed);
        slab.bound.store(0, Ordering::Relaxed);
        slab.line.counter.arm(0, 0);
        set(&slab.line.carved, 0);
        let known = u8::from(lease.run.clean) * CLEAN + u8::from(lease.zeroed) * ZEROED;
        slab.clean.store(known, Ordering::Relaxed);
        slab.guarded.store(lease.guarded.into(), Ordering::Relaxed);
        slab.class.store(
            class.map_or(0, |class| class.index() as u8),
            Ordering::Relaxed,
        );
        #[cfg(not(feature = "hardened"))]
        slab.line.free.store(end(), Ordering::Relaxed);
        set(&slab.size, size as u32);
        slab.line.tries.set(0);
        #[cfg(not(feature = "hardened"))]
        slab.line.emptied.set(ptr::null_mut());
        #[cfg(feature = "hardened")]
        slab.clear_marks();
        slab.line.state.set(State::Current);
        slab.set_kind(kind);
        slab.set_holder(holder);
        slab
    }

    /// Has the frees of an ordinary slab watched from now on. The caller holds
    /// its holder's lock, and the holder has no thread.
    pub fn watch(&'static self) {
        match self.kind() {
            Kind::Small | Kind::Medium => self.set_kind(Kind::Watched),
            Kind::Run => self.set_kind(Kind::WatchedRun),
            _ => return,
        }
        self.remote.queue.close();
        self.set_holder(self.holder());
    }

    /// Makes the slab's addresses known. For a run only the first page's:
    /// its block starts there.
    pub fn publish(&'static self) {
        let address = ptr::from_ref(self) as usize;
        let pages = if self.kind().is_run() {
            1
        } else {
            self.pages()
        };
        window::set_descriptor(window::page_of(self.start()), pages, Some(address));
    }

    /// Unmakes the descriptor and returns what [`Slab::set_up`] got, and how
    /// many of its first pages may have been written to. Nothing may refer
    /// to the slab; it is on no list.
    pub fn take_down(&'static self) -> (Lease, u32) {
        let (kind, pages) = (self.kind(), self.pages());
        let first = window::page_of(self.start());
        let entries = if kind.is_run() { 1 } else { pages };
        window::set_descriptor(first, entries, None);
        let dirty = if kind.is_run() {
            pages
        } else {
            let cut = (self.carved() as usize * self.size()).div_ceil(PAGE);
            fresh::resident_with(cut).min(pages as usize) as u32
        };
        let lease = Lease {
            run: Run {
                first,
                pages,
                clean: self.is_clean(),
            },
            descriptor: ptr::from_ref(self) as usize,
            zeroed: self.is_zeroed(),
            guarded: self.is_guarded(),
        };
        self.set_kind(Kind::Nothing);
        self.set_holder(ptr::null_mut());
        (lease, dirty)
    }

    /// What the descriptor describes.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.kind.load(Ordering::Relaxed) {
            1 => Kind::Small,
            2 => Kind::Medium,
            3 => Kind::Run,
            4 => Kind::Watched,
            5 => Kind::WatchedRun,
            6 => Kind::Wiped,
            _ => Kind::Nothing,
        }
    }

    pub(super) fn set_kind(&self, kind: Kind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    /// Whether this is not a slab that `heap`'s thread frees into by the fast
    /// path.
    #[inline(always)]
    pub fn is_not_of(&self, heap: *mut ()) -> bool {
        // SAFETY: the offset is that field's.
        unsafe { folded::differs::<OWNER>(self.at(), heap) }
    }

    /// Whether this is not a slab that belongs to `heap`.
    #[inline(always)]
    pub fn is_not_held_by(&self, heap: *mut ()) -> bool {
        // SAFETY: the offset is that field's.
        unsafe { folded::differs::<HOLDER>(self.at(), heap) }
    }

    #[inline(always)]
    pub(super) fn at(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// What marks this slab's free blocks: the descriptor's address, which
    /// no program has a reason to store.
    #[inline(always)]
    pub(super) fn key(&self) -> usize {
        self.at() as usize
    }

    /// The heap that the slab belongs to.
    #[inline]
    pub fn holder(&self) -> *mut () {
        self.holder.load(Ordering::Relaxed)
    }

    /// Gives the slab to another heap.
    pub fn set_holder(&self, holder: *mut ()) {
        self.holder.store(holder, Ordering::Relaxed);
        let owner = if self.kind() == Kind::Small {
            holder
        } else {
            ptr::null_mut()
        };
        self.owner.store(owner, Ordering::Relaxed);
    }

    /// The address of the first block.
    #[inline]
    pub fn start(&self) -> usize {
        self.start.load(Ordering::Relaxed)
    }

    /// The length of the run.
    pub fn pages(&self) -> u32 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Notes that a run has become longer or shorter.
    pub fn set_pages(&self, pages: u32) {
        self.pages.store(pages, Ordering::Relaxed);
        self.size.store(pages * PAGE as u32, Ordering::Relaxed);
    }

    /// Whether the run's pages were clean when it was taken.
    pub fn is_clean(&self) -> bool {
        self.clean.load(Ordering::Relaxed) & CLEAN != 0
    }

    /// Whether what has not been cut reads as zero.
    pub fn is_zeroed(&self) -> bool {
        self.clean.load(Ordering::Relaxed) & ZEROED != 0
    }

    /// Makes the end of the slab inaccessible, or all of one whose blocks have no
    /// memory. Of a run, of which the caller has taken [`fence::PAGES`] too many,
    /// that is no part of the block any more.
    #[cfg(feature = "hardened")]
    pub fn put_up_fence(&self) {
        if self.kind().is_run() {
            let pages = (self.pages() - fence::PAGES) as usize;
            self.size.store((pages * PAGE) as u32, Ordering::Relaxed);
        }
        let range = self.fence();
        // SAFETY: no block reaches there, or none has memory.
        if unsafe { fence::put_up(range.start, range.len()) } {
            let known = self.clean.load(Ordering::Relaxed);
            self.clean.store(known | FENCED, Ordering::Relaxed);
        }
    }

    /// Undoes [`Slab::put_up_fence`]. Returns whether it did; if not, nobody may
    /// have the pages. No block is in use any more.
    #[cfg(feature = "hardened")]
    pub fn take_down_fence(&self) -> bool {
        let range = self.fence();
        let is_fenced = self.clean.load(Ordering::Relaxed) & FENCED != 0;
        // SAFETY: it was put up, and nobody uses what it encloses.
        !is_fenced || unsafe { fence::take_down(range.start, range.len()) }
    }

    #[cfg(feature = "hardened")]
    fn fence(&self) -> core::ops::Range<usize> {
        let end = self.start() + self.pages() as usize * PAGE;
        let is_hollow = self.kind().is_slab() && self.class().index() == 0;
        let start = if is_hollow {
            self.start()
        } else {
            end - fence::PAGES as usize * PAGE
        };
        start..end
    }

    /// Whether the pages lie between guards; see `pages::guarded`.
    #[inline]
    pub fn is_guarded(&self) -> bool {
        self.guarded.load(Ordering::Relaxed) != 0
    }

    /// The slab's class; not for runs.
    pub fn class(&self) -> SizeClass {
        SizeClass::from_index(self.class.load(Ordering::Relaxed).into())
    }

    /// The size of its blocks in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed) as usize
    }

    /// The page behind the run.
    pub fn end(&self) -> PageIndex {
        PageIndex(window::page_of(self.start()).0 + self.pages())
    }

    /// How many blocks have been cut.
    pub fn carved(&self) -> u32 {
        self.line.carved.load(Ordering::Relaxed)
    }

    /// Blocks that other threads have freed.
    pub fn remote(&self) -> &RemoteQueue {
        &self.remote.queue
    }

    /// Where the slab stands; under the holder's lock.
    pub fn state(&self) -> State {
        self.line.state.get()
    }

    /// Sets where the slab stands; under the holder's lock.
    pub fn set_state(&self, state: State) {
        self.line.state.set(state);
    }

    /// Links of the list of slabs with free blocks; under the lock.
    pub fn links(&self) -> (&Cell<*const Slab>, &Cell<*const Slab>) {
        (&self.line.next, &self.line.previous)
    }

    /// Links of the list of all slabs of a heap; under the lock.
    pub fn all_links(&self) -> (&Cell<*const Slab>, &Cell<*const Slab>) {
        (&self.line.all_next, &self.line.all_previous)
    }

    /// Whether what the descriptor says is possible.
    pub fn is_valid(&self) -> bool {
        match self.kind() {
            Kind::Nothing => false,
            Kind::Run | Kind::WatchedRun => self.start().is_multiple_of(PAGE) && self.pages() > 0,
            kind => {
                // Only the fast path needs small slabs aligned.
                let alignment = match kind {
                    Kind::Small => self.class().slab_alignment(),
                    _ => PAGE,
                };
                self.carved() <= self.class().capacity()
                    && self.start().is_multiple_of(alignment)
                    && self.pages() as usize == self.class().slab_pages()
            }
        }
    }
}
