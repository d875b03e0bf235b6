//! Bad input: one line on standard error and SIGABRT, never SIGSEGV, and never
//! a block handed out twice.
//!
//! Each run is a child of its own. Most tests are a kind of mistake, made with
//! several sizes and places.

use std::os::unix::process::ExitStatusExt;

use crate::support::{Program, SIGABRT, SKIPPED, assert_all_listed, cases, check_death, library};

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
    assert!(
        skipped < runs.len() || MAY_STAY.contains(&kind),
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

/// What is not a block, by its kind in `bad_pointer.c` and the arguments of it.
mod pointer {
    use super::*;

    macro_rules! pointers {
        ($($name:ident: $kind:literal $arguments:expr;)+) => {
            mod free {
                use super::*;
                $(
                    #[test]
                    fn $name() {
                        must_die("bad_pointer", $kind, &combine(&["free"], &$arguments), INVALID);
                    }
                )+
            }

            mod realloc {
                use super::*;
                $(
                    #[test]
                    fn $name() {
                        let runs = combine(&["realloc", "shrink", "grow"], &$arguments);
                        must_die("bad_pointer", $kind, &runs, INVALID_REALLOC);
                    }
                )+
            }

            mod realloc_to_nothing {
                use super::*;
                $(
                    #[test]
                    fn $name() {
                        let runs = combine(&["realloc0"], &$arguments);
                        must_die("bad_pointer", $kind, &runs, ANY_REALLOC);
                    }
                )+
            }

            mod malloc_usable_size {
                use super::*;
                $(
                    #[test]
                    fn $name() {
                        let runs = combine(&["usable"], &$arguments);
                        must_die_or_succeed("bad_pointer", $kind, &runs, USABLE);
                    }
                )+
            }

            #[test]
            fn every_case_has_a_test() {
                let mut kinds = vec![$($kind),+];
                kinds.sort_unstable();
                kinds.dedup();
                assert_all_listed("bad_pointer", &kinds);
            }
        };
    }

    pointers! {
        stack: "stack" [""];
        stack_of_thread: "stack_of_thread" [""];
        data: "data" [""];
        bss: "bss" [""];
        rodata: "rodata" [""];
        thread_local_storage: "thread_local_storage" [""];
        text: "text" [""];
        text_of_a_library: "text_of_a_library" [""];
        data_of_a_library: "data_of_a_library" [""];
        argument_string: "argument_string" [""];
        vdso: "vdso" [""];
        program_break: "program_break" [""];
        text_of_bifold: "library_itself" ["0", "64", "4096"];
        data_of_bifold: "data_of_the_library_itself" ["0", "16", "64", "256"];

        wild_low: "wild" ["0x1", "0x8", "0x10", "0x100", "0xfff", "0x1000", "0x10000"];
        wild: "wild" ["0x41414140", "0x414141414140", "0x100000000000", "0x7ffffffff000"];
        wild_misaligned: "wild" ["0x41414141", "0x414141414141", "0x7ffffffff008"];
        not_canonical: "wild" [
            "0x4141414141414140", "0x4141414141414141", "0x0000800000000000",
            "0x8000000000000000", "0xdeadbeefdeadbee0",
        ];
        wild_high: "wild" [
            "0xffff800000000000", "0xffffffffff600000", "0xffffffffffffe000",
            "0xfffffffffffffff0", "0xffffffffffffffff",
        ];

        below_a_block: "far_from_a_block" ["100 -16", "200 -32", "200000 -16", "3145728 -4096"];
        above_a_block: "far_from_a_block" [
            "200000 200720", "200000 204816", "3145728 3145744", "3145728 3149840",
        ];
        near_a_block: "far_from_a_block" [
            "64 65544", "64 131080", "64 524296", "64 1048584", "5000 65544", "50000 131080",
        ];
        far_from_a_block: "far_from_a_block" [
            "64 0x40000000", "64 -0x40000000", "64 0x1000000000", "64 -0x1000000000",
            "64 0x10000000000", "64 -0x10000000000", "200000 0x40000000",
            "200000 -0x40000000", "5000 0x2000000000", "5000 0x400000000000",
        ];

        mapping: "mapping_start" ["4096", "65536", "262144", "2097152", "67108864"];
        mapping_in_the_middle: "mapping_middle" ["8192", "131072", "4194304", "67108864"];
        mapping_offset_16: "mapping_offset_16" ["4096", "262144", "4194304"];
        mapping_offset_64: "mapping_offset_64" ["4096", "262144", "4194304"];
        mapping_without_access: "mapping_without_access" ["4096", "4194304"];
        mapping_of_zeros: "mapping_of_zeros" [""];
        mapping_gone: "mapping_gone" ["4096", "262144", "4194304"];
        mapping_of_a_file: "mapping_of_a_file" [""];

        inside_small: "inside" [
            "32 16", "64 16", "64 48", "100 16", "100 96", "500 256", "1000 16", "1024 512",
            "1024 1008",
        ];
        inside_medium: "inside" [
            "2000 16", "2000 1024", "10240 16", "10240 4096", "10240 8192", "32000 16",
            "32000 16384",
        ];
        inside_runs: "inside" [
            "51200 16", "51200 4096", "51200 32768", "100000 16", "100000 65536",
        ];
        inside_large: "inside" ["204800 16", "204800 4096", "204800 131072"];
        inside_huge: "inside" [
            "3145728 16", "3145728 4096", "3145728 1048576", "3145728 2097152",
        ];
        inside_untouched: "inside_untouched" [
            "100 16", "1024 512", "10240 4096", "51200 32768", "204800 131072",
            "3145728 2097152",
        ];
        inside_zeroed: "inside_zeroed" [
            "100 16", "1024 512", "10240 4096", "51200 32768", "204800 131072",
            "3145728 2097152",
        ];
        inside_of_other_thread: "inside_of_other_thread" [
            "100 16", "1024 512", "10240 4096", "51200 32768", "204800 131072",
            "3145728 2097152",
        ];
        inside_aligned: "inside_aligned" [
            "100 16 4096", "100 64 256", "5000 4096 4096", "100000 65536 65536",
            "300000 131072 131072", "300000 4096 1048576", "3145728 2097152 2097152",
        ];
        beyond_a_shrunken_block: "beyond_a_shrunken_block" [
            "3145728 1048576", "300000 200000",
        ];

        misaligned_small: "inside" [
            "1 1", "1 8", "24 1", "24 8", "24 15", "100 1", "100 8", "1024 1", "1024 8",
            "1024 1001", "1024 -1", "1024 -8",
        ];
        misaligned_medium: "inside" [
            "10240 1", "10240 8", "10240 4097", "10240 -1", "10240 -8", "32000 1", "32000 8",
        ];
        misaligned_runs: "inside" ["51200 1", "51200 8", "51200 4097", "51200 -8"];
        misaligned_large: "inside" [
            "204800 1", "204800 8", "204800 4097", "204800 -8", "3145728 1", "3145728 8",
            "3145728 1048577",
        ];
    }

    /// The other functions that free.
    mod freed_by {
        use super::*;

        const FUNCTIONS: [&str; 4] = ["cfree", "_ZdlPv", "_ZdaPv", "free_sized"];

        fn of(kind: &str, functions: &[&str], arguments: &[&str]) {
            must_die("bad_pointer", kind, &combine(functions, arguments), INVALID);
        }

        #[test]
        fn others_of_stack() {
            of("stack", &FUNCTIONS, &[""]);
        }

        #[test]
        fn others_of_data() {
            of("data", &FUNCTIONS, &[""]);
        }

        #[test]
        fn others_of_wild() {
            let wild = ["0x10", "0x4141414141414140", "0xfffffffffffffff0"];
            of("wild", &FUNCTIONS, &wild);
        }

        #[test]
        fn others_of_mapping() {
            of("mapping_start", &FUNCTIONS, &["4096", "4194304"]);
        }

        // A size that comes along stands in for the check of the place.
        #[test]
        fn others_of_inside() {
            of(
                "inside",
                &FUNCTIONS[..3],
                &["100 16", "10240 4096", "204800 8"],
            );
        }

        #[test]
        fn reallocarray_of_any() {
            for (kind, arguments) in [("stack", ""), ("wild", "0x10"), ("inside", "100 16")] {
                let runs = combine(&["reallocarray"], &[arguments]);
                must_die("bad_pointer", kind, &runs, INVALID_REALLOC);
            }
        }
    }
}

const SMALL: &[usize] = &[16, 24, 64, 112, 256, 1024];
const MEDIUM: &[usize] = &[2000, 5000, 9000, 20000, 32000];
const RUNS: &[usize] = &[33000, 60000, 100_000];
const LARGE: &[usize] = &[200_000, 3 << 20];

fn sizes(ranges: &[&[usize]]) -> Vec<String> {
    let sizes = ranges.iter().flat_map(|range| range.iter());
    sizes.map(usize::to_string).collect()
}

/// Second frees, by their kind in `bad_double.c`.
mod double {
    use super::*;

    macro_rules! at_the_call {
        ($($kind:ident)+) => {
            $(
                #[test]
                fn $kind() {
                    let mut runs = sizes(&[SMALL, MEDIUM, RUNS, LARGE]);
                    runs.extend(["1".to_owned(), "500".to_owned()]);
                    must_die("bad_double", stringify!($kind), &runs, DOUBLE);
                }
            )+
            const AT_THE_CALL: &[&str] = &[$(stringify!($kind)),+];
        };
    }

    at_the_call! {
        at_once
        at_once_among_others
        at_once_among_many
        at_once_after_frees
        at_once_of_calloc
        at_once_of_aligned
        at_once_of_realloc
        at_once_in_a_thread
    }

    /// Small and medium apart: slabs of few blocks soon go back whole, and
    /// nothing then tells an old block of theirs from an invalid pointer.
    macro_rules! sooner_or_later {
        ($($kind:ident)+) => {
            mod small {
                use super::*;
                $(
                    #[test]
                    fn $kind() {
                        must_die("bad_double", stringify!($kind), &sizes(&[SMALL]), DOUBLE);
                    }
                )+
            }

            mod medium {
                use super::*;
                $(
                    #[test]
                    fn $kind() {
                        let runs = sizes(&[MEDIUM]);
                        must_die("bad_double", stringify!($kind), &runs, DOUBLE_OR_INVALID);
                    }
                )+
            }

            const SOONER_OR_LATER: &[&str] = &[$(stringify!($kind)),+];
        };
    }

    sooner_or_later! {
        stale_pointer
        p_q_p
        first_and_last_of_many
        every_second_twice
        in_full_slabs
        after_other_sizes
        after_reuse_of_others
        second_is_remote
        first_is_remote
        both_are_remote
        both_are_remote_at_once
        from_two_threads
        both_are_remote_in_full_slabs
        second_is_remote_in_full_slabs
        at_the_same_moment
        of_a_dead_thread
        of_a_dead_thread_that_freed_it
        of_a_dead_thread_by_another
    }

    #[test]
    fn p_q_p_of_runs() {
        must_die("bad_double", "p_q_p", &sizes(&[RUNS]), DOUBLE_OR_INVALID);
    }

    #[test]
    fn remote_of_runs() {
        for kind in ["second_is_remote", "first_is_remote", "both_are_remote"] {
            must_die("bad_double", kind, &sizes(&[RUNS]), DOUBLE_OR_INVALID);
        }
    }

    #[test]
    fn at_once_by() {
        let runs = combine(
            &sizes(&[SMALL, MEDIUM, RUNS, LARGE]),
            &["cfree", "_ZdlPv", "_ZdaPv"],
        );
        must_die("bad_double", "at_once_by", &runs, DOUBLE);
    }

    #[test]
    fn sized_p_q_p() {
        let functions = ["free_sized", "_ZdlPvm", "_ZdaPvm"];
        let runs = combine(&sizes(&[SMALL]), &functions);
        must_die("bad_double", "sized_p_q_p", &runs, DOUBLE);
        let runs = combine(&sizes(&[MEDIUM]), &functions);
        must_die("bad_double", "sized_p_q_p", &runs, DOUBLE_OR_INVALID);
    }

    #[test]
    fn every_case_has_a_test() {
        let others: &[&str] = &["at_once_by", "sized_p_q_p"];
        let tested = [AT_THE_CALL, SOONER_OR_LATER, others].concat();
        assert_all_listed("bad_double", &tested);
    }
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
    use crate::support::{assert_dies, c_program};

    fn through_sh(script: &str) -> Program {
        Program::new("sh")
            .arg("-c")
            .arg(script)
            .arg(c_program("bad_pointer"))
            .arg("stack")
            .arg("free")
    }

    #[test]
    fn comes_although_sigabrt_is_ignored() {
        if library().is_none() {
            eprintln!("skipped: the system's malloc has reports of its own");
            return;
        }
        let script = "trap '' ABRT; exec \"$0\" \"$@\"";
        assert_dies(&through_sh(script).run(), INVALID);
    }

    #[test]
    fn is_lost_when_standard_error_is_closed_but_the_program_dies() {
        if library().is_none() {
            eprintln!("skipped: the system's malloc has reports of its own");
            return;
        }
        let output = through_sh("exec \"$0\" \"$@\" 2>&-").run();
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
