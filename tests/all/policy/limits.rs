//! Limits: bifold's own, and those of the system.

use super::cgroup::{Group, MIB};
use super::{Case, assert_all_run, program, run};
use crate::support::{Program, library, run_case, skips_on_long_pages};

const FILE: &str = "policy_limits";

const CASES: &[Case] = &[
    ("blocks_of_16 64", "BIFOLD_LIMIT=64M"),
    ("blocks_of_500 64", "BIFOLD_LIMIT=64M"),
    ("blocks_of_5000 64", "BIFOLD_LIMIT=64M"),
    ("blocks_of_100k 64", "BIFOLD_LIMIT=64M"),
    ("blocks_of_3m 64", "BIFOLD_LIMIT=64M"),
    ("one_size_after_another 64", "BIFOLD_LIMIT=64M"),
    ("realloc_at_the_limit 64", "BIFOLD_LIMIT=64M"),
    ("two_mappings_at_the_limit 64", "BIFOLD_LIMIT=64M"),
    ("aligned_at_the_limit 64", "BIFOLD_LIMIT=64M"),
    ("threads_at_the_limit 64", "BIFOLD_LIMIT=64M"),
    // Huge pages count as what they are.
    ("blocks_of_500 64", "BIFOLD_LIMIT=64M BIFOLD_THP=always"),
    ("blocks_of_100k 64", "BIFOLD_LIMIT=64M BIFOLD_THP=always"),
];

/// The same sizes where it is the system that refuses: a process has some MiB of
/// addresses, or of data, besides.
const SYSTEM: &[Case] = &[
    ("blocks_of_16 68 80", ""),
    ("blocks_of_500 68 80", ""),
    ("blocks_of_5000 68 80", ""),
    ("blocks_of_100k 68 80", ""),
    ("blocks_of_3m 68 80", ""),
];

const SHARE: &[Case] = &[("share_of_the_cgroup 64", "BIFOLD_LIMIT=50%")];

const SOFT: &[Case] = &[
    ("free_memory_goes_first", ""),
    ("free_memory_goes_first", "BIFOLD_MMAP_THRESHOLD=2M"),
];

#[test]
fn what_is_below_the_limit_can_be_had_again_and_again() {
    run(FILE, CASES);
}

#[test]
fn so_can_what_the_system_grants() {
    for &case in SYSTEM {
        for option in ["-v", "-d"] {
            run_case(&program(FILE, case).ulimit(option, 68 << 10));
        }
    }
}

#[test]
fn a_share_of_the_cgroup_is_never_too_much() {
    let Some(group) = Group::of("share", 128 * MIB) else {
        return;
    };
    // A process that is killed there does not exit with 0.
    run_case(&program(FILE, SHARE[0]).cgroup(&group.processes()));
}

/// The two figures that a case writes, in KiB.
fn figures(program: Program) -> (usize, usize) {
    let output = program.run();
    output.assert_success();
    let two = output.stdout.trim().split_once(' ').expect("two figures");
    (two.0.parse().expect("KiB"), two.1.parse().expect("KiB"))
}

#[test]
fn at_the_soft_limit_what_is_free_goes_first() {
    if library().is_none() {
        println!("skipped: the option is bifold's");
        return;
    }
    if skips_on_long_pages("what is free between others' blocks has few whole pages") {
        return;
    }
    for &case in SOFT {
        let (freed, without) = figures(program(FILE, case));
        assert!(without > freed, "{freed} KiB, then {without}");
        let (freed, with) = figures(program(FILE, case).env("BIFOLD_SOFT_LIMIT", "64M"));
        // 50 MiB are kept, 37 more are taken.
        assert!(with < freed && with < 96 << 10, "{freed} KiB, then {with}");
        assert!(
            with + (20 << 10) < without,
            "{with} KiB, {without} without a limit"
        );
    }
}

#[test]
fn every_case_is_run() {
    assert_all_run(FILE, &[CASES, SYSTEM, SHARE, SOFT]);
}
