//! Large blocks that are made of parts of those that were freed.

use super::{Case, assert_all_run, run_together};

const FILE: &str = "policy_parts";

const CASES: &[Case] = &[
    ("need_no_pages", ""),
    ("change_their_length", ""),
    ("change_their_length", "BIFOLD_LIMIT=256M"),
    ("change_their_length", "BIFOLD_PREFAULT=1"),
    ("stay_whole", ""),
    ("stay_whole", "BIFOLD_LIMIT=100M"),
    ("stay_whole", "BIFOLD_PURGE=never"),
    ("stay_whole", "BIFOLD_THP=always"),
    ("locked_in_part", ""),
];

#[test]
fn large_blocks_are_made_of_parts() {
    run_together(FILE, CASES);
}

#[test]
fn every_case_is_run() {
    assert_all_run(FILE, &[CASES]);
}
