//! The functions, where the compiler does not see which they are: it knows
//! `malloc` and `free` by their names, and leaves out what has no effect.

use core::ffi::{c_char, c_int, c_uint, c_void};
use std::hint::black_box;

use crate::{c, extensions, heaps, report};

type Block = *mut c_void;

macro_rules! functions {
    ($($module:ident: $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)+) => {
        $(
            /// # Safety
            ///
            /// As for the function itself.
            pub unsafe fn $name($($argument: $type),*) $(-> $result)? {
                let function: unsafe extern "C" fn($($type),*) $(-> $result)? = $module::$name;
                // SAFETY: as the caller promises.
                unsafe { black_box(function)($($argument),*) }
            }
        )+
    };
}

functions! {
    c: malloc(size: usize) -> Block;
    c: calloc(count: usize, size: usize) -> Block;
    c: realloc(block: Block, size: usize) -> Block;
    c: reallocarray(block: Block, count: usize, size: usize) -> Block;
    c: aligned_alloc(alignment: usize, size: usize) -> Block;
    c: memalign(alignment: usize, size: usize) -> Block;
    c: posix_memalign(block: *mut Block, alignment: usize, size: usize) -> c_int;
    c: valloc(size: usize) -> Block;
    c: pvalloc(size: usize) -> Block;
    c: free(block: Block);
    c: cfree(block: Block);
    c: free_sized(block: Block, size: usize);
    c: free_aligned_sized(block: Block, alignment: usize, size: usize);
    c: malloc_usable_size(block: Block) -> usize;
    extensions: mallopt(parameter: c_int, value: c_int) -> c_int;
    extensions: mallinfo2() -> libc::mallinfo2;
    extensions: malloc_trim(pad: usize) -> c_int;
    heaps: bifold_heap_create(flags: c_uint) -> Block;
    heaps: bifold_heap_destroy(heap: Block);
    heaps: bifold_heap_malloc(heap: Block, size: usize) -> Block;
    heaps: bifold_heap_calloc(heap: Block, count: usize, size: usize) -> Block;
    heaps: bifold_heap_aligned_alloc(heap: Block, alignment: usize, size: usize) -> Block;
    heaps: bifold_heap_realloc(heap: Block, block: Block, size: usize) -> Block;
    heaps: bifold_heap_free(heap: Block, block: Block);
    heaps: bifold_trim() -> usize;
    report: malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int;
    report: bifold_stats_json(
        write: Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize)>,
        context: *mut c_void
    );
}
