//! Misuse of a locked heap's blocks ends the process as any other's.

use crate::support::{Program, SKIPPED, assert_all_listed, check_death, library};

/// Slabs of both lengths.
const IN_SLABS: &[usize] = &[16, 100, 1000, 5000, 9000, 60_000];
/// Runs and mappings.
const LONG: &[usize] = &[100_000, 1 << 20, 5 << 20];

fn must_die(case: &str, sizes: &[&[usize]], accepted: &[&str]) {
    if library().is_none() {
        eprintln!("skipped: no library is under test");
        return;
    }
    for size in sizes.concat() {
        let output = Program::c("bad_heap").arg(case).arg(size.to_string()).run();
        if output.status.code() == Some(SKIPPED) {
            eprint!("{}: {}", output.name, output.stdout);
        } else if let Err(complaint) = check_death(&output, accepted) {
            panic!("{complaint}");
        }
    }
}

macro_rules! tests {
    ($($case:ident: $sizes:expr, $accepted:expr;)+) => {
        $(
            #[test]
            fn $case() {
                must_die(stringify!($case), $sizes, $accepted);
            }
        )+
        #[test]
        fn every_case_has_a_test() {
            assert_all_listed("bad_heap", &[$(stringify!($case)),+]);
        }
    };
}

tests! {
    twice_at_once: &[IN_SLABS, LONG], &["double free"];
    twice_among_others: &[IN_SLABS], &["double free"];
    twice_in_two_threads: &[IN_SLABS, LONG], &["double free"];
    realloc_of_freed: &[IN_SLABS, LONG], &["realloc of a freed block"];
    free_of_the_middle: &[&IN_SLABS[1..], LONG], &["free of an invalid pointer"];
    realloc_of_the_middle: &[&IN_SLABS[1..], LONG], &["realloc of an invalid pointer"];
    free_of_a_guard: &[IN_SLABS, LONG], &["free of an invalid pointer"];
    after_the_heap: &[IN_SLABS, LONG], &["free of an invalid pointer", "double free"];
}
