//! The experiments of `examples/` run, print their tables and draw their plots.
//!
//! `cargo test` builds them beside the test; a test that is built alone finds
//! none, and skips with a line.

use std::env;
use std::fs;
use std::path::PathBuf;

use crate::rig::scratch;
use crate::support::Program;

/// The binary of an example: `target/PROFILE/examples/NAME`, where the test is
/// `target/PROFILE/deps/all-HASH`.
fn example(name: &str) -> Option<PathBuf> {
    let test = env::current_exe().expect("the test has a path");
    let profile = test.ancestors().nth(2).expect("the test lies in deps");
    let path = profile.join("examples").join(name);
    path.is_file().then_some(path)
}

/// Runs an experiment in its tiny setting. Its output has a line that starts
/// with each of `rows`, or says that it is skipped; its plot is an SVG with
/// each of `texts`.
fn runs(name: &str, rows: &[&str], texts: &[&str]) {
    let Some(path) = example(name) else {
        println!("skipped: {name} is not built: cargo build --release --examples");
        return;
    };
    let directory = scratch().join("experiments");
    let plot = directory.join(format!("{name}.svg"));
    // One from an earlier run would pass for this run's.
    drop(fs::remove_file(&plot));
    let output = Program::new(path)
        .without_preload()
        .arg("--quick")
        .arg("--output")
        .arg(&directory)
        .run();
    output.assert_success();
    let said = |row: &str| {
        let mut lines = output.stdout.lines();
        lines.any(|line| {
            line.starts_with(row) || line.starts_with("skipped: ") && line.contains(row)
        })
    };
    for row in rows {
        assert!(said(row), "no row {row:?}\n{}", output.describe());
    }
    let path = format!("plot: {}", plot.display());
    assert!(output.stdout.contains(&path), "{}", output.describe());
    let svg = fs::read_to_string(&plot).expect("the plot is where it is said to be");
    let document = roxmltree::Document::parse(&svg)
        .unwrap_or_else(|error| panic!("{}: {error}", plot.display()));
    assert_eq!(document.root_element().tag_name().name(), "svg");
    let written: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")))
        .filter_map(|node| Some(node.text()?.trim()))
        .collect();
    for text in texts {
        assert!(written.contains(text), "{name}: no {text:?} in {written:?}");
    }
}

#[test]
fn demand_paging() {
    let rows = [
        "4 KiB pages",
        "prefault=1",
        "thp=always",
        "fault_around=64K",
        "hugetlb_2m",
    ];
    let texts = [
        "MiB touched",
        "one request: minor faults",
        "mapped",
        "prefault=1",
    ];
    runs("demand_paging", &rows, &texts);
}

#[test]
fn memory_map() {
    let rows = [
        "bifold: window",
        "bifold: page map",
        "bifold: large mappings",
        "program",
        "stack",
    ];
    let texts = ["at the start", "full", "freed", "trimmed", "bifold: window"];
    runs("memory_map", &rows, &texts);
}

#[test]
fn fork_cow() {
    let texts = [
        "the time of a fork",
        "MiB written by the child",
        "4 KiB pages: shared",
    ];
    runs("fork_cow", &["4 KiB pages", "huge pages"], &texts);
}

#[test]
fn huge_pages() {
    let rows = [
        "bifold, thp=never",
        "bifold, thp=adaptive",
        "bifold, thp=always",
        "system",
    ];
    runs(
        "huge_pages",
        &rows,
        &["minor faults", "system", "bifold, thp=never"],
    );
}

#[test]
fn exhaustion() {
    let rows = ["RLIMIT_AS", "RLIMIT_DATA", "BIFOLD_LIMIT", "no limit"];
    runs("exhaustion", &rows, &["longest request", "RLIMIT_DATA"]);
}

#[test]
fn mmap_threshold() {
    let rows = ["64K", "256K", "4M"];
    runs(
        "mmap_threshold",
        &rows,
        &["faults of a round, by default", "adaptive"],
    );
}

#[test]
fn mlock_secret() {
    let rows = [
        "VmLck with a key",
        "a forked child reads",
        "64K",
        "256K",
        "ordinary",
        "at once",
        "on fault",
    ];
    let texts = ["keys", "VmLck, at once", "resident, on fault"];
    runs("mlock_secret", &rows, &texts);
}

/// What an experiment can't do with is named, and nothing is measured.
#[test]
fn a_bad_argument_is_named() {
    let Some(path) = example("huge_pages") else {
        println!("skipped: huge_pages is not built: cargo build --release --examples");
        return;
    };
    for (argument, complaint) in [
        ("--preload=mimalloc", "not NAME=PATH"),
        ("--preload=a=/no/such/file", "/no/such/file"),
        ("--block=4", "4 is not in 8..=1024"),
        ("--rounds=many", "many"),
    ] {
        let program = Program::new(&path).without_preload().arg(argument);
        let output = program.run();
        assert_eq!(output.status.code(), Some(2), "{}", output.describe());
        assert!(output.stderr.contains(complaint), "{}", output.describe());
        assert!(output.stdout.is_empty(), "{}", output.describe());
    }
}
