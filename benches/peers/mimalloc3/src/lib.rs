//! mimalloc 3, from its crate, to preload.

#![no_std]

use libmimalloc_sys as mi;
use peer_export::{Address, Peer};

peer_export::export!(Mimalloc);
peer_export::abort_on_panic!();

struct Mimalloc;

// SAFETY, of every block below: C's functions ask the same of their callers.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Peer for Mimalloc {
    #[inline(always)]
    unsafe fn malloc(size: usize) -> Address {
        unsafe { mi::mi_malloc(size) }
    }

    #[inline(always)]
    unsafe fn free(block: Address) {
        unsafe { mi::mi_free(block) }
    }

    #[inline(always)]
    unsafe fn calloc(count: usize, size: usize) -> Address {
        unsafe { mi::mi_calloc(count, size) }
    }

    #[inline(always)]
    unsafe fn realloc(block: Address, size: usize) -> Address {
        unsafe { mi::mi_realloc(block, size) }
    }

    #[inline(always)]
    unsafe fn aligned(alignment: usize, size: usize) -> Address {
        unsafe { mi::mi_malloc_aligned(size, alignment) }
    }

    #[inline(always)]
    unsafe fn usable_size(block: Address) -> usize {
        unsafe { mi::mi_usable_size(block) }
    }
}
