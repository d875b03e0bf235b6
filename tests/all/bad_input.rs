//! Bad input: one line on standard error and SIGABRT, never SIGSEGV, and never
//! a block handed out twice.
//!
//! Each run is a child of its own. Most tests are a kind of mistake, made with
//! several sizes and places.

mod double;
mod pointer;
mod signal;
mod write;

use std::os::unix::process::ExitStatusExt;

use crate::support::{
    Program, SIGABRT, SKIPPED, assert_all_listed, cases, check_death, is_hardened, library,
};

const INVALID: &[&str] = &["free of an invalid pointer"];
const INVALID_REALLOC: &[&str] = &["realloc of an invalid pointer"];
const DOUBLE: &[&str] = &["double free"];
/// For memory that may have left the heap between the two frees, so that
/// nothing tells that it was ever a block.
const DOUBLE_OR_INVALID: &[&str] = &["double free", "free of an invalid pointer"];
const ANY_REALLOC: &[&str] = &[
    "realloc of an invalid pointer",
    "realloc of a freed block",
    "double free",
    "free of an invalid pointer",
];
const USABLE: &[&str] = &[
    "malloc_usable_size of an invalid pointer",
    "malloc_usable_size of a freed block",
];

/// Kinds that need a realloc to move the block, which none has to.
const MAY_STAY: &[&str] = &[
    "after_a_move",
    "after_shrinking_to_small",
    "old_block_after_shrinking",
];

/// Each of the runs, a list of arguments, must die with an accepted report.
fn must_die(program: &str, kind: &str, runs: &[String], accepted: &[&str]) {
    check_runs(program, kind, runs, |output| check_death(output, accepted));
}

/// Each must die so, or else exit with 0.
fn must_die_or_succeed(program: &str, kind: &str, runs: &[String], accepted: &[&str]) {
    check_runs(program, kind, runs, |output| {
        if output.status.success() && output.stderr.is_empty() {
            return Ok(());
        }
        check_death(output, accepted)
    });
}

fn check_runs(
    program: &str,
    kind: &str,
    runs: &[String],
    check: impl Fn(&crate::support::Output) -> Result<(), String>,
) {
    if library().is_none() {
        eprintln!("skipped: the system's malloc has reports of its own");
        return;
    }
    let mut complaints = Vec::new();
    let mut skipped = 0;
    for run in runs {
        let mut program = Program::c(program).arg(kind);
        for argument in run.split_whitespace() {
            program = program.arg(argument);
        }
        let output = program.run();
        if output.status.code() == Some(SKIPPED) {
            eprint!("{}: {}", output.name, output.stdout);
            skipped += 1;
        } else if let Err(complaint) = check(&output) {
            complaints.push(complaint);
        }
    }
    assert!(
        complaints.is_empty(),
        "{} of {} runs:\n\n{}",
        complaints.len(),
        runs.len(),
        complaints.join("\n")
    );
    // There is none in quarantine.
    let waits = kind == "stale_pointer" && is_hardened();
    assert!(
        skipped < runs.len() || MAY_STAY.contains(&kind) || waits,
        "each run of {kind} was skipped"
    );
}

/// Each first argument with each list of others.
fn combine<A: ToString>(first: &[A], others: &[&str]) -> Vec<String> {
    let combine_one = |first: &A| {
        let first = first.to_string();
        others.iter().map(move |other| format!("{first} {other}"))
    };
    first.iter().flat_map(combine_one).collect()
}

const SMALL: &[usize] = &[16, 24, 64, 112, 256, 1024];
const MEDIUM: &[usize] = &[2000, 5000, 9000, 20000, 32000];
const RUNS: &[usize] = &[33000, 60000, 100_000];
const LARGE: &[usize] = &[200_000, 3 << 20];

fn sizes(ranges: &[&[usize]]) -> Vec<String> {
    let sizes = ranges.iter().flat_map(|range| range.iter());
    sizes.map(usize::to_string).collect()
}

/// Slabs that only look empty, by their kind in `bad_slab.c`.
mod slab {
    use super::*;

    fn look_empty(kind: &str) {
        let places = ["3", "37", "50", "100"];
        must_die("bad_slab", kind, &combine(SMALL, &places), DOUBLE);
        let runs = combine(MEDIUM, &places);
        must_die("bad_slab", kind, &runs, DOUBLE_OR_INVALID);
    }

    macro_rules! tests {
        ($($kind:ident)+) => {
            $(
                #[test]
                fn $kind() {
                    look_empty(stringify!($kind));
                }
            )+

            #[test]
            fn every_case_has_a_test() {
                assert_all_listed("bad_slab", &[$(stringify!($kind),)+ "never_handed_out"]);
            }
        };
    }

