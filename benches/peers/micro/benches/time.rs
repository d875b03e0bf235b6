//! The patterns in time, by criterion.
//!
//! A pattern's allocators come right after one another, and the first of them
//! once more at the end: how far `bifold again` is from `bifold` is what may be
//! chance, and what the machine did in between.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use micro::{Allocator, BY_NAME, Live, Remote};

/// Blocks in each call of a pattern: whole batches.
const BLOCKS: usize = 1000;
/// Blocks that grow in each call; each is reallocated twelve times.
const GROWN: usize = 10;
/// Blocks handed over at a time, so many that waking the other thread is little.
const HANDED: usize = 20_000;

/// Runs the pattern for every allocator; `blocks` in a call of what `make`
/// returns.
fn pattern<F: FnMut()>(
    criterion: &mut Criterion,
    name: &str,
    blocks: usize,
    make: impl Fn(Allocator) -> F,
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(blocks as u64));
    for allocator in BY_NAME {
        one(&mut group, allocator.name, make(allocator));
    }
    one(&mut group, "bifold again", make(BY_NAME[0]));
    group.finish();
}

fn one(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut call: impl FnMut()) {
    group.bench_function(name, |bencher| bencher.iter(&mut call));
}

/// A pattern without a state between its calls.
fn plain(criterion: &mut Criterion, name: &str, blocks: usize, run: fn(&Allocator, usize)) {
    pattern(criterion, name, blocks, |allocator| {
        move || run(&allocator, blocks)
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1500))
        .configure_from_args();
    for allocator in BY_NAME {
        (allocator.enter)();
    }
    let criterion = &mut criterion;
    plain(criterion, "pair", BLOCKS, micro::pair);
    plain(criterion, "last first", BLOCKS, micro::last_first);
    plain(criterion, "first first", BLOCKS, micro::first_first);
    pattern(criterion, "replace", BLOCKS, |allocator| {
        let mut live = Live::new(allocator);
        move || live.replace(BLOCKS)
    });
    plain(criterion, "grow", GROWN, micro::grow);
    pattern(criterion, "remote free", HANDED, |allocator| {
        let mut remote = Remote::new(allocator, HANDED);
        move || remote.round()
    });
    pattern(criterion, "thread birth", 1, |allocator| {
        move || micro::birth(allocator)
    });
    criterion.final_summary();
}
