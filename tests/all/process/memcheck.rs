//! Mistakes that memcheck finds in programs on a bifold that tells it what a
//! block is: the feature `valgrind`.

use std::path::Path;
use std::time::Duration;

use super::valgrind::is_installed;
use crate::support::{
    Output, Program, assert_all_listed, c_program, library, library_for_valgrind,
    program_for_valgrind,
};

/// The exit code that stands for an error of memcheck's.
const ERROR: i32 = 9;

fn memcheck() -> Program {
    Program::new("valgrind")
        .arg("-q")
        .arg(format!("--error-exitcode={ERROR}"))
        .arg("--leak-check=full")
        .arg("--soname-synonyms=somalloc=nouserintercepts")
        .time_limit(Duration::from_secs(120))
}

fn is_possible() -> bool {
    if library().is_none() {
        eprintln!("skipped: no library is under test");
        return false;
    }
    if !is_installed() {
        eprintln!("skipped: no valgrind");
        return false;
    }
    true
}

fn run_c(case: &str) -> Output {
    memcheck()
        .preload(library_for_valgrind().to_owned())
        .arg(c_program("memcheck"))
        .arg(case)
        .run()
}

fn run_rust(program: &Path, case: &str) -> Output {
    memcheck().without_preload().arg(program).arg(case).run()
}

/// Memcheck has failed the program, and says each of these.
fn assert_found(output: &Output, expected: &[&str]) {
    assert!(
        output.status.code() == Some(ERROR) && says(output, expected),
        "expected an error with {expected:?}\n{}",
        output.describe()
    );
}

fn says(output: &Output, expected: &[&str]) -> bool {
    expected.iter().all(|text| output.stderr.contains(text))
}

const CLEAN: &str = "clean";
const FREED_TWICE: &str = "freed_twice";

macro_rules! mistakes {
    ($($case:ident: $expected:expr;)+) => {
        $(
            #[test]
            fn $case() {
                if is_possible() {
                    assert_found(&run_c(stringify!($case)), &$expected);
                }
            }
        )+

        #[test]
        fn every_case_has_a_test() {
            assert_all_listed("memcheck", &[CLEAN, FREED_TWICE, $(stringify!($case)),+]);
        }
    };
}

mistakes! {
    leak: ["1,234 bytes in 1 blocks are definitely lost", "lose (memcheck.c"];
    leak_of_a_mapping: ["345,678 bytes in 1 blocks are definitely lost"];
    overrun: ["Invalid write of size 1", "0 bytes after a block of size 112 alloc'd"];
    overrun_by_a_read: ["Invalid read of size 1", "0 bytes after a block of size 300,000 alloc'd"];
    read_after_free: ["Invalid read of size 1", "49 bytes inside a block of size 50 free'd"];
    write_after_free: ["Invalid write of size 1", "4,000 bytes inside a block of size 5,000 free'd"];
    read_of_the_old_after_realloc: ["Invalid read of size 1", "5 bytes inside a block of size 100 free'd"];
    uninitialised: ["depends on uninitialised value"];
    uninitialised_after_realloc: ["depends on uninitialised value"];
}

#[test]
fn nothing_in_a_clean_program() {
    if is_possible() {
        run_c(CLEAN).assert_success();
    }
}

/// Memcheck says where the block was freed first, bifold ends the process.
#[test]
fn second_free() {
    if is_possible() {
        let output = run_c(FREED_TWICE);
        let expected = [
            "Invalid free()",
            "block of size 50 free'd",
            "bifold: double free: 0x",
        ];
        assert!(
            !output.status.success() && says(&output, &expected),
            "expected {expected:?}\n{}",
            output.describe()
        );
    }
}

#[test]
fn in_a_rust_program() {
    if !is_possible() {
        return;
    }
    let program = program_for_valgrind();
    run_rust(program, CLEAN).assert_success();
    for (case, expected) in [
        ("leak", "777 bytes in 1 blocks are definitely lost"),
        ("overrun", "0 bytes after a block of size 100 alloc'd"),
        (
            "read_after_free",
            "0 bytes inside a block of size 100 free'd",
        ),
        ("uninitialised", "depends on uninitialised value"),
    ] {
        assert_found(&run_rust(program, case), &[expected]);
    }
}

/// The feature makes no difference where there is no valgrind.
#[test]
fn without_valgrind() {
    if library().is_some() {
        Program::c("memcheck")
            .preload(library_for_valgrind().to_owned())
            .arg(CLEAN)
            .run()
            .assert_success();
    }
}
