//! Started under a limit of 64 MiB.

use crate::support::{Program, assert_all_listed, limits_are_the_programs, run_case};

const KIB: u64 = 64 << 10;

fn run(case: &str, option: &str, kib: u64) {
    if limits_are_the_programs(case) {
        run_case(&Program::c("proc_limits").arg(case).ulimit(option, kib));
    }
}

macro_rules! tests {
    ($($case:ident)+) => {
        mod of_address_space {
            use super::*;
            $(
                #[test]
                fn $case() {
                    run(stringify!($case), "-S -v", KIB);
                }
            )+
        }

        mod of_data {
            use super::*;
            $(
                #[test]
                fn $case() {
                    run(stringify!($case), "-S -d", KIB);
                }
            )+
        }

        #[test]
        fn every_case_has_a_test() {
            assert_all_listed("proc_limits", &[$(stringify!($case)),+]);
        }
    };
}

tests! {
    small_blocks
    medium_blocks
    run_blocks
    large_blocks
    mixed_blocks
    one_size_after_another
    every_function_fails_with_enomem
    shrinking_at_the_limit
    several_threads_at_the_limit
    the_limit_is_lifted
    a_limit_below_what_is_used
    starts
}

#[test]
fn starts_with_very_little() {
    for (option, mib) in [("-v", 32), ("-v", 16), ("-d", 8), ("-d", 4)] {
        run("starts", option, mib << 10);
    }
}

#[test]
fn starts_with_both() {
    if !limits_are_the_programs("starts_with_both") {
        return;
    }
    let program = Program::c("proc_limits").arg("mixed_blocks");
    run_case(&program.ulimit("-v", KIB).ulimit("-d", KIB));
}
