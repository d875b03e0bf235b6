//! The hardened build: what it finds, at the call, and what it makes of memory.
//!
//! Each run is a child under the hardened library, with one kind of mistake: by
//! its report and SIGABRT, or, where it is a fence that stops it, by SIGSEGV.
//! What other builds find, too, is in `bad_input`, which runs under this library
//! with `BIFOLD_TEST_LIBRARY`.

use std::os::unix::process::ExitStatusExt;

use crate::support::{
    Output, Program, SIGABRT, SKIPPED, assert_all_listed, check_death, hardened_library,
    hardened_program, skips_on_long_pages,
};

const SIGSEGV: i32 = 11;

const NO_FENCES: &str = "slabs and runs have no fences";

const BEYOND: &str = "write beyond the end of a block";
const BEFORE: &str = "write before the start of a block";
const FREED: &str = "write to a freed block";
const DOUBLE: &str = "double free";
const INVALID: &str = "free of an invalid pointer";
const SIZE: &str = "free with a wrong size";
const USABLE: &str = "malloc_usable_size of a freed block";
const REALLOC: &str = "realloc of a freed block";

fn child(program: &str, run: &str) -> Program {
    let program = Program::c(program).preload(hardened_library().to_owned());
    run.split_whitespace().fold(program, Program::arg)
}

