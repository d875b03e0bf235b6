//! Single patterns of allocation, for bifold and for the peers' crates.
//!
//! `benches/time.rs` times them with criterion, `benches/instructions.rs`
//! counts their instructions with gungraun. Every allocator is called by its
//! `GlobalAlloc` through a table of functions, so that all run the same loop and
//! none is compiled into it: what a Rust program pays behind `__rust_alloc`.

mod allocators;
mod pattern;
mod threads;

pub use allocators::{Allocator, BIFOLD, BY_NAME, JEMALLOC, MIMALLOC, RPMALLOC, SNMALLOC, SYSTEM};
pub use pattern::{Live, first_first, grow, last_first, pair};
pub use threads::{BIRTH_BLOCKS, Held, Remote, birth, few_blocks};
