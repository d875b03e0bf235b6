//! OS pages of 16 and 64 KiB, which kernels for aarch64 have.
//!
//! The children run on a library with a seam (`src/os/paging.rs`) that makes of the
//! machine's kernel one with longer pages, and dies where bifold asks it for
//! anything that is not whole pages.

use std::collections::VecDeque;
use std::fs;
use std::sync::Mutex;
use std::thread;

use crate::measure::process::{PAGE_VARIABLE, is_installed};
use crate::measure::workspace;
use crate::support::{
    Output, Program, SIGABRT, assert_all_listed, library, library_with_pages, run_case,
};

const SIZES: [&str; 2] = ["16384", "65536"];

/// A program, its case with further arguments, and the environment.
type Case = (&'static str, &'static str, &'static str);

const OWN: &[Case] = &[
    ("pages", "at_random 1", ""),
    ("pages", "at_random 2", "BIFOLD_PURGE=now"),
    ("pages", "at_random 3", "BIFOLD_LOCK=1"),
    (
        "pages",
        "at_random 4",
        "BIFOLD_LOCK=on-fault BIFOLD_THP=always",
    ),
    ("pages", "at_random 5", "BIFOLD_PURGE_ADVICE=free"),
    ("pages", "at_random 6", "BIFOLD_FAULT_AROUND=128K"),
    (
        "pages",
        "at_random 7",
        "BIFOLD_PREFAULT=1 BIFOLD_RESERVE=8M",
    ),
    ("pages", "at_random 8", "BIFOLD_SOFT_LIMIT=16M"),
    ("pages", "a_limit_counts_whole_pages 16", "BIFOLD_LIMIT=16M"),
    ("pages", "pages_come_in_steps", "BIFOLD_FAULT_AROUND=256K"),
    ("pages", "no_huge_pages_unasked", ""),
];

/// What other tests run on the kernel's own pages.
const OTHERS: &[Case] = &[
    ("api_aligned", "huge_alignments", ""),
    ("api_aligned", "posix_memalign_all", ""),
    ("api_aligned", "valloc_is_page_aligned", ""),
    ("api_aligned", "pvalloc_rounds_up_to_pages", ""),
    ("api_aligned", "mixed_with_malloc_at_random", ""),
    ("api_basic", "calloc_is_zero_after_other_sizes", ""),
    ("api_basic", "sizes_that_cannot_be_mapped", ""),
    ("api_heaps", "every_function_serves", ""),
    ("api_heaps", "trim_gives_memory_back", ""),
    ("api_realloc", "of_mappings", ""),
    ("api_realloc", "of_aligned_blocks", ""),
    ("api_realloc", "many_at_random", ""),
    ("api_reports", "malloc_trim_again_and_again", ""),
    ("api_reports", "malloc_trim_while_others_allocate", ""),
    ("api_stats", "mallinfo_has_the_same_figures", ""),
    ("locked_heap", "every_page_is_locked_and_hidden", ""),
    ("locked_heap", "aligned_blocks_are_locked", ""),
    ("locked_heap", "guards_at_both_ends", ""),
    ("locked_heap", "freed_blocks_are_zero", ""),
    ("locked_heap", "nothing_is_left_of_a_heap", ""),
    ("locked_heap", "a_child_sees_zeros_and_goes_on", ""),
    ("locked_heap", "threads_pass_blocks", ""),
    (
        "policy_faults",
        "is_resident_before_it_is_touched",
        "BIFOLD_PREFAULT=1",
    ),
    (
        "policy_faults",
        "is_resident_when_it_has_grown",
        "BIFOLD_PREFAULT=1",
    ),
    ("policy_limits", "blocks_of_5000 64", "BIFOLD_LIMIT=64M"),
    ("policy_limits", "blocks_of_100k 64", "BIFOLD_LIMIT=64M"),
    (
        "policy_limits",
        "realloc_at_the_limit 64",
        "BIFOLD_LIMIT=64M",
    ),
    (
        "policy_limits",
        "aligned_at_the_limit 64",
        "BIFOLD_LIMIT=64M",
    ),
    (
        "policy_limits",
        "threads_at_the_limit 64",
        "BIFOLD_LIMIT=64M",
    ),
    ("policy_lock", "trimmed", "BIFOLD_LOCK=1"),
    ("policy_lock", "as_it_is_touched", "BIFOLD_LOCK=on-fault"),
    (
        "policy_purge",
        "at_once",
        "BIFOLD_PURGE=now BIFOLD_THP=never",
    ),
    (
        "policy_purge",
        "blocks_of_a_sleeper",
        "BIFOLD_PURGE=now BIFOLD_THP=never",
    ),
    ("proc_fork", "child_frees_blocks_of_other_threads", ""),
    ("proc_fork", "several_threads_fork", ""),
    ("proc_fork", "figures_and_trim_in_the_child", ""),
    ("proc_locked", "calloc_is_zero_after_mlock", ""),
    ("proc_passing", "stress_with_a_ledger", ""),
    ("proc_threads", "three_hundred_live", ""),
    ("proc_threads", "memory_of_a_dead_thread_is_used_again", ""),
];

fn child(path: Program, size: &str) -> Program {
    path.preload(library_with_pages().to_owned())
        .env(PAGE_VARIABLE, size)
}

fn program((file, case, environment): Case, size: &str) -> Program {
    let program = case.split(' ').fold(Program::c(file), Program::arg);
    let variables = environment.split_whitespace();
    variables.fold(child(program, size), |program, variable| {
        let (name, value) = variable.split_once('=').expect("NAME=VALUE");
        program.env(name, value)
    })
}

/// Runs cases with pages of each size, two at a time.
fn run_all(cases: &[Case]) {
    if library().is_none() {
        return println!("skipped: no library is under test");
    }
    let both = SIZES
        .iter()
        .flat_map(|size| cases.iter().map(move |case| (*case, *size)));
    let left: Mutex<VecDeque<(Case, &str)>> = Mutex::new(both.collect());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("nobody panics with it").pop_front();
                    let Some((case, size)) = next else { return };
                    run_case(&program(case, size));
                }
            });
        }
    });
}