/// Each of the runs, a kind with its arguments, must end as `check` says.
fn each(program: &str, runs: &[&str], check: impl Fn(&Output) -> Result<(), String>) {
    let mut complaints = Vec::new();
    for run in runs {
        let output = child(program, run).run();
        if output.status.code() == Some(SKIPPED) {
            eprint!("{}: {}", output.name, output.stdout);
        } else if let Err(complaint) = check(&output) {
            complaints.push(complaint);
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Each must die with this report, of the address that it has told.
fn must_die(program: &str, runs: &[&str], report: &str) {
    each(program, runs, |output| check_death(output, &[report]));
}

/// Each must die at the call, of a double free, or, where the block's slab has left
/// the heap meanwhile, of one that is no block.
fn must_die_again(program: &str, runs: &[&str]) {
    each(program, runs, |output| {
        check_death(output, &[DOUBLE, INVALID])
    });
}

/// Each must be stopped by a fence, or as before.
fn must_be_stopped(program: &str, runs: &[&str], report: &str) {
    if skips_on_long_pages(NO_FENCES) {
        return;
    }
    each(program, runs, |output| match output.status.signal() {
        Some(SIGSEGV) if output.stderr.is_empty() => Ok(()),
        _ => check_death(output, &[report]),
    });
}

/// Each must be stopped by a fence.
fn must_fault(program: &str, runs: &[&str]) {
    if skips_on_long_pages(NO_FENCES) {
        return;
    }
    each(program, runs, |output| {
        if output.status.signal() == Some(SIGSEGV) && output.stderr.is_empty() {
            return Ok(());
        }
        Err(format!("expected SIGSEGV\n{}", output.describe()))
    });
}

fn must_succeed(program: &str, runs: &[&str]) {
    each(program, runs, |output| {
        if output.status.success() && output.stderr.is_empty() && output.stdout.is_empty() {
            return Ok(());
        }
        Err(output.describe())
    });
}

/// Defines tests for the kinds of one program, and one that none is left out.
macro_rules! kinds {
    ($program:ident: $($test:ident: $check:ident [$($run:literal),+ $(,)?] $(=> $report:expr)?;)+) => {
        mod $program {
            use super::*;

            $(
                #[test]
                fn $test() {
                    $check(stringify!($program), &[$($run),+] $(, $report)?);
                }
            )+

            #[test]
            fn every_case_has_a_test() {
                let runs = [$($($run),+),+];
                let mut kinds = runs.map(|run| run.split(' ').next().expect("a kind")).to_vec();
                kinds.extend(OTHERS.iter().filter(|row| row.0 == stringify!($program)).map(|row| row.1));
                kinds.sort_unstable();
                kinds.dedup();
                assert_all_listed(stringify!($program), &kinds);
            }
        }
    };
}

/// Cases that have a test of their own, below.
const OTHERS: &[(&str, &str)] = &[
    ("hardened_freed", "say_the_order"),
    ("hardened_free", "twice_at_the_same_moment"),
    ("hardened_free", "twice_in_a_child"),
];

kinds! { hardened_overflow:
    overflow_of_small: must_die [
        "over 1 0 1", "over 8 0 1", "over 8 0 8", "over 8 7 1", "over 8 15 1", "over 24 0 1",
        "over 24 7 1", "over 25 0 1", "over 100 0 1", "over 100 0 32", "over 256 0 1",
        "over 1000 0 1", "over 1000 0 8", "over 1016 0 1", "over 1024 0 32",
    ] => BEYOND;
    overflow_of_medium: must_die [
        "over 2000 0 1", "over 5000 0 1", "over 5000 0 32", "over 9000 0 1", "over 20000 0 1",
        "over 32760 0 1", "over 65000 0 1", "over 65528 0 1",
    ] => BEYOND;
    overflow_in_the_last_page: must_die [
        "over 65537 0 1", "over 100000 0 1", "over 200001 0 1", "over 200001 0 32",
        "over 3000000 0 1",
    ] => BEYOND;
    overflow_by_whole_pages: must_be_stopped [
        "over 69632 0 1", "over 131072 0 1", "over 262144 0 1", "over 262144 0 32",
        "over 1048576 0 8", "over 3145728 0 1", "over 300000 4096 1",
    ] => BEYOND;
    overflow_by_copying: must_die [
        "over_by_memcpy 8 1", "over_by_memcpy 100 32", "over_by_memcpy 1000 1",
        "over_by_memcpy 2000 300", "over_by_strcpy 8", "over_by_strcpy 23",
        "over_by_strcpy 1000",
    ] => BEYOND;
    overflow_before_other_calls: must_die [
        "over_and_realloc 8", "over_and_realloc 100", "over_and_realloc 5000",
        "over_and_realloc 100000", "over_and_usable_size 24", "over_and_usable_size 3000",
        "over_and_usable_size 300001",
    ] => BEYOND;
    overflow_after_shrinking: must_die [
        "over_after_shrinking 10", "over_after_shrinking 100", "over_after_shrinking 5000",
        "over_after_shrinking 100000", "over_after_shrinking 300000",
    ] => BEYOND;
    overflow_found_by_another_thread: must_die [
        "over_and_freed_elsewhere 8", "over_and_freed_elsewhere 100",
        "over_and_freed_elsewhere 9000", "over_and_freed_elsewhere 100000",
    ] => BEYOND;
    a_canary_serves_one_block: must_die [
        "canary_of_another 24", "canary_of_another 104", "canary_of_another 4088",
    ] => BEYOND;
    underflow: must_be_stopped [
        "under 8 0 1", "under 24 0 8", "under 100 0 1", "under 100 0 32", "under 256 0 1",
        "under 1000 0 1", "under 1000 0 8", "under 3000 0 1", "under 8000 0 4",
    ] => BEFORE;
    underflow_of_mappings: must_fault [
        "under 262144 0 1", "under 300000 0 32", "under 3145728 0 1",
    ];
    long_overflow: must_fault [
        "all_over 8", "all_over 100", "all_over 1000", "all_over 20000", "all_over 100000",
        "all_over 1048576",
    ];
    long_overflow_reading: must_fault [
        "all_over_reading 8", "all_over_reading 1000", "all_over_reading 60000",
        "all_over_reading 100000", "all_over_reading 1048576",
    ];
    long_underflow: must_fault [
        "all_under 8", "all_under 1000", "all_under 20000", "all_under 300000",
    ];
    blocks_of_nothing: must_fault [
        "reading_nothing", "writing_nothing", "writing_nothing_of_calloc",
    ];
    blocks_are_not_executable: must_fault [
        "executing 16", "executing 1000", "executing 20000", "executing 100000",
        "executing 1048576",
    ];
    a_zero_too_many_does_no_harm: must_succeed ["a_zero_too_many"];
    a_string_ends_before_the_canary: must_succeed ["a_string_ends"];
}

kinds! { hardened_freed:
    write_to_small: must_die [
        "written 8 0", "written 24 23", "written 100 0", "written 100 50", "written 100 99",
        "written 256 255", "written 1000 8", "written 1000 500",
    ] => FREED;
    write_to_medium: must_die [
        "written 2000 0", "written 5000 4999", "written 9000 1",
    ] => FREED;
    write_to_links: must_die [
        "links_written 16", "links_written 100", "links_written 1000", "links_written 5000",
    ] => FREED;
    write_after_a_remote_free: must_die [
        "written_after_a_remote_free 24", "written_after_a_remote_free 500",
        "written_after_a_remote_free 9000",
    ] => FREED;
    write_to_what_was_a_mapping: must_fault ["unmapped_written 300000", "unmapped_written 4000000"];
    read_of_what_was_a_mapping: must_fault ["unmapped_read 300000", "unmapped_read 4000000"];
    freed_blocks_are_zero: must_succeed ["is_zero_afterwards", "is_zero_after_realloc"];
    fresh_blocks_are_zero: must_succeed ["is_zero_at_first"];
    blocks_come_late: must_succeed ["comes_late", "long_ones_come_late", "mappings_come_late"];
    order_is_by_chance: must_succeed ["order_is_by_chance", "a_child_goes_its_own_way"];
}

kinds! { hardened_free:
    double_at_once: must_die [
        "twice 0", "twice 8", "twice 100", "twice 1000", "twice 5000", "twice 60000",
        "twice 100000", "twice 300000", "twice 3000000",
    ] => DOUBLE;
    double_with_others_between: must_die_again [
        "twice_with_one_between 8", "twice_with_one_between 1000",
        "twice_with_one_between 20000", "twice_with_one_between 100000",
        "twice_with_one_between 300000", "twice_with_many_between 24 10",
        "twice_with_many_between 24 300", "twice_with_many_between 24 1000",
        "twice_with_many_between 500 100", "twice_with_many_between 500 700",
        "twice_with_many_between 5000 20",
    ];
    double_in_full_slabs: must_die_again [
        "twice_in_a_full_slab 24", "twice_in_a_full_slab 1000", "twice_in_a_full_slab 9000",
        "twice_of_every_second 24", "twice_of_every_second 300", "twice_of_every_second 9000",
    ];
    double_by_threads: must_die_again [
        "twice_second_elsewhere 0", "twice_second_elsewhere 24", "twice_second_elsewhere 1000",
        "twice_second_elsewhere 9000", "twice_first_elsewhere 24",
        "twice_first_elsewhere 1000", "twice_first_elsewhere 9000",
        "twice_both_elsewhere 24", "twice_both_elsewhere 1000", "twice_both_elsewhere 9000",
        "twice_of_a_dead_thread 24", "twice_of_a_dead_thread 1000",
        "twice_of_a_dead_thread 9000",
    ];
    double_of_aligned: must_die [
        "twice_of_aligned 10", "twice_of_aligned 1000", "twice_of_aligned 100000",
    ] => DOUBLE;
    never_handed_out: must_die [
        "never_handed_out 24", "never_handed_out 100", "never_handed_out 900",
    ] => INVALID;
    what_is_not_initialised_is_null: must_succeed ["uninitialised 24", "uninitialised 1000"];
    usable_size_of_freed: must_die [
        "usable_size_of_freed 0", "usable_size_of_freed 24", "usable_size_of_freed 1000",
        "usable_size_of_freed 9000",
    ] => USABLE;
    realloc_of_freed: must_die [
        "realloc_of_freed 24", "realloc_of_freed 1000", "realloc_of_freed 9000",
    ] => REALLOC;
    old_block_of_a_realloc: must_die [
        "old_block_of_a_realloc 24", "old_block_of_a_realloc 1000",
        "old_block_of_a_realloc 9000", "old_block_of_a_realloc 300000",
    ] => DOUBLE;
    wrong_size: must_die [
        "sized free_sized 100 99", "sized free_sized 100 101", "sized free_sized 100 1000",
        "sized free_sized 0 1", "sized free_sized 8 0", "sized _ZdlPvm 8 1",
        "sized _ZdlPvm 24 32", "sized _ZdaPvm 5000 5001", "sized _ZdlPvm 60000 100",
        "sized free_sized 100000 99999", "sized free_sized 300000 300001",
        "sized _ZdlPvm 3000000 8",
    ] => SIZE;
    wrong_size_of_aligned: must_die ["aligned_sized 640 512", "aligned_sized 64 65"] => SIZE;
    right_sizes: must_succeed ["right_sizes"];
}

kinds! { hardened_delete:
    wrong_size_by_delete: must_die [
        "through_a_base", "as_another_type", "array_of_bytes_by_sized_delete",
    ] => SIZE;
    delete_of_an_array: must_die ["array_by_plain_delete", "of_an_element"] => INVALID;
    right_deletes: must_succeed ["as_it_should_be"];
}

#[test]
fn wrong_size_in_a_rust_program() {
    let run = |arguments: &[&str]| {
        let program = Program::new(hardened_program()).without_preload();
        arguments.iter().fold(program, Program::arg).run()
    };
    for door in ["dealloc", "deallocate"] {
        for [size, alignment, other] in [
            ["100", "1", "99"],
            ["100", "1", "104"],
            ["24", "8", "25"],
            ["640", "64", "512"],
            ["9000", "16", "9008"],
            ["100000", "16", "99999"],
            ["3000000", "4096", "8"],
        ] {
            let output = run(&[door, size, alignment, other]);
            check_death(&output, &[SIZE]).unwrap_or_else(|complaint| panic!("{complaint}"));
            run(&[door, size, alignment, size]).assert_success();
        }
    }
}

#[test]
fn double_at_the_same_moment() {
    for size in ["24", "1000", "9000"] {
        let run = format!("twice_at_the_same_moment {size}");
        // Which free comes second, and so which address is told, is by chance.
        must_die("hardened_free", &[&run], DOUBLE);
    }
}

#[test]
fn double_in_a_child() {
    for size in ["24", "1000", "9000"] {
        let output = child("hardened_free", &format!("twice_in_a_child {size}")).run();
        assert!(output.stderr.contains(DOUBLE), "{}", output.describe());
        assert_eq!(
            output.status.signal(),
            Some(SIGABRT),
            "{}",
            output.describe()
        );
    }
}

#[test]
fn the_order_differs_from_process_to_process() {
    let order = || child("hardened_freed", "say_the_order").run().stdout;
    assert_ne!(order(), order());
}

mod measures {
    use super::*;

    fn with(value: &str, program: &str, run: &str) -> Output {
        child(program, run).env("BIFOLD_HARDEN", value).run()
    }

    #[test]
    fn each_can_be_switched_off() {
        for (value, program, run) in [
            ("-canary", "hardened_overflow", "over 8 0 1"),
            ("-canary,-zero", "hardened_overflow", "under 8 0 1"),
            ("-zero,-canary", "hardened_freed", "written 100 50"),
            ("-all", "hardened_overflow", "over 100 0 8"),
            ("-canary", "hardened_free", "sized free_sized 100 99"),
        ] {
            let output = with(value, program, run);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{value}: {}",
                output.describe()
            );
            assert!(output.stderr.is_empty(), "{value}: {}", output.describe());
        }
        for (value, run) in [
            ("-order", "order_is_by_chance"),
            ("-quarantine", "comes_late"),
            ("-zero", "is_zero_afterwards"),
        ] {
            let output = with(value, "hardened_freed", run);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{value}: {}",
                output.describe()
            );
        }
        let output = with("-guard", "hardened_overflow", "reading_nothing");
        assert_eq!(output.status.code(), Some(1), "{}", output.describe());
    }

    #[test]
    fn without_any_frees_are_checked() {
        for run in [
            "twice 100",
            "twice_first_elsewhere 24",
            "twice_of_every_second 300",
        ] {
            let output = with("-all", "hardened_free", run);
            check_death(&output, &[DOUBLE]).unwrap_or_else(|complaint| panic!("{complaint}"));
        }
    }

    #[test]
    fn one_can_be_switched_on_again() {
        let output = with("-all,+canary", "hardened_overflow", "over 8 0 1");
        check_death(&output, &[BEYOND]).unwrap_or_else(|complaint| panic!("{complaint}"));
    }

    #[test]
    fn a_bad_value_is_told_and_changes_nothing() {
        for value in ["", "canary", "-canaries", "-zero;", "1"] {
            let output = with(value, "hardened_overflow", "a_string_ends");
            let line = format!("bifold: BIFOLD_HARDEN={value}: not `-` or `+` and");
            assert!(output.stderr.starts_with(&line), "{}", output.describe());
            assert_eq!(output.stderr.lines().count(), 1, "{}", output.describe());
            let output = with(value, "hardened_overflow", "over 8 0 1");
            assert!(output.stderr.contains(BEYOND), "{}", output.describe());
        }
    }

    #[test]
    fn verbose_says_which() {
        let output = child("hardened_overflow", "a_string_ends")
            .env("BIFOLD_HARDEN", "-order,-guard")
            .env("BIFOLD_VERBOSE", "1")
            .run();
        let line = "bifold: hardened: canary zero quarantine\n";
        assert!(output.stderr.contains(line), "{}", output.describe());
    }
}

/// What a build that is not hardened finds of it, as far as `bad_input` has no
/// such case.
mod other_builds {
    use super::*;
    use crate::support::{is_hardened, library};

    fn output(program: &str, run: &str) -> Option<Output> {
        if library().is_none() || is_hardened() {
            println!("skipped: it is about bifold, not hardened");
            return None;
        }
        let arguments = run.split_whitespace();
        let program = arguments.fold(Program::c(program), |program, word| program.arg(word));
        Some(program.run())
    }

    fn must_die(program: &str, runs: &[&str], reports: &[&str]) {
        for run in runs {
            let Some(output) = output(program, run) else {
                return;
            };
            check_death(&output, reports).unwrap_or_else(|complaint| panic!("{complaint}"));
        }
    }

    #[test]
    fn double_in_a_child() {
        for run in ["twice_in_a_child 24", "twice_in_a_child 9000"] {
            let Some(output) = output("hardened_free", run) else {
                return;
            };
            assert!(output.stderr.contains(DOUBLE), "{}", output.describe());
            assert_eq!(
                output.status.signal(),
                Some(SIGABRT),
                "{}",
                output.describe()
            );
        }
    }

    #[test]
    fn never_handed_out() {
        let runs = ["never_handed_out 24", "never_handed_out 900"];
        must_die("hardened_free", &runs, &[DOUBLE, INVALID]);
    }

    #[test]
    fn write_to_links() {
        let runs = [
            "links_written 16",
            "links_written 100",
            "links_written 1000",
        ];
        must_die(
            "hardened_freed",
            &runs,
            &["double free or write to a freed block"],
        );
    }

    #[test]
    fn blocks_are_not_executable() {
        for run in ["executing 16", "executing 20000", "executing 1048576"] {
            let Some(output) = output("hardened_overflow", run) else {
                return;
            };
            assert_eq!(
                output.status.signal(),
                Some(SIGSEGV),
                "{}",
                output.describe()
            );
        }
    }
}
