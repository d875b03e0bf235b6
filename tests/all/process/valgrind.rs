//! Programs under valgrind, which keeps bifold as their allocator.

use std::process::Command;
use std::time::Duration;

use crate::support::{Program, c_program, library, run_case};

pub fn is_installed() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

fn run(program: &str, cases: &[&str]) {
    if library().is_none() {
        eprintln!("skipped: valgrind would put in a malloc of its own");
        return;
    }
    if !is_installed() {
        eprintln!("skipped: no valgrind");
        return;
    }
    let program = c_program(program);
    for case in cases {
        let valgrind = Program::new("valgrind")
            .arg("-q")
            .arg("--error-exitcode=9")
            .arg("--soname-synonyms=somalloc=nouserintercepts")
            .arg(&program)
            .arg(case);
        run_case(&valgrind.time_limit(Duration::from_secs(120)));
    }
}

#[test]
fn every_range() {
    run(
        "api_basic",
        &[
            "malloc_of_every_range",
            "free_keeps_errno",
            "calloc_overflow",
        ],
    );
    run(
        "api_realloc",
        &["of_null_allocates", "array_allocates_and_grows"],
    );
    run("api_aligned", &["posix_memalign_all"]);
}

#[test]
fn cpp() {
    run("cpp_operators", &["delete_of_null", "mixed_with_malloc"]);
    run("cpp_failure", &["handler_installs_another"]);
}

#[test]
fn threads() {
    run("proc_lifetime", &["one_key", "blocks_left_by_destructors"]);
    run("proc_thread_local", &["in_threads"]);
}

#[test]
fn fork() {
    run("proc_fork", &["fifty_generations"]);
}
