//! The measuring rig on the library under test, and what its bars are worth.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::measure::{Bar, Outcome, Rig};
use crate::support;

pub fn rig() -> Rig<'static> {
    Rig {
        library: support::library(),
        scratch: scratch(),
        compile: &compile,
    }
}

/// A directory for what the measurements leave behind.
pub fn scratch() -> &'static Path {
    let path = Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/measure"));
    fs::create_dir_all(path).expect("the target directory is writable");
    path
}

fn compile(source: &str, output: &str, arguments: &[&OsStr]) -> PathBuf {
    support::c_artifact(source, output, arguments)
}

/// Shows the bars, and fails when one is missed. They are bifold's, not hardened,
/// with pages of 4 KiB: under another malloc they are only shown.
pub fn assert_met(bars: Outcome<Vec<Bar>>) {
    let bars = bars.unwrap_or_else(|failure| panic!("{failure}"));
    for bar in &bars {
        println!("{bar}");
    }
    let missed: Vec<String> = bars
        .iter()
        .filter(|bar| !bar.is_met())
        .map(Bar::to_string)
        .collect();
    assert!(
        missed.is_empty()
            || support::library().is_none()
            || support::is_hardened()
            || support::simulated_pages().is_some(),
        "{}",
        missed.join("\n")
    );
}
