//! When memory becomes resident.

use super::{Case, assert_all_run, program, run};
use crate::support::{is_hardened, library, skips_on_long_pages};

const FILE: &str = "policy_faults";

const CASES: &[Case] = &[
    ("untouched", ""),
    ("untouched_slabs", ""),
    ("zeros", ""),
    ("a_run_is_used_again", "BIFOLD_MMAP_THRESHOLD=512K"),
    ("is_resident_before_it_is_touched", "BIFOLD_PREFAULT=1"),
    ("an_alignment_makes_nothing_resident", "BIFOLD_PREFAULT=1"),
    ("an_alignment_makes_nothing_resident", "BIFOLD_LOCK=1"),
    ("is_resident_when_it_has_grown", "BIFOLD_PREFAULT=1"),
    ("reserve_is_mapped", "BIFOLD_RESERVE=128M"),
    (
        "reserve_is_mapped resident",
        "BIFOLD_RESERVE=128M BIFOLD_PREFAULT=1",
    ),
    (
        "threshold_wins_over_reserve",
        "BIFOLD_RESERVE=128M BIFOLD_MMAP_THRESHOLD=128K",
    ),
];

/// Enough for all that the cases need, and it stays. Each of four threads has
/// slabs of every class it uses, which the sum of the blocks does not tell.
const NO_FAULTS: &[Case] = &[
    (
        "no_faults",
        "BIFOLD_RESERVE=128M BIFOLD_PREFAULT=1 BIFOLD_LOCK=1 BIFOLD_PURGE=never",
    ),
    (
        "no_faults_in_threads",
        "BIFOLD_RESERVE=192M BIFOLD_PREFAULT=1 BIFOLD_LOCK=1 BIFOLD_PURGE=never",
    ),
];

const FIGURES: &[Case] = &[("pages_ahead", ""), ("runs_ahead", "")];

#[test]
fn memory_is_resident_when_the_options_say() {
    run(FILE, CASES);
}

#[test]
fn a_locked_reserve_has_no_page_faults() {
    run(FILE, NO_FAULTS);
}

/// The numbers that a case writes.
fn figures(case: Case) -> Vec<usize> {
    let output = program(FILE, case).run();
    output.assert_success();
    let numbers = output.stdout.split_whitespace();
    numbers.map(|n| n.parse().expect("a number")).collect()
}

#[test]
fn pages_come_in_steps() {
    if is_hardened() {
        println!("skipped: blocks are cut 64 at a time, and taken by chance");
        return;
    }
    if skips_on_long_pages("the steps are in pages of 4 KiB") {
        return;
    }
    assert_eq!(figures(("pages_ahead", "")), [0], "the first touch decides");
    if library().is_none() {
        println!("skipped: the option is bifold's");
        return;
    }
    // All but one page of sixteen are there when the one before is begun: an
    // eighth of the faults is left, or less.
    let percent = figures(("pages_ahead", "BIFOLD_FAULT_AROUND=64K"))[0];
    assert!(percent >= 88, "{percent} %");
    let percent = figures(("pages_ahead", "BIFOLD_FAULT_AROUND=8K"))[0];
    assert!((40..=60).contains(&percent), "{percent} %");
    // Of a run the first step.
    assert_eq!(figures(("runs_ahead 64", "")), [0, 0]);
    let steps = figures(("runs_ahead 64", "BIFOLD_FAULT_AROUND=64K"));
    assert_eq!(steps, [100, 0]);
    let steps = figures(("runs_ahead 64", "BIFOLD_FAULT_AROUND=2M"));
    assert_eq!(steps, [100, 100]);
}

#[test]
fn every_case_is_run() {
    assert_all_run(FILE, &[CASES, NO_FAULTS, FIGURES]);
}
