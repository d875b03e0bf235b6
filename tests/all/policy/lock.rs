//! Locked memory.

use super::{Case, assert_all_run, program, run};
use crate::support::{SKIPPED, library};

const FILE: &str = "policy_lock";

const CASES: &[Case] = &[
    ("at_once", "BIFOLD_LOCK=1"),
    ("as_it_is_touched", "BIFOLD_LOCK=on-fault"),
    ("not_at_all", ""),
    ("trimmed", "BIFOLD_LOCK=1"),
    ("trimmed", "BIFOLD_LOCK=on-fault"),
];

const REFUSED: &[Case] = &[
    ("beyond_the_limit", "BIFOLD_LOCK=1"),
    ("beyond_the_limit", "BIFOLD_LOCK=on-fault"),
];

#[test]
fn memory_is_locked_as_the_options_say() {
    run(FILE, CASES);
}

#[test]
fn what_cannot_be_locked_is_refused_and_told_once() {
    if library().is_none() {
        println!("skipped: the option is bifold's");
        return;
    }
    for &case in REFUSED {
        let output = program(FILE, case).run();
        if output.status.code() == Some(SKIPPED) {
            eprint!("{}", output.stdout);
            continue;
        }
        assert!(output.status.success(), "{}", output.describe());
        let number = output
            .stderr
            .strip_prefix("bifold: BIFOLD_LOCK: RLIMIT_MEMLOCK of ")
            .and_then(|rest| rest.strip_suffix(" bytes is used up; memory is refused\n"));
        assert!(
            number.is_some_and(|number| number.parse::<u64>().is_ok()),
            "{}",
            output.describe()
        );
    }
}

#[test]
fn every_case_is_run() {
    assert_all_run(FILE, &[CASES, REFUSED]);
}
