//! `soak`: programs that stay, under load for minutes; their memory must be
//! flat.
//!
//! A server under its benchmark, an interpreter with threads, and a program of
//! threads and forks go round in processes that stay; beside them real
//! programs come and go. Once a second each process that stays is looked at from
//! outside: resident memory and mappings; the last two also say what bifold has
//! live between two rounds. What [`Series::growth`] says of the figures must be
//! below a bound.

mod process;
mod series;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use self::process::Lasting;
use self::series::Series;
use crate::build::{self, Checks};
use crate::measure::programs::{Length, WORKLOADS, python, script};
use crate::measure::redis::Server;
use crate::measure::{Bar, Limit, Outcome, Rig, short};
use crate::table::Table;

#[derive(Args)]
pub struct Arguments {
    /// For how long
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,

    /// Preload this library, instead of building bifold's
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,

    /// Have a program forget so many bytes in each round, and exit with 1 unless
    /// that is found
    #[arg(long, value_name = "BYTES", hide = true)]
    leak: Option<u64>,
}

const PACE: Duration = Duration::from_secs(1);

/// What must grow where a program leaks on purpose.
const LEAKING: &str = "threads: live KiB";

/// What runs beside the processes that stay: of the workloads, those that come
/// and go.
const NOT_HERE: &str = "redis";

/// Runs it all, and prints the verdict; false when a figure has grown, or a
/// program has failed.
pub fn run(arguments: &Arguments) -> Outcome<bool> {
    let time = Duration::try_from_secs_f64(arguments.minutes * 60.0)
        .map_err(|error| format!("--minutes {}: {error}", arguments.minutes))?;
    let library = match &arguments.library {
        Some(path) => path
            .canonicalize()
            .map_err(|error| format!("{}: {error}", path.display()))?,
        None => build::library(Checks::Default)?,
    };
    let scratch = build::scratch()?;
    let rig = Rig {
        library: Some(&library),
        scratch: &scratch,
        compile: &|source, output, arguments| build::c_program(&scratch, source, output, arguments),
    };
    let mut lasting = start(&rig, arguments.leak)?;
    let server = Server::start(&library, &scratch);
    match &server {
        Ok(server) => lasting.push(Lasting::watch("redis-server", server.id(), None)),
        Err(failure) => println!("skipped: redis-server: {failure}"),
    }

    let is_over = AtomicBool::new(false);
    let rounds = AtomicU32::new(0);
    let done = thread::scope(|scope| {
        let passing = scope.spawn(|| come_and_go(&library, &scratch, &is_over, &rounds));
        let load = server.as_ref().ok().map(|server| {
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    server.load()?;
                }
                Ok(())
            })
        });
        let looked = look(&mut lasting, time, || {
            passing.is_finished() || load.as_ref().is_some_and(|load| load.is_finished())
        });
        is_over.store(true, Ordering::Relaxed);
        let ends = [Some(passing), load].into_iter().flatten();
        let ended: Outcome<Vec<()>> = ends
            .map(|thread| thread.join().expect("no thread here panics"))
            .collect();
        looked.and(ended)
    });
    done?;
    println!("{} programs came and went", rounds.into_inner());
    let grown = verdict(&lasting);
    Ok(match arguments.leak {
        None => grown.is_empty(),
        Some(_) => grown.iter().any(|name| name == LEAKING),
    })
}

/// The processes that stay, but for the server.
fn start(rig: &Rig<'_>, leak: Option<u64>) -> Outcome<Vec<Lasting>> {
    let program = (rig.compile)("soak", "soak", &[]);
    let leak = leak.map(|bytes| bytes.to_string());
    let words: Vec<&str> = leak.iter().map(String::as_str).collect();
    let mut lasting = vec![Lasting::start(
        rig,
        "threads",
        program.as_ref(),
        None,
        &words,
    )?];
    match python() {
        Some(python) => {
            let script = script("soak.py");
            lasting.push(Lasting::start(rig, "python3", python, Some(&script), &[])?);
        }
        None => println!("skipped: python3 not installed"),
    }
    Ok(lasting)
}

/// Runs the programs that are there, one after the other, until it is over.
fn come_and_go(
    library: &Path,
    scratch: &Path,
    is_over: &AtomicBool,
    rounds: &AtomicU32,
) -> Outcome<()> {
    let mut here = Vec::new();
    for workload in WORKLOADS.iter().filter(|one| one.name != NOT_HERE) {
        match workload.missing() {
            Some(program) => println!("skipped: {program} not installed"),
            None => here.push(workload),
        }
    }
    if here.is_empty() {
        return wait_for(is_over);
    }
    for workload in here.iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        workload
            .run(Length::Short, library.as_os_str(), scratch)
            .map_err(|failure| format!("{}: {failure}", workload.name))?;
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn wait_for(is_over: &AtomicBool) -> Outcome<()> {
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(PACE);
    }
    Ok(())
}

/// Takes a sample of each process at every pace, until the time is over or the
/// load has stopped, which it does early only where something fails.
fn look(lasting: &mut [Lasting], time: Duration, has_stopped: impl Fn() -> bool) -> Outcome<()> {
    let end = Instant::now() + time;
    while Instant::now() < end && !has_stopped() {
        thread::sleep(PACE);
        for process in &mut *lasting {
            process.look()?;
        }
    }
    Ok(())
}

/// Prints each figure's growth beside its bound, and returns the names of those
/// that are above theirs.
fn verdict(lasting: &[Lasting]) -> Vec<String> {
    let mut table = Table::new(["", "level", "grown by", "bound", ""]);
    let mut grown = Vec::new();
    for process in lasting {
        for (figure, series, slack) in process.figures() {
            let name = format!("{}: {figure}", process.name);
            // Too few samples are no verdict, and so a failure.
            let growth = series.growth().unwrap_or(f64::INFINITY);
            let bar = Bar::new(name, growth, "", Limit::AtMost(series.bound(slack)));
            table.row(vec![
                bar.name.clone(),
                short(series.level()),
                short(growth),
                bar.limit.to_string(),
                if bar.is_met() { "ok" } else { "GROWS" }.to_owned(),
            ]);
            if !bar.is_met() {
                grown.push(bar.name);
            }
        }
    }
    table.print("Soak: from the first third after the warm-up to the last, medians");
    grown
}

/// Where a process that stays keeps its figures.
fn figures_file(scratch: &Path, name: &str) -> PathBuf {
    scratch.join(format!("soak.{name}.{}", std::process::id()))
}
