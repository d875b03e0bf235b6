//! Measures bifold: `cargo run --release -p bifold-bench -- --help`.
//!
//! `bars` prints what the project has set itself, each figure beside its bar;
//! `compare` shows bifold beside its peers, over the workloads of `work`;
//! `latency` times single calls, `scaling` goes up to 64 threads; `soak` looks
//! for memory that grows.
//! How the figures are taken is `measure`'s business, which the tests share.

mod allocators;
mod bars;
mod build;
mod compare;
mod flat;
mod latency;
#[path = "../../tests/measure/mod.rs"]
mod measure;
mod pairs;
mod policies;
mod programs;
mod scaling;
mod soak;
mod steps;
mod table;
mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures bifold, and what else serves malloc")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the bars, and exit with 1 when one is missed
    Bars(bars::Arguments),
    /// Run every workload under every allocator, side by side
    Compare(compare::Arguments),
    /// Time single calls of malloc and free
    Latency(latency::Arguments),
    /// Add threads, and show throughput, peak memory and what they share
    Scaling(scaling::Arguments),
    /// Run programs for minutes, and exit with 1 when their memory grows
    Soak(soak::Arguments),
    /// Run one workload, and print what it took
    Work(work::Arguments),
    /// Run one real program, and print what it took
    #[command(hide = true)]
    Program(compare::ProgramArguments),
    /// Time the calls of one walk, and print the quantiles
    #[command(hide = true)]
    Latencies(latency::ChildArguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Action::Bars(arguments) => bars::print(&arguments),
        Action::Compare(arguments) => compare::print(&arguments),
        Action::Latency(arguments) => latency::print(&arguments),
        Action::Scaling(arguments) => scaling::print(&arguments),
        Action::Soak(arguments) => soak::run(&arguments),
        Action::Work(arguments) => work::run(&arguments),
        Action::Program(arguments) => compare::run_program(&arguments),
        Action::Latencies(arguments) => latency::run_child(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
