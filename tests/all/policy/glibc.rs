//! mallopt, `MALLOC_*` and `GLIBC_TUNABLES`, with glibc's meaning: the cases hold
//! on glibc, too.

use super::{Case, assert_all_run, run};
use crate::support::library;

const CASES: &[Case] = &[
    ("answers", ""),
    ("threshold_by_mallopt", ""),
    ("threshold_is_64k", "MALLOC_MMAP_THRESHOLD_=65536"),
    (
        "threshold_is_64k",
        "GLIBC_TUNABLES=glibc.malloc.mmap_threshold=65536",
    ),
    (
        "threshold_is_64k",
        "GLIBC_TUNABLES=glibc.malloc.top_pad=0:glibc.malloc.mmap_threshold=0x10000",
    ),
    ("threshold_adapts", ""),
    ("threshold_adapts_up_to_512k", ""),
    ("set_parameters_end_the_adapting 0", ""),
    ("set_parameters_end_the_adapting 1", ""),
    ("set_parameters_end_the_adapting 2", ""),
    ("set_parameters_end_the_adapting 3", ""),
    ("does_not_adapt", "MALLOC_MMAP_THRESHOLD_=131072"),
    ("does_not_adapt", "MALLOC_MMAP_MAX_=65536"),
    ("does_not_adapt", "MALLOC_TOP_PAD_=131072"),
    ("does_not_adapt", "MALLOC_TRIM_THRESHOLD_=131072"),
    ("mappings_by_mallopt", ""),
    ("three_mappings_at_most", "MALLOC_MMAP_MAX_=3"),
    (
        "three_mappings_at_most",
        "GLIBC_TUNABLES=glibc.malloc.mmap_max=3",
    ),
    ("longest_are_mapped_without_mappings", ""),
    ("growth_by_mallopt", ""),
    ("grows_by_16m", "MALLOC_TOP_PAD_=16777216"),
    (
        "grows_by_16m",
        "GLIBC_TUNABLES=glibc.malloc.top_pad=16777216",
    ),
    // What would go back does so while these look.
    ("no_trim_by_mallopt", "BIFOLD_PURGE_DELAY=10ms"),
    (
        "nothing_goes_back_but_by_trim",
        "MALLOC_TRIM_THRESHOLD_=-1 BIFOLD_PURGE_DELAY=10ms",
    ),
    (
        "nothing_goes_back_but_by_trim",
        "GLIBC_TUNABLES=glibc.malloc.trim_threshold=0xffffffffffffffff BIFOLD_PURGE_DELAY=10ms",
    ),
];

/// The same by bifold's own names, which win over glibc's.
const OWN: &[Case] = &[
    ("threshold_is_64k", "BIFOLD_MMAP_THRESHOLD=64K"),
    (
        "threshold_is_64k",
        "BIFOLD_MMAP_THRESHOLD=64K MALLOC_MMAP_THRESHOLD_=1048576",
    ),
    ("does_not_adapt", "BIFOLD_MMAP_THRESHOLD=128K"),
    ("does_not_adapt", "BIFOLD_MMAP_MAX=65536"),
    ("does_not_adapt", "BIFOLD_GROWTH=128K"),
    ("does_not_adapt", "BIFOLD_SPARE=128K"),
    ("three_mappings_at_most", "BIFOLD_MMAP_MAX=3"),
    ("grows_by_16m", "BIFOLD_GROWTH=16M"),
    (
        "nothing_goes_back_but_by_trim",
        "BIFOLD_PURGE=never BIFOLD_PURGE_DELAY=10ms",
    ),
];

#[test]
fn parameters_have_glibcs_effects() {
    run("policy_glibc", CASES);
}

#[test]
fn so_have_the_options() {
    if library().is_none() {
        println!("skipped: the options are bifold's");
        return;
    }
    run("policy_glibc", OWN);
}

#[test]
fn every_case_is_run() {
    assert_all_run("policy_glibc", &[CASES, OWN]);
}
