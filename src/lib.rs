//! bifold: a memory allocator for Linux.
#![cfg_attr(not(any(test, loom)), no_std)]
#![cfg_attr(loom, allow(dead_code, unused_imports))]

#[cfg(test)]
extern crate std;

#[cfg(not(loom))]
mod fatal;
#[cfg(not(loom))]
mod global;
#[cfg(not(loom))]
mod heap;
#[cfg(not(loom))]
mod os;
mod pages;
#[cfg(not(loom))]
mod size_class;
mod slab;
mod sync;
#[cfg(not(loom))]
mod text;

#[cfg(not(loom))]
pub use global::{AllocError, Bifold, Heap, trim};

/// For `bifold-ffi` alone: no promise is made about what is in here.
#[cfg(not(loom))]
#[doc(hidden)]
pub mod internals {
    pub use crate::fatal::die;
    pub use crate::heap::{
        Figures, Null, OnFailure, allocate, allocate_aligned, allocate_zeroed, figures, free,
        free_sized, reallocate, trim, usable_size,
    };
    pub use crate::os::memory::page_size;
    pub use crate::os::process::{program_name, set_errno, variable, write_stderr};
    pub use crate::pages::large::set_threshold as set_mmap_threshold;
    pub use crate::pages::zone::set_growth;
    pub use crate::size_class::SizeClass;
    pub use crate::text::Text;
}
