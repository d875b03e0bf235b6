//! `bars`: what the project has set itself, each figure beside its bar.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::allocators::{self, Allocator};
use crate::build::{self, Checks};
use crate::measure::callgrind::{self, PATTERNS};
use crate::measure::listing::Listing;
use crate::measure::memory::SCENARIOS;
use crate::measure::{Bar, Limit, Outcome, Rig, short, waste};
use crate::table::{Table, progress_bar};
use crate::{flat, pairs, policies, programs};

#[derive(Args)]
pub struct Arguments {
    /// Which bars; all of them when left out
    subject: Option<Subject>,

    /// Show the figures of other allocators too: for instructions all that
    /// `compare` knows, else glibc's and those that Debian packages; or of these
    #[arg(long, value_name = "NAMES", num_args = 0.., require_equals = true, value_delimiter = ',')]
    peers: Option<Vec<String>>,

    /// Measure this library, instead of building bifold's
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,

    #[command(flatten)]
    programs: programs::Arguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Instructions for a malloc and a free
    Instructions,
    /// The same and slow paths among 10 million live blocks
    Flat,
    /// Resident memory, trim, and address space limits
    Memory,
    /// How much larger than asked for blocks are
    Waste,
    /// Output, CPU time, faults and peak memory of real programs
    Programs,
    /// Huge pages: growing, forking, real programs
    Policies,
}

/// A line of a table: what it measures, for any allocator.
struct Row {
    name: &'static str,
    bars: Box<Measure>,
}

type Measure = dyn Fn(&Rig<'_>) -> Outcome<Vec<Bar>>;

/// Prints the tables asked for; false when a bar is missed.
pub fn print(arguments: &Arguments) -> Outcome<bool> {
    let wants = |subject| arguments.subject.is_none_or(|only| only == subject);
    let library = match &arguments.library {
        Some(path) => path
            .canonicalize()
            .map_err(|error| format!("{}: {error}", path.display()))?,
        None => build::library(Checks::Default)?,
    };
    let scratch = build::scratch()?;
    let mut allocators = vec![Allocator::bifold(library.clone())];
    if let Some(names) = &arguments.peers {
        let wants = |peer: &Allocator| names.is_empty() || names.iter().any(|n| n == peer.name);
        let peers = [Allocator::glibc()].into_iter().chain(allocators::peers());
        allocators.extend(peers.filter(wants));
    }
    let mut met = true;
    if wants(Subject::Instructions) {
        let built_here = arguments.library.is_none();
        met &= whole_functions(&library, built_here).unwrap_or_else(|failure| {
            println!("failed: {failure}");
            false
        });
        met &= table(
            "Instructions for one malloc and free, loop and call included",
            &pattern_rows(),
            &allocators[..1],
            &scratch,
        );
        if let Some(names) = &arguments.peers
            && callgrind::is_available()
        {
            let compile = compiler(&scratch);
            met &= pairs::print(names, arguments.library.as_deref(), &scratch, &compile)?;
        }
    }
    if wants(Subject::Flat) && has_valgrind() {
        let rows = [Row {
            name: "flat",
            bars: Box::new(flat::bars),
        }];
        met &= table("Flat cost", &rows, &allocators, &scratch);
    }
    if wants(Subject::Memory) {
        let rows = SCENARIOS.map(|scenario| Row {
            name: scenario.name,
            bars: Box::new(scenario.bars),
        });
        met &= table("Memory", &rows, &allocators, &scratch);
    }
    if wants(Subject::Waste) {
        let rows = [Row {
            name: "waste",
            bars: Box::new(waste::bars),
        }];
        let title = "Waste: usable/requested, 65 B to 1 MiB, log-uniform";
        met &= table(title, &rows, &allocators, &scratch);
    }
    if wants(Subject::Programs) {
        met &= programs::print(&arguments.programs, library.clone(), &scratch)?;
    }
    if wants(Subject::Policies) {
        let bars = policies::bars(&library, &scratch)?;
        let mut table = Table::new(["", "bar", "bifold", ""]);
        for bar in &bars {
            table.row(verdict_cells(bar));
        }
        table.print("Huge pages, best of 5 rounds");
        let details = bars.iter().find(|bar| !bar.detail.is_empty());
        if let Some(bar) = details {
            println!("  {}", bar.detail);
        }
        met &= bars.iter().all(Bar::is_met);
    }
    Ok(met)
}

fn has_valgrind() -> bool {
    let is_there = callgrind::is_available();
    if !is_there {
        println!("skipped: valgrind not installed");
    }
    is_there
}

fn pattern_rows() -> Vec<Row> {
    if !has_valgrind() {
        return Vec::new();
    }
    PATTERNS
        .iter()
        .map(|pattern| Row {
            name: pattern.title,
            bars: Box::new(|rig| Ok(vec![callgrind::bar(rig, pattern)?])),
        })
        .collect()
}

/// The listing's bars, of the library as it is and of one without its checks.
fn whole_functions(library: &Path, and_unchecked: bool) -> Outcome<bool> {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the listing is read on x86-64 only");
        return Ok(true);
    }
    let mut bars = Listing::of(library)?.bars()?;
    if and_unchecked {
        let unchecked = Listing::of(&build::library(Checks::None)?)?;
        let (malloc, free) = (unchecked.hit_path("malloc")?, unchecked.hit_path("free")?);
        let name = "malloc + free, built without the checks";
        let limit = Limit::AtMost(31.0);
        bars.push(
            Bar::new(name, f64::from(malloc + free), "instructions", limit)
                .detail(format!("malloc {malloc}, free {free}")),
        );
    }
    let mut table = Table::new(["", "bar", "bifold", "", "of which"]);
    for bar in &bars {
        let mut cells = verdict_cells(bar);
        cells.push(bar.detail.clone());
        table.row(cells);
    }
    table.print("Instructions of the hit path, whole functions");
    Ok(bars.iter().all(Bar::is_met))
}