#[test]
fn walks_limits_and_steps() {
    run_all(OWN);
}

#[test]
fn what_holds_with_short_pages() {
    run_all(OTHERS);
}

fn assert_ends(output: &Output, line: &str) {
    use std::os::unix::process::ExitStatusExt;
    let is_told = output.stderr.starts_with(line) && output.stderr.lines().count() == 1;
    let is_over = output.status.signal() == Some(SIGABRT) && output.stdout.is_empty();
    assert!(is_told && is_over, "expected {line}\n{}", output.describe());
}

#[test]
fn what_is_not_whole_pages_is_found() {
    if library().is_none() {
        return println!("skipped: no library is under test");
    }
    let unmap = |range: &str| {
        let case = format!("unmapping_what_is_not_whole_pages {range}");
        let program = case.split(' ').fold(Program::c("pages"), Program::arg);
        child(program, "65536")
    };
    run_case(&unmap("0 65536"));
    for range in ["4096 65536", "0 4096", "0 69632", "16384 131072"] {
        let line = "bifold: munmap of what is not whole pages: 0x";
        assert_ends(&unmap(range).run(), line);
    }
}

#[test]
fn other_sizes_are_refused() {
    if library().is_none() {
        return println!("skipped: no library is under test");
    }
    let program = Program::c("pages").arg("at_random");
    for size in ["4096", "", "65536 ", "6553600000"] {
        let line = format!("bifold: {PAGE_VARIABLE} is neither 16384 nor 65536: ");
        assert_ends(&child(program.clone(), size).run(), &line);
    }
    let unset = program.preload(library_with_pages().to_owned());
    if std::env::var_os(PAGE_VARIABLE).is_none() {
        assert_ends(
            &unset.run(),
            &format!("bifold: {PAGE_VARIABLE} is not set\n"),
        );
    }
}

/// Runs a program with pages of each size, and compares with what it writes
/// without bifold.
fn writes_the_same(program: &Program, name: &str, input: &[u8]) {
    if library().is_none() || !is_installed(name) {
        return println!("skipped: no library is under test, or no {name} is installed");
    }
    let expected = program.clone().without_preload().run_with_input(input);
    assert!(!expected.stdout.is_empty(), "{}", expected.describe());
    for size in SIZES {
        let output = child(program.clone(), size).run_with_input(input);
        output.assert_success();
        assert_eq!(output.stdout, expected.stdout);
    }
}

#[test]
fn python3() {
    let script = workspace().join("tests/programs/python.py");
    let program = Program::new("python3").arg(script).arg("1");
    writes_the_same(&program, "python3", b"");
}

#[test]
fn sqlite3() {
    let script = fs::read(workspace().join("tests/programs/sqlite.sql")).expect("it is there");
    let arguments = [
        "-batch",
        "-cmd",
        "create table scale as select 1000 as rows",
        ":memory:",
    ];
    let program = arguments.iter().fold(Program::new("sqlite3"), Program::arg);
    writes_the_same(&program, "sqlite3", &script);
}

#[test]
fn every_case_is_run() {
    let names = OWN.iter().map(|case| case.1.split(' ').next());
    let mut names: Vec<&str> = names.map(|name| name.expect("a name")).collect();
    names.push("unmapping_what_is_not_whole_pages");
    names.sort_unstable();
    names.dedup();
    assert_all_listed("pages", &names);
}
