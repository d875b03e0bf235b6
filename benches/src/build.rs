//! Builds what is measured: the library, and the C programs of the scenarios.

use std::env;
use std::ffi::{OsStr, OsString};
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
    let mut arguments: Vec<OsString> = vec!["-p".into(), "bifold-ffi".into()];
    if checks == Checks::None {
        // Elsewhere, so that the usual build stays where users look for it.
        let directory = workspace().join("target").join("unchecked");
        arguments.push("--no-default-features".into());
        arguments.push("--target-dir".into());
        arguments.push(directory.into());
    }
    cargo(&workspace(), &arguments, "libbifold.so", Stdio::inherit())
}

/// Builds an allocator of `benches/peers/`, and returns where its library is.
pub fn peer(name: &str) -> Outcome<PathBuf> {
    let arguments = [
        "-p".into(),
        format!("peer-{name}").into(),
        "--target-dir".into(),
        workspace().join("target").join("peers").into(),
    ];
    let directory = workspace().join("benches").join("peers");
    let file = format!("libpeer_{name}.so");
    cargo(&directory, &arguments, &file, Stdio::piped())
}

/// Runs cargo's release build, and returns where the library is that it names.
fn cargo(
    directory: &Path,
    arguments: &[OsString],
    library: &str,
    errors: Stdio,
) -> Outcome<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release"])
        .arg("--message-format=json-render-diagnostics")
        .args(arguments)
        .current_dir(directory)
        .stderr(errors)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let reason = errors.lines().find(|line| line.starts_with("error"));
        let reason = reason.unwrap_or_default();
        let status = output.status;
        return Err(format!("cargo can't build {library}: {status} {reason}"));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    artifact(&messages, library)
        .map(PathBuf::from)
        .ok_or_else(|| format!("cargo names no {library}"))
}

/// The path in cargo's messages that ends in the file's name.
fn artifact<'a>(messages: &'a str, file: &str) -> Option<&'a str> {
    let end = messages.rfind(&format!("/{file}\""))? + 1 + file.len();
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

#[cfg(test)]
mod tests {
    use super::artifact;

    #[test]
    fn cargo_names_the_library() {
        let messages = r#"{"filenames":["/a/libb.rlib","/a/c/libb.so"],"fresh":true}"#;
        assert_eq!(artifact(messages, "libb.so"), Some("/a/c/libb.so"));
        assert_eq!(artifact(messages, "libc.so"), None);
    }
}