/// Measures the rows under each allocator, the first of which is bifold, and
/// prints them; false when bifold misses a bar or fails.
fn table(title: &str, rows: &[Row], allocators: &[Allocator], scratch: &Path) -> bool {
    let mut heads = vec!["", "bar", "bifold", "", "unit"];
    heads.extend(allocators[1..].iter().map(|allocator| allocator.name));
    let mut table = Table::new(heads);
    let mut remarks = Vec::new();
    let mut met = true;
    let progress = progress_bar(rows.len() * allocators.len());
    for row in rows {
        let mut measured = allocators.iter().map(|allocator| {
            progress.set_message(format!("{}: {}", allocator.name, row.name));
            let bars = measure(row, allocator, scratch);
            progress.inc(1);
            bars.inspect_err(|failure| remarks.push(format!("{}: {failure}", allocator.name)))
        });
        let Some(Ok(bars)) = measured.next() else {
            drop(measured);
            table.row(vec![row.name.to_owned(), String::new(), "failed".into()]);
            met = false;
            continue;
        };
        let others: Vec<_> = measured.map(by_name).collect();
        for bar in bars {
            let mut cells = verdict_cells(&bar);
            cells.push(bar.unit.to_owned());
            cells.extend(others.iter().map(|figures| match figures.get(&bar.name) {
                Some(figure) => short(*figure),
                None => "failed".to_owned(),
            }));
            table.row(cells);
            if !bar.is_met() {
                met = false;
                if !bar.detail.is_empty() {
                    remarks.push(format!("{}: {}", bar.name, bar.detail));
                }
            }
        }
    }
    progress.finish_and_clear();
    table.print(title);
    for remark in remarks {
        println!("  {remark}");
    }
    met
}

/// Name, bar, figure and verdict.
fn verdict_cells(bar: &Bar) -> Vec<String> {
    let verdict = match bar.limit {
        Limit::None => "",
        _ if bar.is_met() => "ok",
        _ => "MISS",
    };
    vec![
        bar.name.clone(),
        bar.limit.to_string(),
        short(bar.figure),
        verdict.to_owned(),
    ]
}

/// Compiles C programs into a directory.
fn compiler(scratch: &Path) -> impl Fn(&str, &str, &[&OsStr]) -> PathBuf {
    move |source, output, arguments| build::c_program(scratch, source, output, arguments)
}

fn measure(row: &Row, allocator: &Allocator, scratch: &Path) -> Outcome<Vec<Bar>> {
    let compile = compiler(scratch);
    (row.bars)(&Rig {
        library: allocator.library.as_deref(),
        scratch,
        compile: &compile,
    })
}

fn by_name(bars: Outcome<Vec<Bar>>) -> BTreeMap<String, f64> {
    let bars = bars.unwrap_or_default().into_iter();
    bars.map(|bar| (bar.name, bar.figure)).collect()
}
