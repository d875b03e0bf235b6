//! The workloads by name, with the threads and scales they run at.

use super::Group::{Classic, Further};
use super::Threads::{Cores, One, TwiceCores};
use super::{Group, Threads, Workload};
use super::{
    batches, churn, document, glibc, large, larson, live, numbers, phase, pipeline, replace,
    rptest, sets, sharing, stress, strings, trees, vectors, xmalloc,
};

/// A line of the list.
const fn workload(
    group: Group,
    name: &'static str,
    run: fn(usize, u32) -> u64,
    threads: &'static [Threads],
    (quick, full): (u32, u32),
    about: &'static str,
) -> Workload {
    Workload {
        name,
        about,
        group,
        threads,
        run,
        quick,
        full,
    }
}

const ALONE: &[Threads] = &[One];
const TOGETHER: &[Threads] = &[Cores];
const BOTH: &[Threads] = &[One, Cores];
const CROWDED: &[Threads] = &[Cores, TwiceCores];
const ALL: &[Threads] = &[One, Cores, TwiceCores];

/// All workloads.
#[rustfmt::skip]
pub const WORKLOADS: &[Workload] = &[
    workload(Classic, "larson", larson::run, ALL, (200, 1200),
        "a server whose threads hand their blocks to successors"),
    workload(Classic, "xmalloc", xmalloc::run, CROWDED, (900, 5000),
        "some threads only allocate, others only free"),
    workload(Classic, "cache-scratch", sharing::scratch, TOGETHER, (1500, 9000),
        "threads write to blocks, the first from one thread"),
    workload(Classic, "cache-thrash", sharing::thrash, TOGETHER, (1500, 9000),
        "threads write to blocks of their own"),
    workload(Classic, "sh6bench", batches::sh6, BOTH, (1500, 9000),
        "batches freed partly in reverse"),
    workload(Classic, "sh8bench", batches::sh8, CROWDED, (600, 3500),
        "batches freed by other threads"),
    workload(Classic, "mstress", stress::run, CROWDED, (200, 1200),
        "threads exchange random blocks, and start anew"),
    workload(Classic, "rptest", rptest::run, CROWDED, (40, 250),
        "up to 16 kB, random, with batches for a neighbour"),
    workload(Classic, "alloc-test", live::run, BOTH, (150, 900),
        "a random set of live blocks, power laws throughout"),
    workload(Classic, "glibc-simple", glibc::simple, ALONE, (40, 200),
        "many blocks of a size, freed in order"),
    workload(Classic, "glibc-thread", glibc::thread, ALL, (500, 3000),
        "random replacement in a small working set"),
    workload(Classic, "cfrac", numbers::run, ALONE, (1500, 10000),
        "arithmetic on numbers of a few words"),
    workload(Classic, "espresso", sets::run, ALONE, (700, 5000),
        "families of bit sets, crossed and mostly dropped"),
    workload(Classic, "large", large::run, BOTH, (40, 250),
        "blocks of 5 to 25 MiB"),
    workload(Classic, "mleak", churn::leave, BOTH, (800, 5000),
        "short threads that each leave a few blocks"),
    workload(Further, "trees", trees::run, BOTH, (250, 1500),
        "binary trees built and taken apart"),
    workload(Further, "strings", strings::run, BOTH, (60, 350),
        "a hash map with string keys"),
    workload(Further, "vectors", vectors::run, BOTH, (80, 500),
        "vectors that grow by realloc"),
    workload(Further, "phase", phase::run, BOTH, (12, 72),
        "phases of one size, most of each freed at random"),
    workload(Further, "bursts", churn::bursts, TOGETHER, (60, 400),
        "bursts of threads that allocate a bit and end"),
    workload(Further, "aligned", replace::aligned, BOTH, (60, 400),
        "random replacement of aligned blocks"),
    workload(Further, "calloc", replace::zeroed, BOTH, (20, 120),
        "random replacement of zeroed blocks, some large"),
    workload(Further, "medium", replace::medium, BOTH, (50, 300),
        "random replacement of 1 to 64 KiB"),
    workload(Further, "document", document::run, BOTH, (300, 1800),
        "documents like JSON's built, written and freed"),
    workload(Further, "log", replace::log, BOTH, (60, 400),
        "a queue of lines, the oldest freed first"),
    workload(Further, "pipeline", pipeline::run, CROWDED, (2000, 12000),
        "three stages that make, replace and free"),
];
