//! jemalloc, from its crate, to preload.

#![no_std]

use peer_export::{Address, Peer};
use tikv_jemalloc_sys as je;

peer_export::export!(Jemalloc);
peer_export::abort_on_panic!();

struct Jemalloc;

// SAFETY, of every block below: C's functions ask the same of their callers.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Peer for Jemalloc {
    #[inline(always)]
    unsafe fn malloc(size: usize) -> Address {
        unsafe { je::malloc(size) }
    }

    #[inline(always)]
    unsafe fn free(block: Address) {
        unsafe { je::free(block) }
    }

    #[inline(always)]
    unsafe fn calloc(count: usize, size: usize) -> Address {
        unsafe { je::calloc(count, size) }
    }

    #[inline(always)]
    unsafe fn realloc(block: Address, size: usize) -> Address {
        unsafe { je::realloc(block, size) }
    }

    #[inline(always)]
    unsafe fn aligned(alignment: usize, size: usize) -> Address {
        unsafe { je::aligned_alloc(alignment, size) }
    }

    #[inline(always)]
    unsafe fn usable_size(block: Address) -> usize {
        unsafe { je::malloc_usable_size(block) }
    }
}
