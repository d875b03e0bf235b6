//! rpmalloc, from its crate, to preload.

use peer_export::{Address, Peer};
use rpmalloc_sys as rp;

mod thread;

peer_export::export!(Rpmalloc);

struct Rpmalloc;

// SAFETY, of every block below: C's functions ask the same of their callers.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Peer for Rpmalloc {
    #[inline(always)]
    unsafe fn malloc(size: usize) -> Address {
        unsafe { rp::rpmalloc(size) }
    }

    #[inline(always)]
    unsafe fn free(block: Address) {
        unsafe { rp::rpfree(block) }
    }

    #[inline(always)]
    unsafe fn calloc(count: usize, size: usize) -> Address {
        unsafe { rp::rpcalloc(count, size) }
    }

    #[inline(always)]
    unsafe fn realloc(block: Address, size: usize) -> Address {
        unsafe { rp::rprealloc(block, size) }
    }

    #[inline(always)]
    unsafe fn aligned(alignment: usize, size: usize) -> Address {
        unsafe { rp::rpmemalign(alignment, size) }
    }

    #[inline(always)]
    unsafe fn usable_size(block: Address) -> usize {
        unsafe { rp::rpmalloc_usable_size(block) }
    }
}
