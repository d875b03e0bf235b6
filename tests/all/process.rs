//! Processes and threads: fork, the start and the end of programs and threads,
//! limits, and the ways to start.

mod memcheck;
mod proc_limits;
mod proc_options;
mod proc_overcommit;
mod set_user_id;
mod valgrind;

use std::path::Path;

use crate::support::{Program, assert_all_listed, c_artifact, cases, library};
use crate::support::{machine_runs_the_library, run_case};

/// Without this, every other test could pass on the system's malloc.
#[test]
fn the_preload_is_in_force() {
    let Some(library) = library() else {
        eprintln!("skipped: no library is under test");
        return;
    };
    run_case(&Program::c("api_names").arg("every_function_is_exported"));
    if !machine_runs_the_library("process::the_preload_is_in_force") {
        return;
    }
    let maps = Program::new("cat").arg("/proc/self/maps").run();
    maps.assert_success();
    let path = library.to_str().expect("the path is text");
    assert!(maps.stdout.contains(path), "{}", maps.describe());
}

cases! { proc_fork:
    child_allocates
    child_starts_threads_and_forks_again
    child_exits_with_handlers
    many_children_at_once
    child_frees_blocks_of_other_threads
    handlers_allocate
    several_threads_fork
    forking_thread_ends_in_the_child
    fifty_generations
    figures_and_trim_in_the_child
    child_does_not_grow
}

cases! { proc_lifetime:
    constructors
    destructors
    exit_handlers
    one_key
    several_keys
    two_hundred_keys
    key_made_before_the_allocator
    first_use_in_a_destructor
    blocks_left_by_destructors
    memory_stays_flat
}

cases! { proc_thread_local:
    in_threads
    made_by_a_destructor
    with_keys
    in_the_main_thread
    memory_stays_flat
}

cases! { proc_threads:
    three_hundred_live
    four_thousand_short
    detached
    memory_of_a_dead_thread_is_used_again
    with_the_smallest_stack
    exit_while_others_allocate
    main_thread_ends_first
}

cases! { proc_sharing:
    frees_of_two_threads
    frees_and_trims_of_two_threads
    pops_while_another_trims
    last_free_is_the_owners
}

cases! { proc_passing:
    thread_that_only_frees
    stress_with_a_ledger
}

cases! { proc_cancel:
    cancelled
    no_function_is_a_cancellation_point
}

cases! { proc_locked:
    allocates
    locks_only_what_is_used
    threads_allocate
    calloc_is_zero
    calloc_is_zero_after_mlock
    at_the_limit_of_locked_memory
}

cases! { proc_spawn if crate::support::machine_runs_the_library;
    by_vfork
    by_posix_spawn
    by_system
    by_popen
    while_others_allocate
    executed
    by_exec
    programs_of_the_same_kind
}

cases! { proc_signals:
    handler_allocates
    handler_allocates_on_another_stack
    blocked_while_the_thread_allocates
    handler_does_not_allocate
    handler_allocates_in_fork
    writing_is_interrupted
}

/// What hangs is ended by the time limit.
mod proc_storm {
    use super::*;

    macro_rules! tests {
        ($($case:ident)+) => {
            $(
                #[test]
                fn $case() {
                    run_case(&Program::c("proc_storm").arg(stringify!($case)));
                }
            )+
            #[test]
            fn every_case_has_a_test() {
                assert_all_listed("proc_storm", &["library_comes_and_goes", $(stringify!($case)),+]);
            }
        };
    }

    tests! {
        a_thousand_forks
        ten_thousand_threads
        exit_with_handlers_and_detached_threads
    }

    #[test]
    fn library_comes_and_goes() {
        let flags = ["-shared".as_ref(), "-fPIC".as_ref()];
        let storm = c_artifact("storm_library", "storm_library.so", &flags);
        run_case(
            &Program::c("proc_storm")
                .arg("library_comes_and_goes")
                .arg(storm),
        );
    }
}

/// The library loaded by the program, and not preloaded.
mod proc_dlopen {
    use super::*;

    fn load(case: &str) {
        let library = library().unwrap_or(Path::new("libc.so.6"));
        let program = Program::c("proc_dlopen").without_preload();
        run_case(&program.arg(case).arg(library));
    }

    macro_rules! tests {
        ($($case:ident)+) => {
            $(
                #[test]
                fn $case() {
                    load(stringify!($case));
                }
            )+
            #[test]
            fn every_case_has_a_test() {
                assert_all_listed("proc_dlopen", &[$(stringify!($case)),+]);
            }
        };
    }

    tests! {
        used_beside_the_system
        used_by_threads
        used_by_older_threads
        loaded_by_a_thread
        blocks_pass_between_threads
        forked
        closed
        closed_and_loaded_again
    }
}
