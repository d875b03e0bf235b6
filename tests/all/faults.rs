//! Every system call that can fail does, one after another: requests fail or
//! are served another way, nothing is lost, and the next request is fine.
//!
//! The C programs run each scenario once for every call in it, on a library
//! with a seam (`src/os/fault.rs`). Which places have failed is compared with
//! those that the source has.

mod places;

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::rig::scratch;
use crate::support::{
    Program, SKIPPED, assert_all_listed, hardened_library_with_faults, library, library_with_faults,
};

/// A program, its case, and the environment, as `NAME=VALUE` with spaces between.
type Case = (&'static str, &'static str, &'static str);

/// The longest first.
const CASES: &[Case] = &[
    ("heaps", "locked", ""),
    ("heaps", "locked_on_fault", ""),
    ("heaps", "locked_on_fault", "BIFOLD_LOCK=1"),
    ("blocks", "trim", "BIFOLD_PURGE=now"),
    ("blocks", "trim", "BIFOLD_LOCK=1"),
    ("blocks", "trim", "BIFOLD_THP=always"),
    ("blocks", "trim", "BIFOLD_THP_FROM=0"),
    ("blocks", "trim", "BIFOLD_SOFT_LIMIT=8M BIFOLD_LIMIT=64M"),
    ("blocks", "trim", "BIFOLD_PURGE_ADVICE=free"),
    ("blocks", "trim", ""),
    ("blocks", "trim_of_descriptors", ""),
    ("blocks", "longer_and_shorter", ""),
    ("blocks", "longer_and_shorter", "BIFOLD_LOCK=1"),
    ("blocks", "longer_and_shorter", "BIFOLD_PREFAULT=1"),
    (
        "blocks",
        "longer_and_shorter",
        "BIFOLD_SOFT_LIMIT=8M BIFOLD_LIMIT=64M",
    ),
    ("blocks", "aligned", ""),
    ("blocks", "zeros", ""),
    ("blocks", "many_large_blocks", ""),
    ("blocks", "room_from_free_runs", ""),
    ("blocks", "small_blocks", ""),
    ("blocks", "small_blocks", "BIFOLD_LOCK=1"),
    ("blocks", "small_blocks", "BIFOLD_PREFAULT=1"),
    ("blocks", "small_blocks", "BIFOLD_FAULT_AROUND=64K"),
    ("blocks", "small_blocks", "BIFOLD_PERTURB=165"),
    ("blocks", "medium_blocks", ""),
    ("blocks", "runs", ""),
    ("blocks", "runs", "BIFOLD_FAULT_AROUND=64K"),
    ("blocks", "large_blocks", ""),
    ("blocks", "large_blocks", "BIFOLD_LOCK=on-fault"),
    ("blocks", "large_blocks", "BIFOLD_THP=always"),
    ("blocks", "large_blocks_in_turn", ""),
    ("blocks", "large_blocks_of_parts", ""),
    ("blocks", "figures", ""),
    ("blocks", "threads", ""),
    ("blocks", "threads", "BIFOLD_ARENA_MAX=1"),
    ("blocks", "trim_of_a_thread", ""),
    ("blocks", "waiting_for_a_lock", ""),
    ("blocks", "forks", ""),
    ("heaps", "plain", ""),
    ("heaps", "locked_at_the_limit", ""),
    ("heaps", "locked_and_forked", ""),
    ("start", "start", ""),
    ("start", "start", "BIFOLD_LOCK=1 BIFOLD_RESERVE=8M"),
    ("start", "start", "BIFOLD_PREFAULT=1 BIFOLD_RESERVE=8M"),
    ("start", "start", "BIFOLD_HUGETLB_2M=4M BIFOLD_RESERVE=8M"),
    ("start", "start", "BIFOLD_VERBOSE=1"),
    ("start", "start", "BIFOLD_BACKGROUND=1"),
    ("start", "start_and_end", "BIFOLD_STATS=1"),
    ("start", "start_and_end", "BIFOLD_STATS=json"),
    ("start", "background", "BIFOLD_BACKGROUND=1"),
    ("start", "hooks_at_the_second_try", ""),
    ("start", "a_message_and_a_signal", ""),
];

/// What the hardened build runs, too: what has fences, or is zeroed and looked
/// through. Where no fence can be lost nothing else may be, either.
const HARDENED: &[Case] = &[
    ("blocks", "runs", FENCED),
    ("blocks", "zeros", FENCED),
    ("blocks", "threads", FENCED),
    ("heaps", "plain", FENCED),
    ("heaps", "locked_at_the_limit", FENCED),
    ("heaps", "locked_and_forked", FENCED),
    ("blocks", "longer_and_shorter", FENCED),
    ("blocks", "small_blocks", FENCED),
    ("blocks", "small_blocks", "BIFOLD_HARDEN=-guard"),
    ("blocks", "medium_blocks", FENCED),
    ("blocks", "medium_blocks", "BIFOLD_HARDEN=-guard"),
    ("blocks", "runs", "BIFOLD_HARDEN=-guard"),
    ("blocks", "large_blocks", FENCED),
    ("blocks", "trim_of_a_thread", FENCED),
    ("blocks", "forks", FENCED),
    ("blocks", "figures", FENCED),
    ("start", "start", FENCED),
    ("start", "start_and_end", "BIFOLD_STATS=1"),
];

/// Has `faults.h` allow for fences.
const FENCED: &str = "BIFOLD_TEST_FENCES=1";

/// A case is some hundred processes, which others may keep from running.
const TIME_LIMIT: Duration = Duration::from_secs(240);

/// Cases that others start.
const STARTED: [Case; 2] = [
    ("start", "one_start", ""),
    ("start", "one_fork_after_another", ""),
];

/// What may be told on standard error: that something was refused.
const TOLD: [&str; 7] = [
    "bifold: BIFOLD_LOCK: ",
    "bifold: BIFOLD_RESERVE: got ",
    "bifold: BIFOLD_HUGETLB_2M: got ",
    "bifold: BIFOLD_BACKGROUND: no thread can be started",
    "bifold: BIFOLD_STATS: no memory for a hook at the exit",
    "bifold: BIFOLD_PRESSURE: ",
    "bifold: locked heap: ",
];

fn run((program, case, environment): Case, library: &Path, log: &Path) -> Result<(), String> {
    let mut child = Program::c(&format!("faults_{program}"))
        .arg(case)
        .preload(library.to_owned())
        .env("BIFOLD_TEST_FAULT_LOG", log);
    for variable in environment.split_whitespace() {
        let (name, value) = variable.split_once('=').expect("NAME=VALUE");
        child = child.env(name, value);
    }
    let output = child.time_limit(TIME_LIMIT).run();
    if output.status.code() == Some(SKIPPED) {
        eprint!("{}", output.stdout);
        return Ok(());
    }
    let is_told = |line: &str| TOLD.iter().any(|start| line.starts_with(start));
    let is_chatty = ["VERBOSE", "STATS"].map(|name| environment.contains(name));
    let is_fine = output.status.success()
        && output.stdout.is_empty()
        && (is_chatty.contains(&true) || output.stderr.lines().all(is_told));
    if is_fine {
        return Ok(());
    }
    Err(format!("{environment}\n{}", output.describe()))
}

/// Runs all of the cases, two at a time, and returns what went wrong.
fn run_all(cases: &[Case], library: &Path, log: &Path) -> Vec<String> {
    let left: Mutex<VecDeque<Case>> = Mutex::new(cases.iter().copied().collect());
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let case = left.lock().expect("nobody panics with it").pop_front();
                    let Some(case) = case else { return };
                    if let Err(complaint) = run(case, library, log) {
                        wrong.lock().expect("nobody panics with it").push(complaint);
                    }
                }
            });
        }
    });
    wrong.into_inner().expect("nobody panics with it")
}

