//! Second frees, by their kind in `bad_double.c`.

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
    remote_in_turn
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
