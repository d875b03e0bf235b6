//! The background thread.

use std::path::Path;

use super::cgroup::{Group, MIB};
use super::{Case, assert_all_run, program, run_together};
use crate::support::run_case;

const FILE: &str = "policy_background";

const CASES: &[Case] = &[
    ("idle", "BIFOLD_BACKGROUND=1 BIFOLD_THP=never"),
    ("idle_without", "BIFOLD_THP=never"),
    ("idle_after_fork", "BIFOLD_BACKGROUND=1 BIFOLD_THP=never"),
    ("child_that_executes", "BIFOLD_BACKGROUND=1"),
    ("main_returns", "BIFOLD_BACKGROUND=1"),
    ("main_thread_ends", "BIFOLD_BACKGROUND=1"),
    ("main_thread_ends_first", "BIFOLD_BACKGROUND=1"),
    ("last_without_proc", "BIFOLD_BACKGROUND=1"),
    ("takes_no_signals", "BIFOLD_BACKGROUND=1"),
    (
        "all_files_are_closed",
        "BIFOLD_BACKGROUND=1 BIFOLD_THP=never",
    ),
];

const PRESSURE: &[Case] = &[(
    "gives_way",
    "BIFOLD_BACKGROUND=1 BIFOLD_PURGE_DELAY=1min BIFOLD_THP=never",
)];

#[test]
fn an_idle_process_gives_back_and_ends() {
    run_together(FILE, CASES);
}

#[test]
fn a_neighbour_gets_what_is_free() {
    let Some(group) = Group::of("pressure", 128 * MIB) else {
        return;
    };
    let name = format!("pressure.{}", std::process::id());
    let program = program(FILE, PRESSURE[0]).arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    run_case(&program.cgroup(&group.processes()));
}

#[test]
fn every_case_is_run() {
    assert_all_run(FILE, &[CASES, PRESSURE]);
}
