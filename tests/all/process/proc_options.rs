//! Options at their edges: what a process must not notice of them.

use crate::support::{Program, assert_all_listed, run_case};

macro_rules! tests {
    ($($case:ident: $($name:literal = $value:literal),*;)+) => {
        $(
            #[test]
            fn $case() {
                let program = Program::c("proc_options").arg(stringify!($case));
                run_case(&program$(.env($name, $value))*);
            }
        )+

        #[test]
        fn every_case_has_a_test() {
            assert_all_listed("proc_options", &[$(stringify!($case)),+]);
        }
    };
}

tests! {
    refusing_is_no_cancellation_point: "BIFOLD_LOCK" = "1";
    starting_the_background_thread_keeps_errno: "BIFOLD_BACKGROUND" = "1";
    a_request_beyond_the_limit_leaves_the_reserve:
        "BIFOLD_RESERVE" = "64M", "BIFOLD_PREFAULT" = "1", "BIFOLD_LIMIT" = "100M";
    trim_says_whether_memory_was_released: ;
    what_is_resident_is_taken_beyond_the_soft_limit: "BIFOLD_SOFT_LIMIT" = "2M";
    generations_do_not_add_up_open_files: "BIFOLD_BACKGROUND" = "1";
    nothing_is_due_where_nothing_is_purged:
        "BIFOLD_BACKGROUND" = "1", "BIFOLD_PURGE" = "never";
}
