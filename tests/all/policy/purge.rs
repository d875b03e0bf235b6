//! When free memory goes back, and how.

use super::{Case, assert_all_run, run_together};

const CASES: &[Case] = &[
    ("mixed_then_one_size", ""),
    ("mixed_then_one_size", "BIFOLD_THP=always"),
    ("mixed_then_small_sizes", ""),
    ("small_then_small_sizes", ""),
    ("long_then_one_size", ""),
    ("another_thread_ticks", ""),
    ("a_dead_thread_has_freed", ""),
    ("another_thread_frees", ""),
];

const OPTIONS: &[Case] = &[
    ("at_once", "BIFOLD_PURGE=now BIFOLD_THP=never"),
    ("blocks_of_a_sleeper", "BIFOLD_PURGE=now BIFOLD_THP=never"),
    (
        "never_but_by_trim",
        "BIFOLD_PURGE=never BIFOLD_PURGE_DELAY=100ms BIFOLD_THP=never",
    ),
    ("after_100_ms", "BIFOLD_PURGE_DELAY=100ms"),
    ("not_after_3_s", "BIFOLD_PURGE_DELAY=1min BIFOLD_THP=never"),
    (
        "lazily",
        "BIFOLD_PURGE_ADVICE=free BIFOLD_PURGE_DELAY=100ms BIFOLD_THP=never",
    ),
    (
        "all_but_64_mib",
        "BIFOLD_SPARE=64M BIFOLD_PURGE_DELAY=100ms BIFOLD_THP=never",
    ),
];

#[test]
fn a_process_that_does_little_gives_back() {
    run_together("policy_purge", CASES);
}

#[test]
fn it_does_so_as_the_options_say() {
    run_together("policy_purge", OPTIONS);
}

#[test]
fn every_case_is_run() {
    assert_all_run("policy_purge", &[CASES, OPTIONS]);
}
