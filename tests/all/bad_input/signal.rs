//! Signal handlers that come to a lock which their own thread holds: a line and
//! SIGABRT, where they would wait for themselves for ever.

use crate::support::{Output, Program, SKIPPED, assert_all_listed, check_death, library};

const INTERRUPTED: &[&str] =
    &["malloc or free in a signal handler that interrupted malloc or free"];

fn must_die(output: &Output) {
    if let Err(complaint) = check_death(output, INTERRUPTED) {
        panic!("{complaint}");
    }
}

/// For handlers that may never meet a lock held.
fn must_end(output: &Output) {
    if !output.status.success() {
        must_die(output);
    }
}

fn run(kind: &str, check: fn(&Output)) {
    if library().is_none() {
        eprintln!("skipped: the system's malloc waits for itself");
        return;
    }
    let output = Program::c("bad_signal").arg(kind).run();
    if output.status.code() == Some(SKIPPED) {
        eprint!("{}: {}", output.name, output.stdout);
    } else {
        check(&output);
    }
}

macro_rules! tests {
    ($($kind:ident: $check:ident;)+) => {
        $(
            #[test]
            fn $kind() {
                run(stringify!($kind), $check);
            }
        )+

        #[test]
        fn every_case_has_a_test() {
            assert_all_listed("bad_signal", &[$(stringify!($kind)),+]);
        }
    };
}

tests! {
    malloc_in_a_slow_path: must_die;
    free_in_a_slow_path: must_die;
    in_a_thread: must_die;
    storm_on_the_stack: must_end;
    storm_on_another_stack: must_end;
}
