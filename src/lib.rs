//! A memory allocator for Linux: fast, small, and hard to misuse unnoticed.
//!
//! # Quick start
//!
//! As the allocator of a whole program:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();
//!
//! fn main() {
//!     let words: Vec<String> = "one two three".split(' ').map(String::from).collect();
//!     assert_eq!(words.len(), 3);
//! }
//! ```
//!
//! As a heap of its own, whose blocks go all at once:
//!
//! ```
//! use std::alloc::Layout;
//!
//! let heap = bifold::Heap::new()?;
//! let block = heap.allocate_zeroed(Layout::new::<[u64; 32]>())?;
//! // SAFETY: the block is that long, aligned, zeroed, and nobody else's.
//! let numbers = unsafe { block.cast::<[u64; 32]>().as_mut() };
//! numbers[0] = 7;
//! assert_eq!(numbers.iter().sum::<u64>(), 7);
//! drop(heap); // and with it the block
//! # Ok::<(), bifold::AllocError>(())
//! ```
//!
//! With the feature `allocator-api2`, [`Heap`] and [`Bifold`] are that crate's
//! `Allocator`s, for collections that live in a heap.
//!
//! A heap that [`Heap::builder`] makes with [`HeapBuilder::locked`] is for keys
//! and passwords: its memory is locked, out of core dumps, and wiped.
//!
//! # How it works
//!
//! Memory is looked at in *pages* of 4 KiB. All but the longest blocks lie in
//! one *window* of addresses, which is mapped piece by piece, in *spans*, as the
//! program grows. A buddy system hands its pages out in *runs*: a power of two
//! long, aligned to their length, what is not needed given back as shorter runs.
//!
//! A *slab* is a run cut into *blocks* of one size class, and a block is what
//! the program gets. A *heap* is the slabs that one thread, or one [`Heap`],
//! allocates from; it is their *owner*. Its thread allocates and frees without a
//! lock or an atomic step: a *local* free. A *remote* free, by another thread,
//! puts the block in a queue of its slab, from which the owner takes it back.
//! When a thread ends, others adopt its slabs.
//!
//! A *large* request, above 128 KiB at first, is a mapping of its own.
//!
//! To *purge* a free run is to give its memory back to the kernel and to keep
//! its addresses; it is *clean* then, known to read as zero. That happens as the
//! program goes, with a measure of what it has needed of late: its *recent peak*.
//! A *tick* is a look at what has been free for long. To [`trim`] is to purge
//! everything that is wholly free, now, in every thread's heap.
//!
//! A *unit* is 2 MiB, a huge page; where the kernel backs it with one it is
//! *coarse*. A *pool* is memory in huge pages that was taken at the start, a
//! *reserve* is memory that was mapped then.
//!
//! A *locked* heap's slabs, runs and mappings are *guarded*: they lie between
//! inaccessible pages. Its blocks are *watched*: wiped when they are freed.
//!
//! # Misuse
//!
//! A free of what is not a block, or not any more, ends the process with a line
//! on standard error, `bifold: WHAT: ADDRESS`, and SIGABRT: at once where it can
//! be told, otherwise before the block would be handed out a second time. No
//! block is ever handed out twice.
//!
//! # Limits
//!
//! Linux only. Blocks are aligned to 16 bytes or to what is asked for. No
//! request above `isize::MAX` bytes is served.
//!
//! # Features
//!
//! * `checks` (default): the tests of addresses and double frees on every free.
//! * `hardened`: blocks in random order, canaries, zeros, quarantine and guard pages,
//!   and every misuse of free found at the call; at a price. See `docs/hardened.md`.
//!   Not with `valgrind`.
//! * `valgrind`: tells valgrind's memcheck what is a block, so that it finds leaks,
//!   overruns and reads of freed and uninitialised memory.
//! * `allocator-api2`: [`Heap`] and [`Bifold`] as `allocator_api2` allocators.
#![cfg_attr(not(any(test, loom)), no_std)]
#![cfg_attr(loom, allow(dead_code, unused_imports))]
// What only the fast paths need has no user there.
#![cfg_attr(feature = "hardened", allow(dead_code))]

#[cfg(test)]
extern crate std;

#[cfg(all(feature = "hardened", feature = "valgrind"))]
compile_error!(
    "the features `hardened` and `valgrind` exclude each other: both put something of their own behind each block"
);

mod fatal;
#[cfg(not(loom))]
mod global;
#[cfg(not(loom))]
mod heap;
#[cfg(not(loom))]
mod options;
#[cfg(not(loom))]
mod os;
#[cfg(loom)]
#[path = "os/model.rs"]
mod os;
mod pages;
#[cfg(all(feature = "hardened", not(loom)))]
mod random;
#[cfg(not(loom))]
mod size_class;
mod slab;
#[cfg(not(loom))]
pub mod stats;
mod sync;
mod text;

#[cfg(not(loom))]
pub use global::{AllocError, Bifold, Heap, HeapBuilder, OptionInfo, options, stats, trim};
#[cfg(not(loom))]
pub use options::{Advice, Figures as FiguresAtExit, HugePages, Lock, Purge, Source};
#[cfg(not(loom))]
pub use stats::Stats;

/// For `bifold-ffi` and the fuzz targets alone: no promise is made about what is in here.
#[cfg(not(loom))]
#[doc(hidden)]
pub mod internals {
    pub use crate::fatal::die;
    pub use crate::heap::set_parameter;
    pub use crate::heap::{
        Caller, Heap, Null, allocate, allocate_aligned, allocate_zeroed, count, create, destroy,
        free, free_sized, measure, print_stats, reallocate, start, trim, usable_size,
    };
    pub use crate::options::{Id as Parameter, read_environment};
    #[cfg(bifold_faults)]
    pub use crate::os::fault::arm as arm_faults;
    pub use crate::os::memory::page_size;
    #[cfg(bifold_pages)]
    pub use crate::os::memory::unmap;
    pub use crate::os::process::{set_errno, write_stderr};
    pub use crate::os::protect::Locking;
    pub use crate::stats::Stats;
    pub use crate::text::Text;
}
