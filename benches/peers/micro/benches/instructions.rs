//! The patterns' instructions, counted by callgrind through gungraun.
//!
//! Each is for 1,000 blocks allocated and freed, so that `49000` is 49 for one,
//! loop and call through the table included; these are the same for all. The
//! pattern has run once before, and what that set up is not in the count. What a
//! function returns is dropped outside of it. snmalloc does not start under
//! valgrind, which has not the address space that it asks for.

#![allow(missing_docs, reason = "the attributes make modules without any")]

use gungraun::prelude::*;
use gungraun::{Callgrind, EntryPoint};
use micro::{
    Allocator, BIFOLD, Held, JEMALLOC, Live, MIMALLOC, RPMALLOC, SYSTEM, birth, first_first, grow,
    last_first, pair,
};

const BLOCKS: usize = 1000;

/// The allocator, after the pattern has run under it.
fn warm(allocator: Allocator, run: fn(&Allocator, usize)) -> Allocator {
    (allocator.enter)();
    run(&allocator, BLOCKS);
    allocator
}

fn warm_pair(allocator: Allocator) -> Allocator {
    warm(allocator, pair)
}

fn warm_last(allocator: Allocator) -> Allocator {
    warm(allocator, last_first)
}

fn warm_first(allocator: Allocator) -> Allocator {
    warm(allocator, first_first)
}

fn warm_grow(allocator: Allocator) -> Allocator {
    warm(allocator, grow)
}

fn live(allocator: Allocator) -> Live {
    (allocator.enter)();
    let mut live = Live::new(allocator);
    live.replace(8 * BLOCKS);
    live
}

fn held(allocator: Allocator) -> Held {
    (allocator.enter)();
    Held::new(allocator, BLOCKS)
}

#[library_benchmark]
#[benches::of(args = [BIFOLD, MIMALLOC, JEMALLOC, RPMALLOC, SYSTEM], setup = warm_pair)]
fn pair_64(allocator: Allocator) -> Allocator {
    pair(&allocator, BLOCKS);
    allocator
}

#[library_benchmark]
#[benches::of(args = [BIFOLD, MIMALLOC, JEMALLOC, RPMALLOC, SYSTEM], setup = warm_last)]
fn last_first_48(allocator: Allocator) -> Allocator {
    last_first(&allocator, BLOCKS);
    allocator
}

#[library_benchmark]
#[benches::of(args = [BIFOLD, MIMALLOC, JEMALLOC, RPMALLOC, SYSTEM], setup = warm_first)]
fn first_first_112(allocator: Allocator) -> Allocator {
    first_first(&allocator, BLOCKS);
    allocator
}

#[library_benchmark]
#[benches::of(args = [BIFOLD, MIMALLOC, JEMALLOC, RPMALLOC, SYSTEM], setup = live)]
fn replace_8192(mut live: Live) -> Live {
    live.replace(BLOCKS);
    live
}

#[library_benchmark]
#[benches::of(args = [BIFOLD, MIMALLOC, JEMALLOC, RPMALLOC, SYSTEM], setup = warm_grow)]
fn grow_to_64k(allocator: Allocator) -> Allocator {
    grow(&allocator, BLOCKS);
    allocator
}

// The free alone, of what another thread holds that lives.
#[library_benchmark]
#[benches::of(args = [BIFOLD, MIMALLOC, JEMALLOC, RPMALLOC, SYSTEM], setup = held)]
fn remote_free_64(mut held: Held) -> Held {
    held.free();
    held
}

// The thread's own function alone, which is all that can be told apart.
#[library_benchmark]
#[benches::of(args = [BIFOLD, MIMALLOC, JEMALLOC, RPMALLOC, SYSTEM], setup = warm_pair)]
fn thread_birth(allocator: Allocator) -> Allocator {
    birth(allocator);
    allocator
}

library_benchmark_group!(
    name = alone,
    benchmarks = [
        pair_64,
        last_first_48,
        first_first_112,
        replace_8192,
        grow_to_64k,
        remote_free_64
    ]
);

library_benchmark_group!(
    name = threads,
    config = LibraryBenchmarkConfig::default()
        .tool(Callgrind::default().entry_point(EntryPoint::Custom("*few_blocks*".to_owned()))),
    benchmarks = [thread_birth]
);

main!(library_benchmark_groups = [alone, threads]);
