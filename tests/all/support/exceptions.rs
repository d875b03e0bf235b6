//! Cases that are not for every library that may be under test, and why.

use super::is_hardened;
use crate::measure::process::PAGE_VARIABLE;

/// How long the pages are that the library under test simulates, if it does.
pub fn simulated_pages() -> Option<usize> {
    let text = std::env::var(PAGE_VARIABLE).ok()?;
    Some(text.parse().expect("bytes"))
}

/// Says why a test is skipped, where the library under test simulates longer
/// pages. Returns whether it does.
pub fn skips_on_long_pages(reason: &str) -> bool {
    let skips = simulated_pages().is_some();
    if skips {
        println!("skipped: {reason}");
    }
    skips
}

/// What longer OS pages have another way, by the start of the child's name.
const NOT_ON_LONG_PAGES: &[(&str, &str)] = &[
    (
        "policy_huge adaptive",
        "nobody gets huge pages of 32 MiB and more unasked",
    ),
    (
        "policy_purge another_thread_ticks",
        "a parked slab keeps an OS page",
    ),
];

/// What a hardened build has another way, by the start of the child's name.
const NOT_HARDENED: &[(&str, &str)] = &[
    ("api_longer one_block_of_each_size", APART),
    ("api_reports malloc_trim_between", WHOLE),
    ("policy_background all_files_are_closed", KEEPS),
    ("policy_background gives_way", KEEPS),
    ("policy_background idle", KEEPS),
    ("policy_faults no_faults", FENCED),
    ("policy_faults reserve_is_mapped", FENCED),
    ("policy_faults untouched_slabs", TOUCHES),
    ("policy_glibc longest_are_mapped", FENCED),
    ("policy_glibc threshold", EXACT),
    ("policy_huge adaptive", HUGE),
    ("policy_huge always", HUGE),
    ("policy_limits blocks_of", CANARY),
    ("policy_limits one_size_after_another", CANARY),
    ("policy_limits share_of_the_cgroup", KEEPS),
    ("policy_limits threads_at_the_limit", CANARY),
    ("policy_parts need_no_pages", FENCED),
    ("policy_perturb ", ZERO),
    ("policy_purge after_100_ms", KEEPS),
    ("policy_purge another_thread_ticks", KEEPS),
    ("policy_purge at_once", KEEPS),
    ("policy_purge lazily", KEEPS),
    ("policy_purge mixed_then", KEEPS),
    ("proc_limits several_threads_at_the_limit", KEEPS),
    ("proc_thread_local memory_stays_flat", KEEPS),
];
const WHOLE: &str = "trim takes no pages of slabs that stay";
const APART: &str = "each size has slabs of its own";
const KEEPS: &str = "blocks in quarantine keep their slabs";
const FENCED: &str = "slabs, runs and mappings have a page behind them";
const HUGE: &str = "a fence in each slab leaves no huge pages";
const CANARY: &str = "there is a canary behind each block";
const ZERO: &str = "freed blocks are zero";
const TOUCHES: &str = "blocks are cut 64 at a time, and taken by chance";
const EXACT: &str = "malloc_usable_size is what was asked for";

/// Why the child of a name is not for the library under test, if it is not.
pub(super) fn reason_against(name: &str) -> Option<&'static str> {
    let reason_in = |others: &[(&str, &'static str)]| {
        let mut others = others.iter();
        others
            .find(|(case, _)| name.starts_with(case))
            .map(|found| found.1)
    };
    let hardened = is_hardened().then(|| reason_in(NOT_HARDENED)).flatten();
    hardened.or_else(|| simulated_pages().and_then(|_| reason_in(NOT_ON_LONG_PAGES)))
}
