//! snmalloc, from its crate, to preload.

#![no_std]

use peer_export::{Address, Peer};
use snmalloc_sys as sn;

peer_export::export!(Snmalloc);
peer_export::abort_on_panic!();

// Built without exceptions, snmalloc still names what would handle them, and
// the runtime that has it costs each program a megabyte. These are never called.
core::arch::global_asm!(
    ".text",
    ".globl __gxx_personality_v0, _Unwind_Resume",
    ".hidden __gxx_personality_v0, _Unwind_Resume",
    "__gxx_personality_v0:",
    "_Unwind_Resume:",
    ".long 0",
);

struct Snmalloc;

// SAFETY, of every block below: C's functions ask the same of their callers.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Peer for Snmalloc {
    #[inline(always)]
    unsafe fn malloc(size: usize) -> Address {
        unsafe { sn::sn_malloc(size) }
    }

    #[inline(always)]
    unsafe fn free(block: Address) {
        unsafe { sn::sn_free(block) }
    }

    #[inline(always)]
    unsafe fn calloc(count: usize, size: usize) -> Address {
        unsafe { sn::sn_calloc(count, size) }
    }

    #[inline(always)]
    unsafe fn realloc(block: Address, size: usize) -> Address {
        unsafe { sn::sn_realloc(block, size) }
    }

    #[inline(always)]
    unsafe fn aligned(alignment: usize, size: usize) -> Address {
        unsafe { sn::sn_rust_alloc(alignment, size) }
    }

    #[inline(always)]
    unsafe fn usable_size(block: Address) -> usize {
        unsafe { sn::sn_malloc_usable_size(block) }
    }
}
