//! Threads beyond `arena_max`.

use super::{Case, assert_all_run, run};

/// The main thread has a heap, too, and eight others want one.
const CASES: &[Case] = &[
    ("further_threads_share_one 2", "BIFOLD_ARENA_MAX=2"),
    ("further_threads_share_one 1", "MALLOC_ARENA_MAX=1"),
    ("further_threads_share_one 9", ""),
];

#[test]
fn threads_beyond_the_most_share_a_heap() {
    run("policy_arenas", CASES);
}

#[test]
fn every_case_is_run() {
    assert_all_run("policy_arenas", &[CASES]);
}