    tests! {
        local
        local_and_another
        remote
        of_a_dead_thread
        of_a_dead_thread_remote
        half_remote
        and_other_sizes
    }

    #[test]
    fn never_handed_out() {
        let runs = sizes(&[SMALL, MEDIUM, RUNS]);
        must_die_or_succeed("bad_slab", "never_handed_out", &runs, DOUBLE_OR_INVALID);
    }
}

/// realloc and free blocks, by their kind in `bad_realloc.c`.
mod realloc {
    use super::*;

    macro_rules! tests {
        ($($kind:ident: $accepted:expr;)+) => {
            $(
                #[test]
                fn $kind() {
                    let runs = sizes(&[SMALL, MEDIUM, RUNS]);
                    must_die("bad_realloc", stringify!($kind), &runs, $accepted);
                }
            )+

            #[test]
            fn every_case_has_a_test() {
                assert_all_listed(
                    "bad_realloc",
                    &[$(stringify!($kind),)+ "usable_size_of_freed"],
                );
            }
        };
    }

    tests! {
        freed_to_the_same: ANY_REALLOC;
        freed_to_more: ANY_REALLOC;
        freed_to_much_more: ANY_REALLOC;
        freed_to_less: ANY_REALLOC;
        freed_to_nothing: ANY_REALLOC;
        nothing_twice: ANY_REALLOC;
        old_block_after_growing: DOUBLE_OR_INVALID;
        old_block_after_becoming_large: DOUBLE_OR_INVALID;
        old_block_after_shrinking: DOUBLE_OR_INVALID;
    }

    #[test]
    fn usable_size_of_freed() {
        let runs = sizes(&[SMALL, MEDIUM, RUNS]);
        must_die_or_succeed("bad_realloc", "usable_size_of_freed", &runs, USABLE);
    }
}

/// Mappings, by their kind in `bad_large.c`.
mod large {
    use super::*;

    macro_rules! tests {
        ($($kind:ident: $accepted:expr;)+) => {
            $(
                #[test]
                fn $kind() {
                    let runs = sizes(&[LARGE, &[300_000, 40 << 20]]);
                    must_die("bad_large", stringify!($kind), &runs, $accepted);
                }
            )+

            #[test]
            fn every_case_has_a_test() {
                assert_all_listed(
                    "bad_large",
                    &[$(stringify!($kind),)+ "usable_size_of_freed"],
                );
            }
        };
    }

    // Among a thousand others the address may have been forgotten.
    tests! {
        at_once: DOUBLE;
        after_small_frees: DOUBLE;
        after_a_few_large_frees: DOUBLE;
        after_large_frees: DOUBLE_OR_INVALID;
        after_trim: DOUBLE;
        first_in_a_thread: DOUBLE;
        second_in_a_thread: DOUBLE;
        after_a_move: DOUBLE_OR_INVALID;
        after_shrinking_to_small: DOUBLE_OR_INVALID;
        after_realloc_to_nothing: DOUBLE;
        realloc_of_freed: ANY_REALLOC;
        realloc_of_freed_to_less: ANY_REALLOC;
        inside_a_freed_one: DOUBLE_OR_INVALID;
    }

    #[test]
    fn usable_size_of_freed() {
        let runs = sizes(&[LARGE]);
        must_die_or_succeed("bad_large", "usable_size_of_freed", &runs, USABLE);
    }
}

/// The report under circumstances of the program's own making.
mod report {
    use super::*;
    use crate::support::{Output, assert_dies};

    fn after(command: &str) -> Output {
        let program = Program::c("bad_pointer").arg("stack").arg("free");
        program.after(command).run()
    }

    #[test]
    fn comes_although_sigabrt_is_ignored() {
        if library().is_none() {
            eprintln!("skipped: the system's malloc has reports of its own");
            return;
        }
        assert_dies(&after("trap '' ABRT"), INVALID);
    }

    #[test]
    fn is_lost_when_standard_error_is_closed_but_the_program_dies() {
        if library().is_none() {
            eprintln!("skipped: the system's malloc has reports of its own");
            return;
        }
        let output = after("exec 2>&-");
        let signal = output.status.signal();
        assert_eq!(signal, Some(SIGABRT), "{}", output.describe());
    }
}

// What only looks like a mistake is none.
cases! { lookalikes:
    all_words_of_a_free_block
    one_word_everywhere
    the_programs_own_list
    freed_by_another_thread
    reallocated
    never_written
}
