//! `compare`: every workload under every allocator, side by side.
//!
//! `contender` finds the allocators, `row` says what is run, `schedule` runs
//! it in random order, `results` keeps what came out. `summary` makes ratios
//! and means of it, and `noise` says how much of them is chance; `terminal`,
//! `report` and `results` itself (as JSON) show them.

mod child;
mod contender;
mod counts;
mod machine;
mod noise;
mod random;
mod report;
mod results;
mod row;
mod schedule;
mod summary;
mod svg;
mod terminal;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;

use crate::build;
use crate::measure::{Outcome, workspace};

pub use child::{Arguments as ProgramArguments, run as run_program, this_program, work_arguments};
pub use contender::{Contender, find_with_bifold};
pub use machine::Machine;
pub use random::Random;
pub use results::{Cell, Results, Settings};
pub use row::{Group, Row, Task};
pub use schedule::run as run_all;
pub use terminal::word;

/// What a quick look may take once everything is built.
const QUICK_BUDGET: Duration = Duration::from_secs(105);

#[derive(Args)]
pub struct Arguments {
    /// Small scales and two runs: a first look, in under two minutes
    #[arg(long)]
    quick: bool,

    /// Workloads and programs to run, instead of all
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,

    /// Allocators to run, instead of all that are to be had
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    allocators: Vec<String>,

    /// Runs of each workload under each allocator; the best counts [default:
    /// 5, or 2 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,

    /// The allocator that runs a second time under another name
    #[arg(long, value_name = "NAME", default_value = contender::DEFAULT_NULL)]
    null: String,

    /// Count system calls (strace) and instructions (callgrind) too
    #[arg(long)]
    counts: bool,

    /// Decides the order of the runs [default: the clock]
    #[arg(long)]
    seed: Option<u64>,

    /// Measure this library as bifold, instead of building it
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,

    /// Where the figures go [default: target/compare/results.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Where the report goes [default: target/compare/report.html]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs the comparison and shows it; false when bifold failed somewhere.
pub fn print(arguments: &Arguments) -> Outcome<bool> {
    let settings = Settings {
        quick: arguments.quick,
        runs: arguments
            .runs
            .unwrap_or(if arguments.quick { 2 } else { 5 }),
        seed: arguments.seed.unwrap_or_else(clock),
    };
    let rows = row::rows(&arguments.only, &settings)?;
    let scratch = build::scratch()?;
    let contenders = contender::find(
        &arguments.allocators,
        arguments.library.as_deref(),
        &arguments.null,
    )?;
    println!("seed {}, {} runs", settings.seed, settings.runs);
    let mut results = Results::new(settings, machine::Machine::read(), contenders, rows);
    if results.machine.is_busy() {
        println!("other processes are running: expect noise");
    }
    let budget = (arguments.quick && arguments.runs.is_none()).then_some(QUICK_BUDGET);
    schedule::run(&mut results, &scratch, budget);
    if arguments.counts {
        counts::add(&mut results, &scratch);
    }
    results.judge();
    let summary = summary::Summary::of(&results);
    terminal::print(&results, &summary);

    let default = workspace().join("target").join("compare");
    let json = place(arguments.json.as_deref(), &default, "results.json");
    write_json(&json, &results.document(&summary))?;
    let html = place(arguments.report.as_deref(), &default, "report.html");
    write(&html, &report::html(&results, &summary))?;
    println!("\n{}\n{}", json.display(), html.display());
    Ok(!results.has_failed("bifold"))
}

fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| time.as_secs())
}

fn place(wanted: Option<&Path>, default: &Path, name: &str) -> PathBuf {
    wanted.map_or_else(|| default.join(name), Path::to_owned)
}

/// Writes figures as JSON.
pub fn write_json(path: &Path, figures: &impl Serialize) -> Outcome<()> {
    let text = serde_json::to_string_pretty(figures).map_err(|error| error.to_string())?;
    write(path, &(text + "\n"))
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    let failure = |error| format!("{}: {error}", path.display());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failure)?;
    }
    fs::write(path, text).map_err(failure)
}
