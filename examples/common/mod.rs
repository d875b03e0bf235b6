//! What the experiments share: their arguments, children with settings,
//! figures from /proc, tables and plots.
//!
//! An experiment starts itself again for every measurement, with a hidden
//! sub-command and `BIFOLD_*` set, so that the settings are in force from the
//! child's first allocation and no measurement sees the memory of another.

#![allow(dead_code, reason = "each experiment leaves some of it out")]

pub mod children;
pub mod figures;
pub mod machine;
pub mod map;
pub mod memlock;
pub mod plot;
#[path = "../../tests/measure/process.rs"]
pub mod process;
#[path = "../../tests/measure/table.rs"]
pub mod table;
pub mod warm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A figure, or what went wrong on the way to it.
pub type Outcome<T> = Result<T, String>;

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;

/// What every experiment can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Take tiny sizes: to see that it works, not what it shows
    #[arg(long)]
    pub quick: bool,
    /// The directory for the plot [default: target/experiments]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Options {
    /// One of two values: the second for `--quick`.
    pub fn or_quick<T>(&self, usual: T, quick: T) -> T {
        if self.quick { quick } else { usual }
    }

    /// Where the plot of this name goes; its directory is made.
    fn plot(&self, name: &str) -> Outcome<PathBuf> {
        let directory = match &self.output {
            Some(directory) => directory.clone(),
            None => target_directory().join("experiments"),
        };
        std::fs::create_dir_all(&directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        Ok(directory.join(format!("{name}.svg")))
    }
}

/// Cargo's target directory, seen from `target/PROFILE/examples/NAME`.
fn target_directory() -> PathBuf {
    std::env::current_exe()
        .ok()
        .filter(|program| {
            let directory = program.parent().and_then(Path::file_name);
            directory.is_some_and(|name| name == "examples")
        })
        .and_then(|program| program.ancestors().nth(3).map(Path::to_owned))
        .unwrap_or_else(|| PathBuf::from("target"))
}

/// What `main` returns; a failure gets one line.
pub fn end(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Says what is not measured here, and why.
pub fn skip(what: &str, why: &str) {
    println!("skipped: {what}: {why}");
}

/// Bytes as MiB with a digit behind the point.
pub fn mib(bytes: f64) -> String {
    format!("{:.1}", bytes / MIB as f64)
}

/// Bytes as the options take them: `64K`, `2M`.
pub fn size(bytes: usize) -> String {
    const UNITS: [(usize, &str); 3] = [(1 << 30, "G"), (MIB, "M"), (KIB, "K")];
    UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or(bytes.to_string(), |(unit, name)| {
            format!("{}{name}", bytes / unit)
        })
}
