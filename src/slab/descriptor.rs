//! The descriptor: all that bifold knows of one slab, or of one long run.
//!
//! Descriptors are type-stable: the memory of one never serves anything else,
//! so a thread that reads a stale one finds a descriptor, and tests under the
//! holder's lock whether it is still the one it means.

use core::cell::Cell;
use core::mem;
use core::ptr;

use super::inbox::Linked;
use super::remote::RemoteQueue;
use crate::pages::zone::{DESCRIPTOR_BYTES, Lease};
use crate::pages::{PAGE, PageIndex, Run, window};
use crate::size_class::SizeClass;
use crate::sync::folded;
use crate::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence};

/// What a descriptor describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing.
    Nothing = 0,
    /// A slab of 64 KiB whose blocks are freed by the fast path.
    Small = 1,
    /// A longer slab.
    Medium = 2,
    /// A run that is one block.
    Run = 3,
}

/// Where a slab stands with its holder; changed under the holder's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The class's current slab: blocks are taken from it.
    Current,
    /// On the holder's list of slabs with free blocks.
    Listed,
    /// No free blocks when last looked at; on no list.
    Full,
    /// Was current and wholly free when trim came by; on no list.
    Parked,
}

/// What [`Slab::arm`] gets as `rest` for a current slab: how many of its
/// blocks are handed out is not known, and certainly not none.
pub const UNKNOWN: u32 = 1 << 30;

/// The first words of a free block.
#[repr(C)]
pub struct Block {
    /// Atomic, because figures walk a list while its owner changes it.
    next: AtomicPtr<Block>,
    /// Only ever used by who has the block, or the whole slab.
    key: Cell<usize>,
}

/// What a list of free blocks ends in. It is no slab's block and never has a
/// slab's key, so that one test tells an empty list and a block that has lost
/// its mark from one that is well.
static END: Block = Block {
    next: AtomicPtr::new(ptr::null_mut()),
    key: Cell::new(0),
};

// SAFETY: the key of END is never written, that of a block only by who has
// the block.
unsafe impl Sync for Block {}

const fn end() -> *mut Block {
    if cfg!(feature = "checks") {
        (&raw const END).cast_mut()
    } else {
        // Without keys the end is told by its address, and null costs least.
        ptr::null_mut()
    }
}

/// A slab's descriptor.
#[repr(C, align(64))]
pub struct Slab {
    // Everyone reads.
    /// The heap whose thread may free into this slab by the fast path.
    owner: AtomicPtr<()>,
    /// The heap that the slab belongs to; the owner, for small slabs.
    holder: AtomicPtr<()>,
    start: AtomicUsize,
    /// See [`Slab::is_small_block`].
    reciprocal: AtomicU64,
    bound: AtomicU64,
    /// The block size; a run's is no more than 2 MiB.
    size: AtomicU32,
    pages: AtomicU32,
    /// The most blocks that can be cut.
    capacity: AtomicU32,
    kind: AtomicU8,
    class: AtomicU8,
    clean: AtomicU8,

    // The owner writes.
    line: OwnerLine,

    // Others write.
    remote: RemoteLine,
}

#[repr(C, align(64))]
struct OwnerLine {
    free: AtomicPtr<Block>,
    /// Frees until the holder must look at the slab. While the slab is not
    /// current, `counter + rest` is the number of blocks handed out.
    counter: AtomicU32,
    rest: AtomicU32,
    carved: AtomicU32,
    tries: Cell<u8>,
    state: Cell<State>,
    /// The first block of the list that was emptied; null while it was not.
    emptied: Cell<*mut Block>,
    next: Cell<*const Slab>,
    previous: Cell<*const Slab>,
    all_next: Cell<*const Slab>,
    all_previous: Cell<*const Slab>,
}

// Where the fast paths' fields lie in a descriptor.
const OWNER: usize = mem::offset_of!(Slab, owner);
const HOLDER: usize = mem::offset_of!(Slab, holder);
const RECIPROCAL: usize = mem::offset_of!(Slab, reciprocal);
const BOUND: usize = mem::offset_of!(Slab, bound);
const COUNTER: usize = mem::offset_of!(Slab, line) + mem::offset_of!(OwnerLine, counter);

