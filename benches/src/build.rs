//! Builds what is measured: the library, and the C programs of the scenarios.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::measure::{Outcome, workspace};

/// Which checks the library is built with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    Default,
    None,
}

/// Builds `libbifold.so`, and returns where it is.
pub fn library(checks: Checks) -> Outcome<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "-p", "bifold-ffi", "--release"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace())
        .stderr(Stdio::inherit());
    if checks == Checks::None {
        // Elsewhere, so that the usual build stays where users look for it.
        let directory = workspace().join("target").join("unchecked");
        command.arg("--no-default-features");
        command.arg("--target-dir").arg(directory);
    }
    let output = command
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo can't build libbifold.so: {}", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    artifact(&messages)
        .map(PathBuf::from)
        .ok_or_else(|| "cargo names no libbifold.so".to_owned())
}

/// The path in cargo's messages that ends in `/libbifold.so`.
fn artifact(messages: &str) -> Option<&str> {
    let name = "/libbifold.so\"";
    let end = messages.rfind(name)? + name.len() - 1;
    let start = messages[..end].rfind('"')? + 1;
    Some(&messages[start..end])
}

/// A directory for what the measurements leave behind, beside this program.
pub fn scratch() -> Outcome<PathBuf> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let directory = program.with_file_name("bifold-bench.scratch");
    match fs::create_dir_all(&directory) {
        Ok(()) => Ok(directory),
        Err(error) => Err(format!("{}: {error}", directory.display())),
    }
}

/// Compiles a program of `tests/c/` into `directory`, unless it is there and
/// younger than every source.
///
/// # Panics
///
/// When the program can't be built: then nothing can be measured.
pub fn c_program(directory: &Path, source: &str, output: &str, arguments: &[&OsStr]) -> PathBuf {
    let sources = workspace().join("tests").join("c");
    let path = directory.join(output);
    if is_younger(&path, &sources) {
        return path;
    }
    let result = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-O1", "-pthread", "-fno-builtin", "-o"])
        .arg(&path)
        .arg(sources.join(source).with_extension("c"))
        .args(arguments)
        .arg("-ldl")
        .output()
        .expect("a C compiler is installed");
    let messages = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{source}.c: {messages}");
    path
}

fn is_younger(path: &Path, directory: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    let Ok(built) = changed(path) else {
        return false;
    };
    fs::read_dir(directory).is_ok_and(|entries| {
        entries
            .flatten()
            .all(|entry| changed(&entry.path()).is_ok_and(|time| time < built))
    })
}
