//! The workloads that allocators are compared by.
//!
//! Each runs in a process of its own and calls the C functions, so that
//! `LD_PRELOAD` decides who serves them: `bifold-bench work larson`. What a
//! workload returns is the same for equal threads and scale, whoever serves:
//! a different sum is a wrong result.

mod batches;
mod churn;
mod command;
mod document;
mod glibc;
pub mod kit;
mod large;
pub mod larson;
mod list;
pub mod live;
mod numbers;
mod phase;
mod pipeline;
mod replace;
mod rptest;
mod sets;
mod sharing;
mod stress;
mod strings;
mod trees;
mod vectors;
pub mod xmalloc;

pub use command::{Arguments, run};
pub use list::WORKLOADS;

/// How many threads a workload is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One.
    One,
    /// One a core.
    Cores,
    /// Two a core.
    TwiceCores,
}

/// Which geometric mean a workload counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Those which allocators have long been compared by.
    Classic,
    /// The project's own.
    Further,
}

/// A program that allocates.
pub struct Workload {
    /// What it is called on the command line and in reports.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Which mean it counts in.
    pub group: Group,
    /// The numbers of threads for which it makes sense.
    pub threads: &'static [Threads],
    /// Runs it with so many threads and at that scale, and returns its sum.
    /// Time grows with the scale, the memory in use does not.
    pub run: fn(threads: usize, scale: u32) -> u64,
    /// The scale for a run of some tenths of a second.
    pub quick: u32,
    /// The scale for a run of about a second.
    pub full: u32,
}
