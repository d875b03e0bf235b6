//! Huge pages: transparent ones, and pools.

use std::fs;
use std::sync::{Mutex, PoisonError};

use super::{Case, assert_all_run, program, run};
use crate::support::library;

const FILE: &str = "policy_huge";

const TRANSPARENT: &[Case] = &[
    ("never", "BIFOLD_THP=never"),
    ("always", "BIFOLD_THP=always"),
    ("as_the_system_says", "BIFOLD_THP=system"),
    ("adaptive_small_heap", ""),
    ("adaptive_large_heap", ""),
    ("adaptive_sparse_runs", ""),
    ("adaptive_filled_blocks", ""),
    ("adaptive_sparse_later", ""),
    ("adaptive_partly_filled", ""),
    ("adaptive_partly_filled_later", ""),
    ("adaptive_split_by_trim", ""),
    ("adaptive_from_1_mib", "BIFOLD_THP_FROM=1M"),
];

const IN_2M: &[Case] = &[
    ("pool_is_used_first 2048", "BIFOLD_HUGETLB_2M=64M"),
    ("calloc_is_zero_in_a_pool 2048", "BIFOLD_HUGETLB_2M=64M"),
    ("goes_on_beyond_the_pool", "BIFOLD_HUGETLB_2M=64M"),
];

const IN_1G: &[Case] = &[
    ("pool_is_used_first 1048576", "BIFOLD_HUGETLB_1G=1G"),
    ("calloc_is_zero_in_a_pool 1048576", "BIFOLD_HUGETLB_1G=1G"),
];

#[test]
fn transparent_huge_pages_are_as_the_options_say() {
    run(FILE, TRANSPARENT);
}

/// More huge pages than the kernel has set aside before, as long as this lives.
/// They are the whole machine's.
struct Pages {
    file: String,
    before: String,
}

static PAGES: Mutex<()> = Mutex::new(());

fn figure(kib: u64, name: &str) -> Option<u64> {
    let file = format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/{name}");
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

impl Pages {
    fn of(kib: u64, count: u64) -> Option<Self> {
        let before = figure(kib, "nr_hugepages")?;
        let pages = Self {
            file: format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages"),
            before: before.to_string(),
        };
        fs::write(&pages.file, (before + count).to_string()).ok()?;
        (figure(kib, "free_hugepages")? >= count).then_some(pages)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.file, &self.before) {
            eprintln!("{} can't be set back: {error}", self.file);
        }
    }
}

fn in_pool(kib: u64, count: u64, cases: &[Case]) {
    let _one = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    match Pages::of(kib, count) {
        Some(_pages) => run(FILE, cases),
        None => eprintln!("skipped: {count} pages of {kib} KiB can't be had"),
    }
}

#[test]
fn a_pool_of_2_mib_pages_is_used() {
    in_pool(2048, 32, IN_2M);
}

#[test]
fn a_pool_of_1_gib_pages_is_used() {
    in_pool(1 << 20, 1, IN_1G);
}

/// A pool that can't be had as a whole is told, and the program runs.
#[test]
fn a_shortfall_is_told() {
    if library().is_none() {
        println!("skipped: the option is bifold's");
        return;
    }
    let _one = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    for (kib, name, unit) in [
        (2048, "BIFOLD_HUGETLB_2M", "2 MiB"),
        (1 << 20, "BIFOLD_HUGETLB_1G", "1 GiB"),
    ] {
        let free = figure(kib, "free_hugepages").unwrap_or(0);
        let wanted = (free + 3).next_power_of_two();
        let size = format!("{}M", (wanted * kib) >> 10);
        let output = program(FILE, ("goes_on_beyond_the_pool", ""))
            .env(name, size)
            .run();
        assert!(output.status.success(), "{}", output.describe());
        let expected = format!("bifold: {name}: got {free} of {wanted} pages of {unit}\n");
        assert_eq!(output.stderr, expected, "{}", output.describe());
    }
}

#[test]
fn every_case_is_run() {
    assert_all_run(FILE, &[TRANSPARENT, IN_2M, IN_1G]);
}
