//! Blocks that are filled, as glibc does it.

use super::{Case, assert_all_run, run};

const CASES: &[Case] = &[
    (
        "by_the_environment 90",
        "BIFOLD_PERTURB=90 MALLOC_PERTURB_=90",
    ),
    ("by_the_environment 165", "MALLOC_PERTURB_=165"),
    (
        "by_the_environment 1",
        "GLIBC_TUNABLES=glibc.malloc.perturb=1",
    ),
    ("by_mallopt", ""),
    ("realloc_keeps_what_is_there", "MALLOC_PERTURB_=90"),
];

#[test]
fn fresh_and_freed_blocks_are_filled() {
    run("policy_perturb", CASES);
}

#[test]
fn every_case_is_run() {
    assert_all_run("policy_perturb", &[CASES]);
}
