//! `scaling`: what becomes of throughput and peak memory as threads are added,
//! and what bifold's threads have to do with one another.
//!
//! The runs are `compare`'s, with rows of another kind. `row` makes these,
//! `counts` counts what threads do to each other, `report` shows both.

mod atomics;
mod counts;
mod report;
mod row;
mod syscalls;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::build;
use crate::compare::{self, Machine, Results, Settings};
use crate::measure::Outcome;

#[derive(Args)]
pub struct Arguments {
    /// Little work, up to 16 threads, two runs
    #[arg(long)]
    quick: bool,

    /// Workloads to run, instead of all
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,

    /// Allocators to run, instead of all that are to be had; bifold always runs
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    allocators: Vec<String>,

    /// Numbers of threads [default: 1,2,4,8,16,32,64]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS",
        value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Vec<u16>,

    /// Runs of each row under each allocator; the best counts [default: 3, or 2
    /// with --quick]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,

    /// Whose atomic steps, locks, waits and system calls are counted
    #[arg(long, value_enum, default_value_t = Counted::Bifold)]
    counts: Counted,

    /// Decides the order of the runs
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Measure this library as bifold, instead of building it
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,

    /// Where the figures go, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Counted {
    None,
    Bifold,
    All,
}

/// Measures, counts and shows; false when bifold failed somewhere.
pub fn print(arguments: &Arguments) -> Outcome<bool> {
    let settings = Settings {
        quick: arguments.quick,
        runs: arguments
            .runs
            .unwrap_or(if arguments.quick { 2 } else { 3 }),
        seed: arguments.seed,
    };
    let plan = row::plan(&arguments.only, &arguments.threads, settings.quick)?;
    let contenders = compare::find_with_bifold(
        &arguments.allocators,
        arguments.library.as_deref(),
        "bifold",
    )?;
    let scratch = build::scratch()?;
    let rows = plan.iter().map(row::Step::row).collect();
    let mut results = Results::new(settings, Machine::read(), contenders, rows);
    if results.machine.is_busy() {
        println!("other processes are running: expect noise");
    }
    compare::run_all(&mut results, &scratch, None);
    results.judge();
    report::print(&results, &plan);
    let counts = match arguments.counts {
        Counted::None => Vec::new(),
        who => {
            let number = match who {
                Counted::All => results.contenders.len(),
                _ => 1,
            };
            counts::count(&plan, &results.contenders[..number], &scratch)
        }
    };
    report::print_counts(&counts, &results.contenders);
    println!("\n{}", results.machine.line());
    for contender in &results.contenders {
        println!("{}: {}", contender.name, contender.version);
    }
    if let Some(path) = &arguments.json {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(flatten)]
            results: &'a Results,
            counts: &'a [counts::Line],
        }
        let document = Document {
            results: &results,
            counts: &counts,
        };
        compare::write_json(path, &document)?;
    }
    Ok(!results.has_failed("bifold"))
}
