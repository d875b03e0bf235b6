//! What is not a block, by its kind in `bad_pointer.c` and the arguments of it.

use super::*;

macro_rules! pointers {
    ($($name:ident: $kind:literal $arguments:expr;)+) => {
        mod free {
            use super::*;
            $(
                #[test]
                fn $name() {
                    must_die("bad_pointer", $kind, &combine(&["free"], &$arguments), INVALID);
                }
            )+
        }

        mod realloc {
            use super::*;
            $(
                #[test]
                fn $name() {
                    let runs = combine(&["realloc", "shrink", "grow"], &$arguments);
                    must_die("bad_pointer", $kind, &runs, INVALID_REALLOC);
                }
            )+
        }

        mod realloc_to_nothing {
            use super::*;
            $(
                #[test]
                fn $name() {
                    let runs = combine(&["realloc0"], &$arguments);
                    must_die("bad_pointer", $kind, &runs, ANY_REALLOC);
                }
            )+
        }

        mod malloc_usable_size {
            use super::*;
            $(
                #[test]
                fn $name() {
                    let runs = combine(&["usable"], &$arguments);
                    must_die_or_succeed("bad_pointer", $kind, &runs, USABLE);
                }
            )+
        }

        #[test]
        fn every_case_has_a_test() {
            let mut kinds = vec![$($kind),+];
            kinds.sort_unstable();
            kinds.dedup();
            assert_all_listed("bad_pointer", &kinds);
        }
    };
}

