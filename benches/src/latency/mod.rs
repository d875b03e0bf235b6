//! `latency`: how long single calls of malloc and free take.
//!
//! `row` says what is timed, `child` times it in a process of its own with the
//! clock of `clock`; here the runs are started, in rounds and in random order,
//! and `report` shows what came out.

mod child;
mod clock;
mod report;
mod row;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::compare::{self, Contender, Machine, Random};
use crate::measure::{Figures, Outcome, process};
use crate::table::progress_bar;

use child::EVENTS;
pub use child::{Arguments as ChildArguments, run as run_child};
use row::{QUANTILES, ROWS, Row};

const TIME_LIMIT: Duration = Duration::from_secs(300);

#[derive(Args)]
pub struct Arguments {
    /// Short walks and two runs
    #[arg(long)]
    quick: bool,

    /// Rows to run, instead of all
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,

    /// Allocators to run, instead of all that are to be had; bifold always runs
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    allocators: Vec<String>,

    /// Runs of each row under each allocator; the median of each quantile
    /// counts [default: 5, or 2 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,

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

/// What came out of one row under one contender: for each event the quantiles
/// in nanoseconds, a value for each run.
#[derive(Clone, Serialize)]
pub struct Cell {
    pub events: Vec<Vec<Vec<f64>>>,
    pub failure: Option<String>,
}

/// The whole measurement; `cells` goes by row, then by contender.
#[derive(Serialize)]
pub struct Results {
    pub quick: bool,
    pub runs: u32,
    pub seed: u64,
    pub machine: Machine,
    pub contenders: Vec<Contender>,
    pub rows: Vec<&'static str>,
    pub events: [&'static str; 3],
    pub quantiles: [&'static str; 4],
    pub cells: Vec<Vec<Cell>>,
}

/// Measures and shows; false when bifold failed or misses the bar.
pub fn print(arguments: &Arguments) -> Outcome<bool> {
    if !clock::has_counter() {
        return Err("the processor's counter does not run evenly".to_owned());
    }
    let rows = chosen(&arguments.only)?;
    let contenders = compare::find_with_bifold(
        &arguments.allocators,
        arguments.library.as_deref(),
        "bifold",
    )?;
    let default = if arguments.quick { 2 } else { 5 };
    let empty = Cell {
        events: vec![vec![Vec::new(); QUANTILES.len()]; EVENTS.len()],
        failure: None,
    };
    let mut results = Results {
        quick: arguments.quick,
        runs: arguments.runs.unwrap_or(default),
        seed: arguments.seed,
        machine: Machine::read(),
        rows: rows.iter().map(|row| row.name).collect(),
        events: EVENTS,
        quantiles: QUANTILES.map(|(_, title)| title),
        cells: vec![vec![empty; contenders.len()]; rows.len()],
        contenders,
    };
    if results.machine.is_busy() {
        println!("other processes are running: expect noise");
    }
    run_all(&mut results, &rows);
    let met = report::print(&results, &rows);
    if let Some(path) = &arguments.json {
        compare::write_json(path, &results)?;
    }
    Ok(met)
}

fn chosen(only: &[String]) -> Outcome<Vec<&'static Row>> {
    let names = ROWS.each_ref().map(|row| row.name);
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("{unknown}: not one of {}", names.join(", ")));
    }
    let wants = |row: &&Row| only.is_empty() || only.iter().any(|name| name == row.name);
    Ok(ROWS.iter().filter(wants).collect())
}

/// In rounds, each in a random order of its own.
fn run_all(results: &mut Results, rows: &[&Row]) {
    let contenders = results.contenders.len();
    let mut order: Vec<(usize, usize)> = (0..rows.len())
        .flat_map(|row| (0..contenders).map(move |contender| (row, contender)))
        .collect();
    let mut random = Random::new(results.seed);
    let progress = progress_bar(order.len() * results.runs as usize);
    for _ in 0..results.runs {
        random.shuffle(&mut order);
        for &(row, contender) in &order {
            progress.inc(1);
            let cell = &mut results.cells[row][contender];
            let (row, contender) = (rows[row], &results.contenders[contender]);
            progress.set_message(format!("{} under {}", row.name, contender.name));
            if cell.failure.is_none()
                && let Err(failure) = measure(cell, row, contender, results.quick)
            {
                cell.failure = Some(failure);
            }
        }
    }
    progress.finish_and_clear();
}

fn measure(cell: &mut Cell, row: &Row, contender: &Contender, is_quick: bool) -> Outcome<()> {
    let mut command = compare::this_program(&[contender.object()])?;
    command
        .args(["latencies", row.name])
        .args(["--threads", &row.threads().to_string()])
        .args(["--steps", &row.steps(is_quick).to_string()]);
    let finished = process::run(&mut command, TIME_LIMIT)?.success(row.name)?;
    let figures = Figures::parse(finished.text());
    for (event, quantiles) in EVENTS.iter().zip(&mut cell.events) {
        for ((_, title), values) in QUANTILES.iter().zip(quantiles) {
            values.push(figures.get(&format!("{event}.{title}"))?);
        }
    }
    Ok(())
}
