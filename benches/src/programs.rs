//! Real programs under each allocator: the same output as under glibc is the
//! bar; CPU time, page faults and peak memory are recorded beside it.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::allocators::{self, Allocator};
use crate::measure::Outcome;
use crate::measure::process::Usage;
use crate::measure::programs::{Length, Run, WORKLOADS, Workload};
use crate::table::{Table, progress_bar};

#[derive(Args)]
pub struct Arguments {
    /// Runs of each program under each allocator, interleaved; the best counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Real programs to run, instead of all
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// What has been seen of one program under one allocator.
#[derive(Default)]
struct Cell {
    best: Option<Usage>,
    output: Vec<u8>,
    failure: Option<String>,
}

impl Cell {
    fn add(&mut self, run: Outcome<Run>) {
        match run {
            Err(failure) => self.failure = Some(failure),
            Ok(run) => {
                let usage = run.usage;
                if self.best.is_some() && self.output != run.stdout {
                    self.failure = Some("two runs wrote different output".to_owned());
                }
                self.output = run.stdout;
                self.best = Some(self.best.map_or(usage, |best| least(best, usage)));
            }
        }
    }
}

/// The lesser of each figure: what disturbs a run only adds.
fn least(a: Usage, b: Usage) -> Usage {
    Usage {
        cpu: a.cpu.min(b.cpu),
        faults: a.faults.min(b.faults),
        peak_kib: a.peak_kib.min(b.peak_kib),
    }
}

/// Runs the programs and prints their table; false when bifold's output is not
/// glibc's.
pub fn print(arguments: &Arguments, library: PathBuf, scratch: &Path) -> Outcome<bool> {
    let mut allocators = vec![Allocator::glibc(), Allocator::bifold(library)];
    allocators.extend(allocators::peers());
    let workloads = chosen(&arguments.only)?;
    let cells = run_all(&workloads, &allocators, arguments.runs, scratch);

    let heads = [
        "",
        "allocator",
        "CPU s",
        "/ glibc",
        "faults",
        "peak MiB",
        "output",
    ];
    let mut table = Table::new(heads);
    let mut remarks = Vec::new();
    let mut met = true;
    for (workload, cells) in workloads.iter().zip(&cells) {
        let glibc = &cells[0];
        for (allocator, cell) in allocators.iter().zip(cells) {
            let title = if allocator.name == "glibc" {
                workload.name
            } else {
                ""
            };
            let verdict = verdict(cell, glibc, allocator);
            met &= allocator.name != "bifold" || verdict == "ok";
            if let Some(failure) = &cell.failure {
                remarks.push(format!(
                    "{} under {}: {failure}",
                    workload.name, allocator.name
                ));
            }
            let mut row = vec![title.to_owned(), allocator.name.to_owned()];
            row.extend(figures(cell.best, glibc.best));
            row.push(verdict.to_owned());
            table.row(row);
        }
    }
    for (k, allocator) in allocators.iter().enumerate() {
        let title = if k == 0 { "geometric mean" } else { "" };
        let (cpu, peak) = means(&cells, k);
        table.row(vec![
            title.to_owned(),
            allocator.name.to_owned(),
            String::new(),
            format!("{cpu:.3}"),
            String::new(),
            format!("x {peak:.3}"),
        ]);
    }
    table.print(&format!("Real programs, best of {} runs", arguments.runs));
    for remark in remarks {
        println!("  {remark}");
    }
    Ok(met)
}

/// The workloads asked for that can run here.
fn chosen(only: &[String]) -> Outcome<Vec<&'static Workload>> {
    let known = |name: &String| WORKLOADS.iter().any(|workload| workload.name == name);
    if let Some(unknown) = only.iter().find(|name| !known(name)) {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        return Err(format!("{unknown}: not one of {}", names.join(", ")));
    }
    let wanted = |workload: &&Workload| only.is_empty() || only.iter().any(|n| n == workload.name);
    let installed = |workload: &&Workload| {
        let missing = workload.missing();
        if let Some(program) = missing {
            println!("skipped: {program} not installed");
        }
        missing.is_none()
    };
    Ok(WORKLOADS.iter().filter(wanted).filter(installed).collect())
}

/// Cells by workload and allocator. The allocators take turns, each round in
/// another order, so that what changes with time does not favour one.
fn run_all(
    workloads: &[&Workload],
    allocators: &[Allocator],
    runs: u32,
    scratch: &Path,
) -> Vec<Vec<Cell>> {
    let empty = || allocators.iter().map(|_| Cell::default()).collect();
    let mut cells: Vec<Vec<Cell>> = workloads.iter().map(|_| empty()).collect();
    let steps = runs as usize * workloads.len() * allocators.len();
    let progress = progress_bar(steps);
    for round in 0..runs as usize {
        for (workload, cells) in workloads.iter().zip(&mut cells) {
            for k in 0..allocators.len() {
                let which = (k + round) % allocators.len();
                let allocator = &allocators[which];
                progress.set_message(format!("{} under {}", workload.name, allocator.name));
                cells[which].add(workload.run(Length::Long, allocator.object(), scratch));
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    cells
}

fn verdict(cell: &Cell, glibc: &Cell, allocator: &Allocator) -> &'static str {
    if cell.failure.is_some() {
        "failed"
    } else if allocator.name == "glibc" {
        ""
    } else if cell.output == glibc.output {
        "ok"
    } else {
        "MISS"
    }
}

/// CPU time, its ratio to glibc's, faults and peak.
fn figures(usage: Option<Usage>, glibc: Option<Usage>) -> [String; 4] {
    let Some(usage) = usage else {
        return Default::default();
    };
    let cpu = usage.cpu.as_secs_f64();
    let ratio = glibc.map(|glibc| cpu / glibc.cpu.as_secs_f64());
    [
        format!("{cpu:.3}"),
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}")),
        usage.faults.to_string(),
        format!("{:.1}", usage.peak_kib as f64 / 1024.0),
    ]
}

/// CPU time and peak relative to glibc's, over the programs that ran.
fn means(cells: &[Vec<Cell>], which: usize) -> (f64, f64) {
    let pairs: Vec<(Usage, Usage)> = cells
        .iter()
        .filter_map(|cells| Some((cells[which].best?, cells[0].best?)))
        .collect();
    let mean = |ratio: fn(&(Usage, Usage)) -> f64| {
        let logs: f64 = pairs.iter().map(|pair| ratio(pair).ln()).sum();
        (logs / pairs.len() as f64).exp()
    };
    (
        mean(|(own, glibc)| own.cpu.as_secs_f64() / glibc.cpu.as_secs_f64()),
        mean(|(own, glibc)| own.peak_kib as f64 / glibc.peak_kib as f64),
    )
}
