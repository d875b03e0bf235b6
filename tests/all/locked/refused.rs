//! The kernel refuses to lock, to hide, or to guard: one line, and nothing lost.

use crate::support::{OpenDirectory, Output, Program, SKIPPED, assert_all_listed};
use crate::support::{c_program, library};

/// Somebody without rights: `nobody`.
const NOBODY: u32 = 65534;

const LIMIT: &str = "RLIMIT_MEMLOCK of 65536 bytes is used up";

fn assert_told(output: &Output, line: &str) {
    if output.status.code() == Some(SKIPPED) {
        eprint!("{}: {}", output.name, output.stdout);
        return;
    }
    assert!(output.status.success(), "{}", output.describe());
    let expected = format!("bifold: locked heap: {line}\n");
    assert_eq!(output.stderr, expected, "{}", output.describe());
}

/// Runs a case under a limit of 64 KiB, as a user who must keep it.
fn at_the_limit(case: &str) {
    let Some(library) = library() else {
        eprintln!("skipped: no library is under test");
        return;
    };
    let directory = OpenDirectory::new(case);
    let program = directory.copy(&c_program("locked_refused"), "program");
    let library = directory.copy(library, "libbifold.so");
    for way in ["0", "1"] {
        let mut program = Program::new(&program)
            .arg(case)
            .arg(way)
            .preload(library.clone())
            .ulimit("-l", 64);
        // SAFETY: it only reads.
        if unsafe { libc::geteuid() } == 0 {
            program = program.user(NOBODY);
        }
        assert_told(&program.run(), LIMIT);
    }
}

/// Runs a case that has the kernel refuse a system call.
fn without(case: &str, line: &str) {
    if library().is_none() {
        eprintln!("skipped: no library is under test");
        return;
    }
    assert_told(&Program::c("locked_refused").arg(case).run(), line);
}

macro_rules! tests {
    ($($limit:ident)+; $($refused:ident: $line:expr;)+) => {
        $(
            #[test]
            fn $limit() {
                at_the_limit(stringify!($limit));
            }
        )+
        $(
            #[test]
            fn $refused() {
                without(stringify!($refused), $line);
            }
        )+
        #[test]
        fn every_case_has_a_test() {
            let limits = &[$(stringify!($limit)),+];
            let refused = &[$(stringify!($refused)),+, "no_way_back"];
            assert_all_listed("locked_refused", &[&limits[..], &refused[..]].concat());
        }
    };
}

tests! {
    limit_of_small_blocks
    limit_of_longer_blocks
    limit_of_pages
    limit_of_medium_blocks
    limit_of_one_size_after_another
    limit_of_long_blocks;
    no_wiping_on_fork: "madvise for forks failed: errno 22";
    no_exclusion_from_dumps: "madvise for core dumps failed: errno 22";
    no_locking_on_fault: "mlock2 failed: errno 38";
    no_guards: "mprotect failed: errno 12";
}

#[test]
fn no_way_back() {
    crate::support::run_case(&Program::c("locked_refused").arg("no_way_back"));
}
