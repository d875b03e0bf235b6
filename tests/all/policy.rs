//! The options: each is read, and its effect is seen from outside.
//!
//! The C programs say what is seen, the tests here under which variables.
//! Cases that mostly wait run side by side.

mod arenas;
mod at_exit;
mod background;
mod cgroup;
mod faults;
mod glibc;
mod huge;
mod limits;
mod lock;
mod parts;
mod perturb;
mod program;
mod purge;
mod table;
mod values;

use std::thread;

use crate::support::{Program, assert_all_listed, run_case};

/// A case of a C program: its name, further arguments behind it, and the
/// environment, as `NAME=VALUE` with spaces between.
type Case = (&'static str, &'static str);

fn program(file: &str, (case, environment): Case) -> Program {
    let mut program = Program::c(file);
    for argument in case.split(' ') {
        program = program.arg(argument);
    }
    for variable in environment.split_whitespace() {
        let (name, value) = variable.split_once('=').expect("NAME=VALUE");
        program = program.env(name, value);
    }
    program
}

/// Runs cases one after another.
fn run(file: &str, cases: &[Case]) {
    for &case in cases {
        run_case(&program(file, case));
    }
}

/// Runs cases at the same time.
fn run_together(file: &str, cases: &[Case]) {
    thread::scope(|scope| {
        for &case in cases {
            scope.spawn(move || run_case(&program(file, case)));
        }
    });
}

/// Checks that a C program knows the cases that are run, and no others.
fn assert_all_run(file: &str, cases: &[&[Case]]) {
    let mut names: Vec<&str> = cases
        .concat()
        .iter()
        .map(|(case, _)| case.split(' ').next().expect("a name"))
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_all_listed(file, &names);
}