pointers! {
    stack: "stack" [""];
    stack_of_thread: "stack_of_thread" [""];
    data: "data" [""];
    bss: "bss" [""];
    rodata: "rodata" [""];
    thread_local_storage: "thread_local_storage" [""];
    text: "text" [""];
    text_of_a_library: "text_of_a_library" [""];
    data_of_a_library: "data_of_a_library" [""];
    argument_string: "argument_string" [""];
    vdso: "vdso" [""];
    program_break: "program_break" [""];
    text_of_bifold: "library_itself" ["0", "64", "4096"];
    data_of_bifold: "data_of_the_library_itself" ["0", "16", "64", "256"];

    wild_low: "wild" ["0x1", "0x8", "0x10", "0x100", "0xfff", "0x1000", "0x10000"];
    wild: "wild" ["0x41414140", "0x414141414140", "0x100000000000", "0x7ffffffff000"];
    wild_misaligned: "wild" ["0x41414141", "0x414141414141", "0x7ffffffff008"];
    not_canonical: "wild" [
        "0x4141414141414140", "0x4141414141414141", "0x0000800000000000",
        "0x8000000000000000", "0xdeadbeefdeadbee0",
    ];
    wild_high: "wild" [
        "0xffff800000000000", "0xffffffffff600000", "0xffffffffffffe000",
        "0xfffffffffffffff0", "0xffffffffffffffff",
    ];

    below_a_block: "far_from_a_block" ["100 -16", "200 -32", "200000 -16", "3145728 -4096"];
    above_a_block: "far_from_a_block" [
        "200000 200720", "200000 204816", "3145728 3145744", "3145728 3149840",
    ];
    near_a_block: "far_from_a_block" [
        "64 65544", "64 131080", "64 524296", "64 1048584", "5000 65544", "50000 131080",
    ];
    far_from_a_block: "far_from_a_block" [
        "64 0x40000000", "64 -0x40000000", "64 0x1000000000", "64 -0x1000000000",
        "64 0x10000000000", "64 -0x10000000000", "200000 0x40000000",
        "200000 -0x40000000", "5000 0x2000000000", "5000 0x400000000000",
    ];

    mapping: "mapping_start" ["4096", "65536", "262144", "2097152", "67108864"];
    mapping_in_the_middle: "mapping_middle" ["8192", "131072", "4194304", "67108864"];
    mapping_offset_16: "mapping_offset_16" ["4096", "262144", "4194304"];
    mapping_offset_64: "mapping_offset_64" ["4096", "262144", "4194304"];
    mapping_without_access: "mapping_without_access" ["4096", "4194304"];
    mapping_of_zeros: "mapping_of_zeros" [""];
    mapping_gone: "mapping_gone" ["4096", "262144", "4194304"];
    mapping_of_a_file: "mapping_of_a_file" [""];

    inside_small: "inside" [
        "32 16", "64 16", "64 48", "100 16", "100 96", "500 256", "1000 16", "1024 512",
        "1024 1008",
    ];
    inside_medium: "inside" [
        "2000 16", "2000 1024", "10240 16", "10240 4096", "10240 8192", "32000 16",
        "32000 16384",
    ];
    inside_runs: "inside" [
        "51200 16", "51200 4096", "51200 32768", "100000 16", "100000 65536",
    ];
    inside_large: "inside" ["204800 16", "204800 4096", "204800 131072"];
    inside_huge: "inside" [
        "3145728 16", "3145728 4096", "3145728 1048576", "3145728 2097152",
    ];
    inside_untouched: "inside_untouched" [
        "100 16", "1024 512", "10240 4096", "51200 32768", "204800 131072",
        "3145728 2097152",
    ];
    inside_zeroed: "inside_zeroed" [
        "100 16", "1024 512", "10240 4096", "51200 32768", "204800 131072",
        "3145728 2097152",
    ];
    inside_of_other_thread: "inside_of_other_thread" [
        "100 16", "1024 512", "10240 4096", "51200 32768", "204800 131072",
        "3145728 2097152",
    ];
    inside_aligned: "inside_aligned" [
        "100 16 4096", "100 64 256", "5000 4096 4096", "100000 65536 65536",
        "300000 131072 131072", "300000 4096 1048576", "3145728 2097152 2097152",
    ];
    beyond_a_shrunken_block: "beyond_a_shrunken_block" [
        "3145728 1048576", "300000 200000",
    ];

    misaligned_small: "inside" [
        "1 1", "1 8", "24 1", "24 8", "24 15", "100 1", "100 8", "1024 1", "1024 8",
        "1024 1001", "1024 -1", "1024 -8",
    ];
    misaligned_medium: "inside" [
        "10240 1", "10240 8", "10240 4097", "10240 -1", "10240 -8", "32000 1", "32000 8",
    ];
    misaligned_runs: "inside" ["51200 1", "51200 8", "51200 4097", "51200 -8"];
    misaligned_large: "inside" [
        "204800 1", "204800 8", "204800 4097", "204800 -8", "3145728 1", "3145728 8",
        "3145728 1048577",
    ];
}

/// The other functions that free.
mod freed_by {
    use super::*;

    const FUNCTIONS: [&str; 4] = ["cfree", "_ZdlPv", "_ZdaPv", "free_sized"];

    fn of(kind: &str, functions: &[&str], arguments: &[&str]) {
        must_die("bad_pointer", kind, &combine(functions, arguments), INVALID);
    }

    #[test]
    fn others_of_stack() {
        of("stack", &FUNCTIONS, &[""]);
    }

    #[test]
    fn others_of_data() {
        of("data", &FUNCTIONS, &[""]);
    }

    #[test]
    fn others_of_wild() {
        let wild = ["0x10", "0x4141414141414140", "0xfffffffffffffff0"];
        of("wild", &FUNCTIONS, &wild);
    }

    #[test]
    fn others_of_mapping() {
        of("mapping_start", &FUNCTIONS, &["4096", "4194304"]);
    }

    // A size that comes along stands in for the check of the place.
    #[test]
    fn others_of_inside() {
        of(
            "inside",
            &FUNCTIONS[..3],
            &["100 16", "10240 4096", "204800 8"],
        );
    }

    #[test]
    fn reallocarray_of_any() {
        for (kind, arguments) in [("stack", ""), ("wild", "0x10"), ("inside", "100 16")] {
            let runs = combine(&["reallocarray"], &[arguments]);
            must_die("bad_pointer", kind, &runs, INVALID_REALLOC);
        }
    }
}
