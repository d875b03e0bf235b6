//! The C API: every function, its results, its errors and its figures.

use std::ffi::{OsStr, OsString};

use crate::support::{Program, c_artifact, cases, library};

cases! { api_basic:
    alignment_of_every_size_to_5000
    alignment_of_random_sizes
    malloc_of_every_range
    malloc_of_nothing_is_unique
    calloc_is_zero_small
    calloc_is_zero_medium
    calloc_is_zero_runs
    calloc_is_zero_large
    calloc_is_zero_huge
    calloc_is_zero_after_other_sizes
    calloc_overflow
    free_of_null
    free_keeps_errno
    free_keeps_errno_when_purging_fails
    success_keeps_errno
    sizes_above_ptrdiff_max
    sizes_that_cannot_be_mapped
    allocation_goes_on_after_a_refusal
    many_live_blocks
}

cases! { api_realloc:
    of_null_allocates
    to_nothing_frees
    keeps_contents_between_all_ranges
    leaves_neighbours_alone
    grows_step_by_step
    shrinks_step_by_step
    of_mappings
    of_two_mappings
    after_two_mappings
    shrinking_a_mapping_gives_memory_back
    growing_a_mapping_does_not_touch_it
    to_the_same_size_stays
    failure_keeps_the_block
    of_a_block_of_nothing
    of_aligned_blocks
    many_at_random
    array_allocates_and_grows
    array_overflow_keeps_the_block
}

cases! { api_longer:
    one_block_of_each_size
    aligned_blocks
    zeros
    the_same_size_stays
    trimmed_by_another_thread
}

cases! { api_aligned:
    aligned_alloc_all
    memalign_all
    posix_memalign_all
    posix_memalign_of_a_pointer
    posix_memalign_refuses_bad_alignments
    posix_memalign_leaves_its_argument_alone
    posix_memalign_keeps_errno
    aligned_alloc_refuses_bad_alignments
    memalign_of_bad_alignments
    huge_alignments
    valloc_is_page_aligned
    pvalloc_rounds_up_to_pages
    a_hundred_thousand_pages
    mixed_with_malloc_at_random
}

cases! { api_names:
    every_function_is_exported
    every_operator_is_exported
    the_version_is_text
    free_sized_frees
    free_aligned_sized_frees
    cfree_frees
    mallopt_knows_its_parameters
    mallopt_refuses_what_it_does_not_know
}

cases! { api_figures:
    usable_size_of_null
    usable_size_can_be_written
    usable_size_does_not_change
    mallinfo2_counts_small_blocks
    mallinfo2_counts_every_size
    mallinfo2_counts_mappings
    mallinfo2_counts_live_threads
    mallinfo2_counts_dead_threads
    mallinfo_agrees_with_mallinfo2
}

cases! { api_reports:
    malloc_info_is_xml
    malloc_info_has_real_figures
    malloc_info_refuses_options
    malloc_stats_prints_real_figures
    malloc_trim_gives_memory_back
    malloc_trim_again_and_again
    malloc_trim_between_live_blocks
    malloc_trim_while_others_allocate
}

cases! { api_heaps:
    creation_knows_its_flags
    every_function_serves
    calloc_is_zero_after_other_uses
    realloc_keeps_contents
    requests_that_cannot_be_met
    destruction_frees_all
    trim_gives_memory_back
    heaps_begin_at_a_line
}

/// `bifold.h` in strict programs that are linked with the library.
#[test]
fn the_header_is_c_and_cpp() {
    let Some(library) = library() else {
        eprintln!("skipped: no library is under test");
        return;
    };
    for (source, standard) in [("header", "-std=c99"), ("header_cpp", "-std=c++98")] {
        let mut rpath = OsString::from("-Wl,-rpath,");
        rpath.push(library.parent().expect("a file is in a directory"));
        let strict = [standard, "-Wextra", "-Werror", "-pedantic"].map(OsStr::new);
        let arguments = [&strict[..], &[&rpath, library.as_os_str()]].concat();
        let output = Program::new(c_artifact(source, source, &arguments))
            .without_preload()
            .run();
        let refusals = ["RLIMIT_MEMLOCK", "mlock2 failed: errno 38"];
        if refusals.iter().any(|line| output.stderr.contains(line)) {
            eprintln!("skipped: {}", output.stderr.trim_end());
            continue;
        }
        output.assert_success();
        assert_eq!(output.stdout, "well\n");
    }
}
