//! The Rust API: the global allocator and first-class heaps.
//!
//! May call: everything below, through `heap`'s door.

mod explicit;
mod system;

pub use explicit::{AllocError, Heap};
pub use system::Bifold;

/// Gives everything that is wholly free back to the kernel, now, from every
/// thread's heap. Returns the bytes.
///
/// # Examples
///
/// ```
/// let bytes = bifold::trim();
/// println!("{bytes} bytes given back");
/// ```
pub fn trim() -> usize {
    crate::heap::trim()
}
