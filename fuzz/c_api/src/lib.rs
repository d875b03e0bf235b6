//! `c_api`: bifold-ffi's C functions, called with lengths and alignments of all
//! kinds; each result is held against what malloc(3), posix_memalign(3),
//! mallopt(3), `bifold.h` and the C standard say of it.
//!
//! The functions are bifold-ffi's sources, and are exported: a program that
//! links this crate runs on them, this target and its driver included.

#![allow(dead_code, reason = "bifold-ffi exports more than is called here")]

#[path = "../../../ffi/src/c.rs"]
mod c;
#[path = "../../../ffi/src/extensions.rs"]
mod extensions;
#[path = "../../../ffi/src/heaps.rs"]
mod heaps;
#[path = "../../../ffi/src/report.rs"]
mod report;

mod api;
mod calls;
mod live;

use bifold::internals as inner;
use bifold_fuzz_kit::{Input, Target};

use self::calls::Calls;

pub const TARGET: Target = Target { name: "c_api", run };

fn run(data: &[u8]) -> u64 {
    let mut input = Input::new(data);
    let mut calls = Calls::new();
    while !input.is_empty() {
        calls.step(&mut input);
    }
    calls.end()
}
