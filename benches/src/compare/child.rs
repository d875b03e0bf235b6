//! One run, in a child process of its own: this program again, with `work` for
//! a workload, or with `program`, which starts a real program in its turn.
//!
//! The second step is for the peak: a process inherits the highest resident
//! memory of the one that starts it, and `program` is small at that moment.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::contender::Contender;
use super::results::{Failure, Run, Sample};
use super::row::Task;
use crate::measure::Outcome;
use crate::measure::process as child;
use crate::measure::programs::{Length, WORKLOADS};
use crate::work;

/// What `program` runs.
#[derive(clap::Args)]
pub struct Arguments {
    name: String,
    #[arg(long)]
    object: OsString,
    #[arg(long)]
    scratch: PathBuf,
    #[arg(long)]
    short: bool,
}

/// Runs a real program and prints what it used.
pub fn run(arguments: &Arguments) -> Outcome<bool> {
    let name = &arguments.name;
    let workload = WORKLOADS
        .iter()
        .find(|workload| workload.name == name)
        .ok_or_else(|| format!("there is no program {name}"))?;
    let length = if arguments.short {
        Length::Short
    } else {
        Length::Long
    };
    let run = workload.run(length, &arguments.object, &arguments.scratch)?;
    let mut hasher = DefaultHasher::new();
    run.stdout.hash(&mut hasher);
    println!("seconds {:.6}", run.usage.cpu.as_secs_f64());
    println!("checksum {}", hasher.finish());
    println!("peak_kib {}", run.usage.peak_kib);
    println!("faults {}", run.usage.faults);
    Ok(true)
}

/// Runs a row's task once under the contender.
pub fn measure(
    task: &Task,
    contender: &Contender,
    scratch: &std::path::Path,
    limit: Duration,
) -> Result<Run, Failure> {
    let mut command = match *task {
        Task::Work {
            workload,
            threads,
            scale,
        } => work_command(workload, threads, scale, contender.object())?,
        Task::Program { workload, length } => {
            let mut command = this_program(&[]).map_err(|text| Failure::other(&text))?;
            command
                .args(["program", workload.name, "--object"])
                .arg(contender.object())
                .arg("--scratch")
                .arg(scratch);
            if matches!(length, Length::Short) {
                command.arg("--short");
            }
            command
        }
    };
    let finished = child::run(&mut command, limit).map_err(|text| Failure::other(&text))?;
    if let Some(signal) = finished.status.signal() {
        return Err(Failure::crash(signal, &finished.stderr));
    }
    if !finished.status.success() {
        return Err(Failure::other(&finished.stderr));
    }
    let text = finished.text();
    let figures = parse(&text);
    let seconds = figure(&figures, "seconds")?;
    let cpu = match task {
        Task::Work { .. } => finished.usage.cpu.as_secs_f64(),
        Task::Program { .. } => seconds,
    };
    Ok(Run {
        sample: Sample {
            seconds,
            cpu,
            peak_kib: figure(&figures, "peak_kib")?,
            faults: figure(&figures, "faults")?,
        },
        checksum: figure(&figures, "checksum")?,
    })
}

/// A command that runs a workload under the preloaded object.
pub fn work_command(
    workload: &work::Workload,
    threads: usize,
    scale: u32,
    object: &OsStr,
) -> Result<Command, Failure> {
    let words = work_arguments(workload, threads, scale).map_err(|text| Failure::other(&text))?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    child::preload(&mut command, &[object]);
    Ok(command)
}

/// This program and its arguments for a workload, for a tool to run.
pub fn work_arguments(
    workload: &work::Workload,
    threads: usize,
    scale: u32,
) -> Outcome<Vec<OsString>> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let (threads, scale) = (threads.to_string(), scale.to_string());
    let words = [
        "work",
        workload.name,
        "--threads",
        &threads,
        "--scale",
        &scale,
    ];
    let words = words.into_iter().map(OsString::from);
    Ok([program.into_os_string()]
        .into_iter()
        .chain(words)
        .collect())
}

/// Whether the contender is preloaded at all, and serves a small workload.
pub fn smoke(contender: &Contender) -> Outcome<()> {
    let workload = &work::WORKLOADS[0];
    let mut command =
        work_command(workload, 2, 1, contender.object()).map_err(|failure| failure.detail)?;
    let finished = child::run(&mut command, Duration::from_secs(20))?;
    if finished.stderr.contains("cannot be preloaded") {
        return Err("cannot be preloaded".to_owned());
    }
    finished.success(workload.name).map(drop)
}

/// This program, with the objects preloaded and no input.
pub fn this_program(objects: &[&OsStr]) -> Outcome<Command> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    child::preload(&mut command, objects);
    command.stdin(Stdio::null());
    Ok(command)
}

/// The lines `NAME FIGURE`.
fn parse(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .collect()
}

fn figure<T: std::str::FromStr>(figures: &BTreeMap<&str, &str>, name: &str) -> Result<T, Failure> {
    figures
        .get(name)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::other(&format!("no figure {name}")))
}
