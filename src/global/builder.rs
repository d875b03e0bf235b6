//! `HeapBuilder`: heaps with properties, locked ones above all.

use super::{AllocError, Heap};
use crate::heap;
use crate::os::protect::Locking;

/// Makes a [`Heap`] with properties; see [`Heap::builder`].
///
/// # Locked heaps
///
/// [`locked`](Self::locked) and [`locked_on_fault`](Self::locked_on_fault) make
/// a heap for keys and passwords:
///
/// * Memory is locked (mlock(2)) before a block in it is handed out, so that no
///   secret is written to swap space.
/// * It is kept out of core dumps (`MADV_DONTDUMP`).
/// * A forked child reads zeros where its parent has secrets
///   (`MADV_WIPEONFORK`). Such blocks are not locked in the child, which may free
///   them; what it allocates from the heap itself is locked. A child that is
///   made without fork handlers (`_Fork`, clone(2)) must not use the heap.
/// * A block is overwritten with zeros when it is freed, or made shorter, or
///   moved by a reallocation, and when the heap is dropped.
/// * An inaccessible page lies before and behind each slab and each block above
///   64 KiB: who runs over its end dies by SIGSEGV instead of reading a secret.
///
/// A block stays in its heap, also when C's `realloc` moves it. What the program
/// copies elsewhere, to a register or onto the stack, is out of reach. Suspending
/// a machine to disk writes out locked memory, too.
///
/// # Cost and limits
///
/// An unprivileged process may lock `RLIMIT_MEMLOCK` bytes, by default 8 MiB,
/// 64 KiB before Linux 5.16. A size class in use locks a page of 4 KiB at a
/// time, and a longer block its whole length in pages. What cannot be locked is
/// not handed out: the request fails, blocks that are there stay as they are,
/// and the first time the process says so on standard error, for example
///
/// ```text
/// bifold: locked heap: RLIMIT_MEMLOCK of 65536 bytes is used up
/// ```
///
/// Each slab is up to four mappings to the kernel, of which a process may have
/// some 65,000 (`vm.max_map_count`): guards, a part that is locked, and one
/// that is not yet. A page that is carved costs a system call; a slab, or a
/// block above 64 KiB, five, and one when it goes; a free costs the
/// overwriting. Linux 4.14 is needed for wiping in children and 4.4 for locking
/// on fault; on an older kernel every request fails, with a line that says so.
#[derive(Clone, Debug, Default)]
pub struct HeapBuilder {
    locking: Option<Locking>,
}

impl HeapBuilder {
    /// Makes a locked heap whose pages have memory behind them at once: mlock(2).
    /// Instead of what an earlier call said of locking.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::alloc::Layout;
    ///
    /// let heap = bifold::Heap::builder().locked().build()?;
    /// let key = heap.allocate_zeroed(Layout::new::<[u8; 32]>())?;
    /// # Ok::<(), bifold::AllocError>(())
    /// ```
    pub fn locked(mut self) -> Self {
        self.locking = Some(Locking::AtOnce);
        self
    }

    /// Makes a locked heap whose pages get memory when they are first touched,
    /// and stay in memory from then on: mlock2(2) with `MLOCK_ONFAULT`. For long
    /// blocks of which little is used; `RLIMIT_MEMLOCK` pays for all of it.
    /// Instead of what an earlier call said of locking.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::alloc::Layout;
    ///
    /// let heap = bifold::Heap::builder().locked_on_fault().build()?;
    /// let pool = heap.allocate(Layout::new::<[u8; 4 << 20]>())?;
    /// # Ok::<(), bifold::AllocError>(())
    /// ```
    pub fn locked_on_fault(mut self) -> Self {
        self.locking = Some(Locking::OnFault);
        self
    }

    /// Makes the heap, which is empty: nothing is locked yet.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when there is no memory for its descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// let heap = bifold::Heap::builder().build()?; // as by `Heap::new`
    /// # Ok::<(), bifold::AllocError>(())
    /// ```
    pub fn build(self) -> Result<Heap, AllocError> {
        let inner = heap::create(self.locking).ok_or(AllocError)?;
        Ok(Heap::of(inner))
    }
}
