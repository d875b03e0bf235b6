//! The Rust API: the global allocator and first-class heaps.
//!
//! May call: everything below, through `heap`'s door.

#[cfg(feature = "allocator-api2")]
mod allocator;
mod builder;
mod explicit;
mod options;
mod system;

pub use builder::HeapBuilder;
pub use explicit::{AllocError, Heap};
pub use options::{OptionInfo, options};
pub use system::Bifold;

use crate::stats::Stats;

/// The figures of the whole process: what bifold has, by use and by size class,
/// beside what the kernel says of it.
///
/// It takes every heap's lock in turn and looks at each slab, then asks the kernel
/// about each page (mincore(2)) and reads `/proc/thread-self/smaps`: some
/// milliseconds, more in a big program. It allocates nothing, and holds no lock
/// while it asks the kernel. It cannot fail: what the kernel does not tell is
/// `None`.
///
/// # Examples
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();
///
/// let numbers = vec![1u8; 5 << 20];
/// let stats = bifold::stats();
/// assert!(stats.in_large.bytes >= numbers.len());
/// assert!(stats.large.resident.is_none_or(|bytes| bytes >= numbers.len()));
/// println!("{stats}");
/// ```
pub fn stats() -> Stats {
    let mut stats = Stats::default();
    crate::heap::measure(&mut stats);
    stats
}

/// Gives everything that is wholly free back to the kernel, now, from every
/// thread's heap. Returns how many bytes that were.
///
/// Free memory goes back by itself as the program goes on; this is for a program
/// that is about to be idle, or about to need all the memory there is. It takes
/// every heap's lock in turn and makes a system call for each free run, so it
/// takes milliseconds in a big program. Addresses stay mapped, so that limits on
/// address space see no difference but for kept large mappings. It cannot fail;
/// where there is nothing to give back it returns 0.
///
/// # Examples
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();
///
/// let blocks: Vec<_> = (0..10_000).map(|n| Box::new([n; 100])).collect();
/// drop(blocks);
/// let bytes = bifold::trim();
/// println!("{bytes} bytes given back");
/// ```
pub fn trim() -> usize {
    crate::heap::trim()
}
