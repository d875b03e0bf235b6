//! What stays resident: small processes, idle and short threads, blocks that
//! are freed by other threads, trim, idle processes, and the address space under
//! a limit.
//!
//! Each scenario is a C program of its own that prints its figures, so that
//! nothing but the allocator under test is in the process.

use std::ffi::OsStr;
use std::fs;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::programs::python;
use super::{Bar, Figures, Limit, Outcome, Rig, process as child};

const TIME_LIMIT: Duration = Duration::from_secs(120);

/// By how much resident memory may vary and still be called flat: some slabs
/// of every class, and far less than a leak in any of the scenarios adds up to.
const FLAT_KIB: f64 = 512.0;

/// Runs of a small process: the least counts, since the kernel maps more or
/// fewer pages of a file around a fault as its cache happens to hold them.
const SMALL_RUNS: u32 = 5;

pub struct Scenario {
    pub name: &'static str,
    pub bars: fn(&Rig<'_>) -> Outcome<Vec<Bar>>,
}

pub const SCENARIOS: [Scenario; 8] = [
    Scenario {
        name: "small processes",
        bars: small_processes,
    },
    Scenario {
        name: "idle threads",
        bars: idle_threads,
    },
    Scenario {
        name: "short threads",
        bars: short_threads,
    },
    Scenario {
        name: "producer consumer",
        bars: producer_consumer,
    },
    Scenario {
        name: "only frees",
        bars: only_frees,
    },
    Scenario {
        name: "trim",
        bars: trim,
    },
    Scenario {
        name: "idle process",
        bars: idle_process,
    },
    Scenario {
        name: "limits",
        bars: limits,
    },
];

/// Runs a C program under the library, and returns the figures that it prints.
pub fn scenario(rig: &Rig<'_>, name: &str, arguments: &[&str]) -> Outcome<Figures> {
    let program = (rig.compile)(name, name, &["-lm".as_ref()]);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let objects: Vec<_> = rig.library.iter().map(|path| path.as_os_str()).collect();
    child::preload(&mut command, &objects);
    let finished = child::run(&mut command, TIME_LIMIT)?.success(name)?;
    Ok(Figures::parse(finished.text()))
}

/// `true`, `ls` and an empty python at exit, beside glibc's.
pub fn small_processes(rig: &Rig<'_>) -> Outcome<Vec<Bar>> {
    let mut commands: Vec<(_, &OsStr, &[&str])> = vec![
        ("true", "true".as_ref(), &[]),
        ("ls", "ls".as_ref(), &["/"]),
    ];
    if let Some(python) = python() {
        commands.push(("python3 -c pass", python, &["-c", "pass"]));
    } else {
        println!("skipped: python3 not installed");
    }
    let baseline = Rig {
        library: None,
        ..*rig
    };
    commands
        .iter()
        .map(|(name, program, arguments)| {
            let figure = resident_at_exit(rig, program, arguments)?;
            let glibc = resident_at_exit(&baseline, program, arguments)?;
            let limit = glibc + (glibc * 0.1).max(500.0);
            Ok(Bar::new(*name, figure, "KiB", Limit::AtMost(limit))
                .detail(format!("glibc: {glibc} KiB")))
        })
        .collect()
}

/// 200 threads with 20 small blocks each, stacks included.
pub fn idle_threads(rig: &Rig<'_>) -> Outcome<Vec<Bar>> {
    let figure = scenario(rig, "idle_threads", &[])?.get("kib_a_thread")?;
    let name = "an idle thread with 20 small blocks";
    Ok(vec![Bar::new(name, figure, "KiB", Limit::AtMost(40.0))])
}

pub fn short_threads(rig: &Rig<'_>) -> Outcome<Vec<Bar>> {
    flat(rig, "mem_short_threads", "4,000 short threads")
}

pub fn producer_consumer(rig: &Rig<'_>) -> Outcome<Vec<Bar>> {
    flat(rig, "mem_producer_consumer", "4 million blocks handed over")
}

pub fn only_frees(rig: &Rig<'_>) -> Outcome<Vec<Bar>> {
    flat(rig, "mem_only_frees", "a thread that only frees")
}

fn flat(rig: &Rig<'_>, program: &str, title: &str) -> Outcome<Vec<Bar>> {
    let figures = scenario(rig, program, &[])?;
    let growth = figures.get("growth_kib")?;
    Ok(vec![
        Bar::new(
            format!("{title}: growth"),
            growth,
            "KiB",
            Limit::AtMost(FLAT_KIB),
        )
        .detail(figures.summary()),
        Bar::new(
            format!("{title}: resident"),
            figures.get("resident_kib")?,
            "KiB",
            Limit::None,
        ),
    ])
}

/// What `malloc_trim(0)` gives back of what live threads have freed.
pub fn trim(rig: &Rig<'_>) -> Outcome<Vec<Bar>> {
    let figures = scenario(rig, "mem_trim", &[])?;
    let figure = figures.get("given_back_percent")?;
    let name = "given back by malloc_trim(0)";
    let bar = Bar::new(name, figure, "%", Limit::AtLeast(95.0));
    Ok(vec![bar.detail(figures.summary())])
}

/// What is left of 400 MB that were freed, after five seconds of few calls.
pub fn idle_process(rig: &Rig<'_>) -> Outcome<Vec<Bar>> {
    let figures = scenario(rig, "mem_idle", &[])?;
    let figure = figures.get("of_start_percent")?;
    let name = "idle for 5 s after freeing 400 MB, of the start";
    let bar = Bar::new(name, figure, "%", Limit::AtMost(110.0));
    Ok(vec![bar.detail(figures.summary())])
}

/// What can be allocated, again and in other sizes, of a limited address space.
pub fn limits(rig: &Rig<'_>) -> Outcome<Vec<Bar>> {
    ["96", "600"]
        .iter()
        .map(|mebibytes| {
            let figures = scenario(rig, "mem_limit", &[mebibytes])?;
            let name = format!("allocated of {mebibytes} MiB, least of all sizes");
            let figure = figures.get("least_percent")?;
            Ok(Bar::new(name, figure, "%", Limit::AtLeast(90.0)).detail(figures.summary()))
        })
        .collect()
}

/// Resident memory in KiB, swapped pages included, as the process exits.
///
/// A second preloaded object writes it down. It is preloaded under glibc too,
/// and so is no part of the difference. (`ru_maxrss` is inherited across exec
/// and not exact: no use for processes of a megabyte.)
fn resident_at_exit(rig: &Rig<'_>, program: &OsStr, arguments: &[&str]) -> Outcome<f64> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let report = rig
        .scratch
        .join(format!("resident.{}.{number}", process::id()));
    let shared: &[&OsStr] = &["-shared".as_ref(), "-fPIC".as_ref()];
    let reporter = (rig.compile)("mem_report", "mem_report.so", shared);
    let mut objects: Vec<_> = rig.library.iter().map(|path| path.as_os_str()).collect();
    objects.push(reporter.as_os_str());
    let mut least = f64::INFINITY;
    for _ in 0..SMALL_RUNS {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        child::preload(&mut command, &objects);
        command.env("MEM_REPORT_FILE", &report);
        child::run(&mut command, TIME_LIMIT)?.success(&program.to_string_lossy())?;
        let text = fs::read_to_string(&report)
            .map_err(|error| format!("{} left no report: {error}", program.display()))?;
        drop(fs::remove_file(&report));
        let figures = Figures::parse(text);
        least = least.min(figures.get("rss_kib")? + figures.get("swap_kib")?);
    }
    Ok(least)
}
