//! vm.overcommit_memory is the whole machine's: the test changes it only where
//! it is told that it may, by BIFOLD_TEST_OVERCOMMIT.

use std::fs;
use std::time::Duration;

use crate::support::{Program, assert_all_listed, run_case};

const MODE: &str = "/proc/sys/vm/overcommit_memory";
const RATIO: &str = "/proc/sys/vm/overcommit_ratio";

/// Sets the two back, whatever happens.
struct Restore {
    mode: String,
    ratio: String,
}

impl Restore {
    fn strict() -> Option<Self> {
        let before = Self {
            mode: fs::read_to_string(MODE).ok()?,
            ratio: fs::read_to_string(RATIO).ok()?,
        };
        // Far more than there is, so that nothing else on the machine
        // notices.
        fs::write(RATIO, "1000").ok()?;
        fs::write(MODE, "2").ok()?;
        Some(before)
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        let mode = fs::write(MODE, &self.mode);
        let ratio = fs::write(RATIO, &self.ratio);
        if let Err(error) = mode.and(ratio) {
            eprintln!("{MODE} and {RATIO} can't be set back: {error}");
        }
    }
}

#[test]
fn allocates_and_refuses() {
    if std::env::var_os("BIFOLD_TEST_OVERCOMMIT").is_none() {
        eprintln!("skipped: BIFOLD_TEST_OVERCOMMIT is not set");
        return;
    }
    let limit = Duration::from_secs(10);
    let program = Program::c("proc_overcommit").time_limit(limit);
    let Some(_restore) = Restore::strict() else {
        eprintln!("skipped: {MODE} can't be written");
        return;
    };
    run_case(&program.clone().arg("allocates"));
    run_case(&program.arg("refuses_more_than_there_is"));
}

#[test]
fn every_case_has_a_test() {
    let tested = ["allocates", "refuses_more_than_there_is"];
    assert_all_listed("proc_overcommit", &tested);
}