#[repr(C, align(64))]
struct RemoteLine {
    queue: RemoteQueue,
    inbox_next: AtomicPtr<Slab>,
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

/// The rule by which an offset is tested; see [`Slab::is_block`].
const fn reciprocal_of(size: usize) -> u64 {
    ((1u128 << 64) / size as u128 + 1) as u64
}

/// The product of the last valid offset among `carved` blocks.
const fn bound_of(size: usize, carved: u32) -> u64 {
    let excess = reciprocal_of(size).wrapping_mul(size as u64);
    excess * carved.saturating_sub(1) as u64
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
            line: OwnerLine {
                free: AtomicPtr::new(end()),
                counter: AtomicU32::new(0),
                rest: AtomicU32::new(0),
                carved: AtomicU32::new(0),
                tries: Cell::new(0),
                state: Cell::new(State::Current),
                emptied: Cell::new(ptr::null_mut()),
                next: Cell::new(ptr::null()),
                previous: Cell::new(ptr::null()),
                all_next: Cell::new(ptr::null()),
                all_previous: Cell::new(ptr::null()),
            },
            remote: RemoteLine {
                queue: RemoteQueue::new(),
                inbox_next: AtomicPtr::new(ptr::null_mut()),
            },
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
    /// block. The caller puts it on lists and then calls [`Slab::publish`].
    pub fn set_up(lease: Lease, class: Option<SizeClass>, holder: *mut ()) -> &'static Self {
        // SAFETY: the lease's slot is a descriptor's memory, the caller's.
        let slab = unsafe { &*(lease.descriptor as *const Self) };
        let set = |field: &AtomicU32, value| field.store(value, Ordering::Relaxed);
        let (kind, size) = match class {
            Some(class) if class.is_small() => (Kind::Small, class.size()),
            Some(class) => (Kind::Medium, class.size()),
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
        set(&slab.line.counter, 0);
        set(&slab.line.rest, 0);
        set(&slab.line.carved, 0);
        slab.clean.store(lease.run.clean.into(), Ordering::Relaxed);
        slab.class.store(
            class.map_or(0, |class| class.index() as u8),
            Ordering::Relaxed,
        );
        slab.line.free.store(end(), Ordering::Relaxed);
        set(&slab.size, size as u32);
        slab.line.tries.set(0);
        slab.line.emptied.set(ptr::null_mut());
        slab.line.state.set(State::Current);
        slab.set_kind(kind);
        slab.set_holder(holder);
        slab
    }

    /// Makes the slab's addresses known. For a run only the first page's:
    /// its block starts there.
    pub fn publish(&'static self) {
        let address = ptr::from_ref(self) as usize;
        let pages = if self.kind() == Kind::Run { 1 } else { self.pages() };
        window::set_descriptor(window::page_of(self.start()), pages, Some(address));
    }

    /// Unmakes the descriptor and returns what [`Slab::set_up`] got, and how
    /// many of its first pages may have been written to. Nothing may refer
    /// to the slab; it is on no list.
    pub fn take_down(&'static self) -> (Lease, u32) {
        let (kind, pages) = (self.kind(), self.pages());
        let first = window::page_of(self.start());
        let entries = if kind == Kind::Run { 1 } else { pages };
        window::set_descriptor(first, entries, None);
        let dirty = if kind == Kind::Run {
            pages
        } else {
            (self.carved() as usize * self.size()).div_ceil(PAGE) as u32
        };
        let lease = Lease {
            run: Run {
                first,
                pages,
                clean: self.is_clean(),
            },
            descriptor: ptr::from_ref(self) as usize,
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
            _ => Kind::Nothing,
        }
    }

    fn set_kind(&self, kind: Kind) {
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
    fn at(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// What marks this slab's free blocks: the descriptor's address, which
    /// no program has a reason to store.
    #[inline(always)]
    fn key(&self) -> usize {
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
        self.clean.load(Ordering::Relaxed) != 0
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

    /// The number of blocks that were handed out and are not in the local
    /// list: live, or in the remote queue. Not for a current slab.
    pub fn handed_out(&self) -> u32 {
        // Acquire pairs with the Release in `push`: who finds all blocks
        // free may give the slab back, and must see the blocks' marks.
        let counter = self.line.counter.load(Ordering::Acquire);
        counter.wrapping_add(self.line.rest.load(Ordering::Relaxed))
    }

    /// Sets the number of frees until the holder must look, and what to add
    /// to it to get the number of blocks handed out.
    pub fn arm(&self, counter: u32, rest: u32) {
        self.line.counter.store(counter, Ordering::Relaxed);
        self.line.rest.store(rest, Ordering::Relaxed);
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

    /// How often the current slab was looked at in vain; under the lock.
    pub fn tries(&self) -> &Cell<u8> {
        &self.line.tries
    }

    /// How many frees a current slab has at least between two looks at its
    /// list. Looking takes as long as the list is, so that after a few every
    /// look in vain doubles the pause: it stays cheap beside freeing.
    pub fn pause(&self) -> u32 {
        match self.line.tries.get() {
            0..4 => 1,
            tries => (self.carved() / 16).max(16) << (tries - 3).min(16),
        }
    }

    /// Links of the list of slabs with free blocks; under the lock.
    pub fn links(&self) -> (&Cell<*const Slab>, &Cell<*const Slab>) {
        (&self.line.next, &self.line.previous)
    }

    /// Links of the list of all slabs of a heap; under the lock.
    pub fn all_links(&self) -> (&Cell<*const Slab>, &Cell<*const Slab>) {
        (&self.line.all_next, &self.line.all_previous)
    }

    /// Whether an address in a small slab is the start of a block that has
    /// been cut. Exact.
    ///
    /// With m = floor(2^64 / size) + 1 and m * size = 2^64 + e, the
    /// offset q * size + r has the product q * e + r * m modulo 2^64. For
    /// r = 0 that is q * e, at most the bound for blocks that have been cut
    /// and above it for others; for r > 0 it is at least m, above any bound,
    /// and does not wrap for the offsets in a slab (tested for every class).
    /// Reference: Lemire, Kaser, Kurz, "Faster remainder by direct
    /// computation", 2019.
    #[inline(always)]
    pub fn is_small_block(&self, address: usize) -> bool {
        self.is_multiple((address as u16).into())
    }

    /// The same for a slab of any length.
    #[inline(always)]
    pub fn is_medium_block(&self, address: usize) -> bool {
        self.is_multiple(address.wrapping_sub(self.start()) as u64)
    }

    #[inline(always)]
    fn is_multiple(&self, offset: u64) -> bool {
        // SAFETY: the offsets are those fields'.
        unsafe { !folded::product_exceeds::<RECIPROCAL, BOUND>(self.at(), offset) }
    }

    /// Whether an address in the slab, or the run, is the start of a block.
    #[inline]
    pub fn is_block(&self, address: usize) -> bool {
        match self.kind() {
            Kind::Nothing => false,
            Kind::Run => address == self.start(),
            Kind::Small | Kind::Medium => self.is_medium_block(address),
        }
    }

    /// Takes the first block of the local list.
    ///
    /// # Errors
    ///
    /// What [`Slab::is_end`] tells apart: the list's end, or a block that has
    /// lost its mark: it was freed twice, or written to after it was freed.
    ///
    /// # Safety
    ///
    /// The caller is the owner's thread, or holds the holder's lock where no
    /// thread is the owner.
    #[inline(always)]
    pub unsafe fn pop(&self) -> Result<*mut u8, *mut u8> {
        let block = self.line.free.load(Ordering::Relaxed);
        // SAFETY: the list holds blocks of this slab, and its end.
        let words = unsafe { &*block };
        let refused = if cfg!(feature = "checks") {
            words.key.get() != self.key()
        } else {
            block == end()
        };
        if refused {
            return Err(block.cast());
        }
        self.line
            .free
            .store(words.next.load(Ordering::Relaxed), Ordering::Relaxed);
        if cfg!(feature = "checks") {
            // A forked child that finds this thread between the two stores
            // has a block that is on no list, not a block without a mark.
            compiler_fence(Ordering::Release);
            words.key.set(0);
        }
        Ok(block.cast())
    }

    /// Whether what [`Slab::pop`] refused was the end of the list.
    #[inline]
    pub fn is_end(refused: *mut u8) -> bool {
        refused == end().cast()
    }

    /// Puts a block on the local list. Returns whether it was the last free
    /// before the holder must look at the slab.
    ///
    /// # Errors
    ///
    /// `Err(())` when the block is the list's first already.
    ///
    /// # Safety
    ///
    /// As for [`Slab::pop`]; the block is one of this slab.
    #[inline(always)]
    pub unsafe fn push(&self, block: *mut u8) -> Result<bool, ()> {
        let block = block.cast::<Block>();
        let first = self.line.free.load(Ordering::Relaxed);
        if cfg!(feature = "checks") && first == block {
            return Err(());
        }
        // SAFETY: the block is one of this slab, and the caller's.
        let words = unsafe { &*block };
        words.next.store(first, Ordering::Relaxed);
        if cfg!(feature = "checks") {
            words.key.set(self.key());
        }
        // A forked child that finds this thread between the stores has a
        // block that is on no list, not a list that ends in the void.
        compiler_fence(Ordering::Release);
        self.line.free.store(block, Ordering::Relaxed);
        compiler_fence(Ordering::Release);
        // SAFETY: the counter is the owner's, and so the calling thread's.
        Ok(unsafe { folded::count_down::<COUNTER>(self.at()) })
    }

    /// Puts a block that another thread frees in the remote queue.
    ///
    /// # Safety
    ///
    /// The block is one of this slab, and the caller's.
    #[inline]
    pub unsafe fn push_remote(&self, block: *mut u8) -> super::Pushed {
        let start = self.start();
        // SAFETY: the block is one of this slab, and the caller's.
        let words = unsafe { &*block.cast::<Block>() };
        self.remote
            .queue
            .push(((block as usize - start) / 16) as u32, |below| {
                let below = below.map_or(end(), |block| (start + block as usize * 16) as *mut Block);
                words.next.store(below, Ordering::Relaxed);
                if cfg!(feature = "checks") {
                    words.key.set(self.key());
                }
            })
    }

    /// Moves what is in the remote queue to the local list; returns how many
    /// blocks.
    ///
    /// # Safety
    ///
    /// As for [`Slab::pop`].
    pub unsafe fn collect(&self) -> u32 {
        let Some((top, count)) = self.remote.queue.take() else {
            return 0;
        };
        let top = (self.start() + top as usize * 16) as *mut Block;
        let local = self.line.free.load(Ordering::Relaxed);
        if local != end() {
            // Find the end of the chain, no further than it can be.
            let mut last = top;
            for _ in 1..count {
                // SAFETY: the queue holds blocks of this slab, and `count`
                // of them, linked.
                last = unsafe { &*last }.next.load(Ordering::Relaxed);
            }
            // SAFETY: as above.
            unsafe { &*last }.next.store(local, Ordering::Relaxed);
        }
        self.line.free.store(top, Ordering::Relaxed);
        count
    }

    /// Whether blocks can still be cut.
    pub fn can_carve(&self) -> bool {
        self.carved() < self.capacity()
    }

    fn capacity(&self) -> u32 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Cuts the blocks of the next page, or of the next four where the run was
    /// in use before, and puts them on the local list, which is empty.
    ///
    /// # Safety
    ///
    /// As for [`Slab::pop`], and [`Slab::can_carve`].
    pub unsafe fn carve(&self) {
        let (size, carved) = (self.size(), self.carved());
        let offset = carved as usize * size;
        // Pages that are resident cost nothing to touch.
        let stretch = if self.is_clean() { size } else { size + 3 * PAGE };
        let page_end = (offset + stretch).next_multiple_of(PAGE);
        let end = (carved + ((page_end - offset) / size) as u32).min(self.capacity());
        let mut address = self.start() + offset;
        let last = self.start() + (end as usize - 1) * size;
        self.line.free.store(address as *mut Block, Ordering::Relaxed);
        let key = self.key();
        // SAFETY: the addresses are of blocks of this slab that nobody has
        // had yet.
        let cut = |address: usize, next: usize| unsafe {
            let words = &*(address as *const Block);
            words.key.set(key);
            words.next.store(next as *mut Block, Ordering::Relaxed);
        };
        while address + 4 * size <= last {
            cut(address, address + size);
            cut(address + size, address + 2 * size);
            cut(address + 2 * size, address + 3 * size);
            cut(address + 3 * size, address + 4 * size);
            address += 4 * size;
        }
        while address < last {
            cut(address, address + size);
            address += size;
        }
        cut(last, self::end() as usize);
        self.set_carved(end);
    }

    /// Cuts one block and returns it; of a clean run, untouched.
    ///
    /// # Safety
    ///
    /// As for [`Slab::carve`].
    pub unsafe fn carve_one(&self) -> *mut u8 {
        let carved = self.carved();
        self.set_carved(carved + 1);
        let block = self.start() + carved as usize * self.size();
        if !self.is_clean() {
            // What an earlier use of the run left may be this very mark.
            // SAFETY: the block is one that nobody has had yet.
            unsafe { &*(block as *const Block) }.key.set(0);
        }
        block as *mut u8
    }

    fn set_carved(&self, carved: u32) {
        self.line.carved.store(carved, Ordering::Relaxed);
        self.bound
            .store(bound_of(self.size(), carved), Ordering::Relaxed);
    }

    /// Counts the local list, whose owner may be changing it. `None`: it is
    /// longer than it can be or leads astray, because of a double free or a
    /// write after free, or because the owner was faster.
    pub fn count_free(&self) -> Option<u32> {
        let mut count = 0;
        self.walk(self.line.free.load(Ordering::Relaxed), |_| count += 1)
            .then_some(count)
    }

    /// Calls `each` with the blocks of a list. Returns whether the list has
    /// an end, and no more blocks than have been cut.
    #[inline]
    fn walk(&self, first: *mut Block, mut each: impl FnMut(*mut Block)) -> bool {
        let (start, carved) = (self.start(), self.carved());
        let length = carved as usize * self.size();
        let mut left = carved;
        let mut block = first;
        while block != end() {
            let offset = (block as usize).wrapping_sub(start);
            if left == 0 || offset >= length || offset % 16 != 0 {
                return false;
            }
            left -= 1;
            each(block);
            // SAFETY: the address lies in the carved part of a slab that the
            // caller keeps from being given back, by the holder's lock or by
            // having a block of it.
            block = unsafe { &*block }.next.load(Ordering::Relaxed);
        }
        true
    }

    /// Empties the lists of a slab whose blocks are all free, while its owner
    /// may be about to pop the first. Returns that, if there is one, and the
    /// end of the blocks that have been cut.
    pub fn empty_list(&self) -> (Option<usize>, usize) {
        let first = self.line.free.load(Ordering::Relaxed);
        self.remote.queue.take();
        self.line.emptied.set(first);
        self.line.free.store(end(), Ordering::Relaxed);
        let cut = self.start() + self.carved() as usize * self.size();
        ((first != end()).then_some(first as usize), cut)
    }

    /// Whether [`Slab::empty_list`] was done and not undone.
    pub fn is_emptied(&self) -> bool {
        !self.line.emptied.get().is_null()
    }

    /// The blocks handed out of a parked slab: none, or the one whose pop was
    /// under way when the list was emptied, unless it is free again.
    pub fn parked_handed_out(&self) -> u32 {
        if !self.is_emptied() {
            return self.carved() - self.count_free().unwrap_or(0);
        }
        let now = self.line.free.load(Ordering::Relaxed);
        u32::from(now != end() && now != self.line.emptied.get())
    }

    /// Gives a parked slab its free blocks back and makes its count exact.
    /// The caller is its owner, or its owner does not exist any more.
    pub fn refill_parked(&self) {
        let handed_out = self.parked_handed_out();
        if self.is_emptied() {
            let taken = self.line.emptied.get() as usize;
            let carved = self.carved() as usize;
            self.line.emptied.set(ptr::null_mut());
            self.line.free.store(end(), Ordering::Relaxed);
            // What is in the purged pages is gone.
            self.clean.store(0, Ordering::Relaxed);
            if handed_out == 0 {
                self.remote.queue.take();
                self.set_carved(0);
            } else {
                let size = self.size();
                let blocks = (0..carved).map(|block| self.start() + block * size);
                for block in blocks.filter(|&block| block != taken) {
                    // SAFETY: the block is free and in no list.
                    let words = unsafe { &*(block as *const Block) };
                    words.key.set(self.key());
                    words
                        .next
                        .store(self.line.free.load(Ordering::Relaxed), Ordering::Relaxed);
                    self.line.free.store(block as *mut Block, Ordering::Relaxed);
                }
            }
        }
        self.arm(handed_out, 0);
    }

    /// A block that does not have the mark of a free one, if any: a slab
    /// that is about to be given back, by the count, must have none.
    pub fn find_unfree(&self) -> Option<usize> {
        let (size, key) = (self.size(), self.key());
        let mut block = self.start();
        let end = block + self.carved() as usize * size;
        // SAFETY: the blocks have been cut, and the slab is still there.
        let wrong = |block: usize| unsafe { &*(block as *const Block) }.key.get() ^ key;
        while block + 4 * size <= end {
            // Four at a time, one branch: this runs for every block once in
            // the life of a slab.
            let any = wrong(block)
                | wrong(block + size)
                | wrong(block + 2 * size)
                | wrong(block + 3 * size);
            if any != 0 {
                break;
            }
            block += 4 * size;
        }
        while block < end {
            if wrong(block) != 0 {
                return Some(block);
            }
            block += size;
        }
        None
    }

    /// Whether a block is in the local list or the remote queue, as far as it
    /// can be told while others change them.
    pub fn has_free(&self, address: *mut u8) -> bool {
        let local = self.line.free.load(Ordering::Relaxed);
        let remote = self.remote.queue.top();
        let remote = remote.map_or(end(), |top| (self.start() + top as usize * 16) as *mut Block);
        let mut found = false;
        for first in [local, remote] {
            self.walk(first, |block| found |= block.cast() == address);
        }
        found
    }

    /// Whether a block has the mark of a free one. So may one that is live,
    /// if the program has written just that there.
    ///
    /// # Safety
    ///
    /// The address is that of a block.
    #[inline(always)]
    pub unsafe fn is_marked(&self, address: *mut u8) -> bool {
        // SAFETY: as the caller promises.
        cfg!(feature = "checks")
            && unsafe { &*address.cast::<Block>() }.key.get() == self.key()
    }

    /// Whether what the descriptor says is possible.
    pub fn is_valid(&self) -> bool {
        match self.kind() {
            Kind::Nothing => false,
            Kind::Run => self.start().is_multiple_of(PAGE) && self.pages() > 0,
            Kind::Small | Kind::Medium => {
                self.carved() <= self.class().capacity()
                    && self.start().is_multiple_of(self.class().slab_alignment())
                    && self.pages() as usize == self.class().slab_pages()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interior_test_is_exact_for_every_class() {
        for class in SizeClass::all() {
            let size = class.size();
            let bytes = class.slab_pages() * PAGE;
            assert_eq!(reciprocal_of(size).wrapping_mul(size as u64) >> 32, 0);
            for carved in [1, 2, class.capacity() / 2, class.capacity()] {
                let (m, bound) = (reciprocal_of(size), bound_of(size, carved));
                for offset in 0..bytes {
                    let is_block = offset % size == 0 && offset / size < carved as usize;
                    let found = (offset as u64).wrapping_mul(m) <= bound;
                    assert_eq!(found, is_block, "{class:?}, {carved} carved, {offset}");
                }
            }
        }
    }
}
