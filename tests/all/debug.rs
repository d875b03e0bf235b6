//! The library with debug assertions, which checks the state of all its layers
//! every so often, at each trim, and at the end: real programs run on it as on
//! glibc, threads and forks pass, and a state that was damaged ends the process.

use crate::programs::writes_the_same_as_under_glibc;
use crate::support::{self, Program, assert_all_listed, assert_dies, debug_library, run_case};

/// Defines a test for each program.
macro_rules! programs {
    ($($test:ident: $name:literal)+) => {
        $(
            #[test]
            fn $test() {
                if is_under_test() {
                    writes_the_same_as_under_glibc($name, debug_library().as_os_str());
                }
            }
        )+
    };
}

programs! {
    python3: "python3"
    perl: "perl"
    lua: "lua5.4"
    sqlite: "sqlite3"
    cxx: "g++"
    redis: "redis"
    gawk: "gawk"
}

/// Whether this workspace's library is to be tested, and not another.
fn is_under_test() -> bool {
    let other = std::env::var_os("BIFOLD_TEST_LIBRARY").is_some();
    if other {
        println!("skipped: BIFOLD_TEST_LIBRARY is set");
    }
    !other
}

/// Runs every case of a C program under the debug library.
fn run_all(name: &str) {
    if !is_under_test() {
        return;
    }
    let program = Program::c(name).preload(debug_library().to_owned());
    let list = Program::c(name).without_preload().arg("--list").run();
    list.assert_success();
    assert!(!list.stdout.is_empty(), "{name} has cases");
    for case in list.stdout.lines() {
        run_case(&program.clone().arg(case));
    }
}

#[test]
fn threads() {
    run_all("proc_threads");
}

#[test]
fn blocks_that_threads_pass_to_one_another() {
    run_all("proc_passing");
}

#[test]
fn blocks_of_a_longer_class() {
    run_all("api_longer");
}

#[test]
fn forks() {
    run_all("proc_fork");
}

#[test]
fn trim_of_all_threads() {
    if is_under_test() {
        let program = Program::c("mem_trim").preload(debug_library().to_owned());
        program.run().assert_success();
    }
}

/// The cases of `bad_state.c`, and what the check says of what they do.
const DAMAGE: [(&str, &str); 4] = [
    ("link_of_a_free_block", "a free list that leads astray"),
    ("list_in_a_loop", "a block that is free twice"),
    ("mark_of_a_free_block", "a free block without its mark"),
    (
        "link_of_a_block_freed_elsewhere",
        "a free list that leads astray",
    ),
];

#[test]
fn damage_is_found_at_the_end() {
    if !is_under_test() {
        return;
    }
    assert_all_listed("bad_state", &DAMAGE.map(|(case, _)| case));
    for (case, what) in DAMAGE {
        let program = Program::c("bad_state").arg(case);
        assert_dies(
            &program.clone().preload(debug_library().to_owned()).run(),
            &[what],
        );
        // What finds it is the check.
        if support::library().is_some() {
            program.run().assert_success();
        }
    }
}
