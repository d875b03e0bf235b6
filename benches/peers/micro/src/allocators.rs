//! The allocators, and what a thread has to do before it uses one.

use std::alloc::{GlobalAlloc, System};
use std::ffi::c_int;

/// An allocator under test. The program itself runs on the C library's.
#[derive(Clone, Copy)]
pub struct Allocator {
    /// What it is called in the results.
    pub name: &'static str,
    /// Its functions, in a table.
    pub calls: &'static (dyn GlobalAlloc + Sync),
    /// What each thread calls before its first allocation.
    pub enter: fn(),
    /// What each thread but the first calls after its last.
    pub leave: fn(),
}

const fn allocator(name: &'static str, calls: &'static (dyn GlobalAlloc + Sync)) -> Allocator {
    Allocator {
        name,
        calls,
        enter: || {},
        leave: || {},
    }
}

/// This project's, with the settings that it has by itself.
pub const BIFOLD: Allocator = allocator("bifold", &bifold::Bifold::new());
/// Crate `mimalloc`: version 3, or 2 with the feature `mimalloc-v2`.
pub const MIMALLOC: Allocator = allocator(
    if cfg!(feature = "mimalloc-v2") {
        "mimalloc2"
    } else {
        "mimalloc3"
    },
    &mimalloc::MiMalloc,
);
/// Crate `snmalloc-rs`.
pub const SNMALLOC: Allocator = allocator("snmalloc", &snmalloc_rs::SnMalloc);
/// Crate `tikv-jemallocator`.
pub const JEMALLOC: Allocator = allocator("jemalloc5", &tikv_jemallocator::Jemalloc);
/// Crate `rpmalloc`, which leaves a thread's begin and end to the program.
pub const RPMALLOC: Allocator = Allocator {
    enter: || {
        // SAFETY: each may be called at any time, and again.
        let failure = unsafe {
            rpmalloc_sys::rpmalloc_initialize();
            rpmalloc_sys::rpmalloc_thread_initialize();
            rpmalloc_sys::rpmalloc_is_thread_initialized() == 0
        };
        assert!(!failure, "rpmalloc has no heap for this thread");
    },
    leave: || {
        // SAFETY: the thread uses rpmalloc no more.
        unsafe { rpmalloc_thread_finalize(1) };
    },
    ..allocator("rpmalloc", &rpmalloc::RpMalloc)
};
/// The C library's.
pub const SYSTEM: Allocator = allocator("glibc", &System);

unsafe extern "C" {
    // The crate's binding lacks the argument.
    fn rpmalloc_thread_finalize(release_caches: c_int);
}

/// All of them, this project's first.
pub const BY_NAME: [Allocator; 6] = [BIFOLD, MIMALLOC, SNMALLOC, JEMALLOC, RPMALLOC, SYSTEM];