#[test]
fn every_call_may_fail() {
    if library().is_none() {
        eprintln!("skipped: no library is under test");
        return;
    }
    let log: PathBuf = scratch().join("faults.log");
    drop(fs::remove_file(&log));
    let wrong = run_all(CASES, library_with_faults(), &log);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let missed = missed_in(&log);
    assert!(missed.is_empty(), "never failed: {missed:#?}");
}

/// The places of calls that can fail and have not, by the log.
fn missed_in(log: &Path) -> Vec<String> {
    let failed = fs::read_to_string(log).expect("some call has failed");
    let failed: BTreeSet<String> = failed.lines().map(str::to_owned).collect();
    places::all().difference(&failed).cloned().collect()
}

#[test]
fn calls_of_a_hardened_build_may_fail() {
    if library().is_none() {
        eprintln!("skipped: no library is under test");
        return;
    }
    let log: PathBuf = scratch().join("hardened-faults.log");
    drop(fs::remove_file(&log));
    let wrong = run_all(HARDENED, hardened_library_with_faults(), &log);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Fences and random numbers are among what has failed.
    let failed = fs::read_to_string(&log).expect("some call has failed");
    for file in [
        "src/pages/fence.rs",
        "src/random.rs",
        "src/pages/large/fenced.rs",
    ] {
        assert!(
            failed.lines().any(|place| place.starts_with(file)),
            "{file}"
        );
    }
}

#[test]
fn every_case_is_run() {
    for program in ["blocks", "heaps", "start"] {
        let cases = CASES.iter().chain(&STARTED);
        let mut names: Vec<&str> = cases
            .filter(|case| case.0 == program)
            .map(|case| case.1)
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_all_listed(&format!("faults_{program}"), &names);
    }
}
