//! The C++ operators: each signature, what they do without memory, and a
//! libstdc++ that is loaded late.

use crate::support::{Program, assert_all_listed, c_artifact, cases, run_case};

cases! { cpp_operators:
    plain
    array
    nothrow
    array_nothrow
    sized
    array_sized
    aligned
    array_aligned
    aligned_sized
    array_aligned_sized
    aligned_nothrow
    array_aligned_nothrow
    delete_of_null
    mixed_with_malloc
    through_expressions
}

cases! { cpp_failure:
    plain_throws
    array_throws
    aligned_throws
    array_aligned_throws
    nothrow_returns_null
    array_nothrow_returns_null
    aligned_nothrow_returns_null
    array_aligned_nothrow_returns_null
    containers_throw
    handler_gives_back
    handler_gives_back_to_array
    handler_gives_back_to_nothrow
    handler_gives_back_to_aligned
    handler_gives_back_to_aligned_nothrow
    handler_uninstalls_itself
    handler_installs_another
    handler_throws_bad_alloc
    handler_throws_something_else
    handler_throws_in_nothrow
    handler_allocates
    malloc_does_not_call_the_handler
    handler_frees_a_reserve
}

cases! { cpp_library:
    containers
    strings
    shared_pointers
    threads
    memory_resources
    exceptions
}

/// A C program that loads a shared object in C++.
mod cpp_late {
    use super::*;

    fn load(case: &str) {
        let flags = ["-shared".as_ref(), "-fPIC".as_ref()];
        let plugin = c_artifact("cpp_plugin", "cpp_plugin.so", &flags);
        run_case(&Program::c("cpp_late").arg(case).arg(plugin));
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
                assert_all_listed("cpp_late", &[$(stringify!($case)),+]);
            }
        };
    }

    tests! {
        loaded_locally
        loaded_globally
        loaded_lazily
        loaded_after_allocations
        loaded_by_a_thread
        without_any_cpp
    }
}
