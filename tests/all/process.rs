//! Processes and threads: fork, the start and the end of programs and threads,
//! limits, and the ways to start.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{Program, assert_all_listed, c_artifact, cases, library, run_case};

/// Without this, every other test could pass on the system's malloc.
#[test]
fn the_preload_is_in_force() {
    let Some(library) = library() else {
        eprintln!("skipped: no library is under test");
        return;
    };
    let maps = Program::new("cat").arg("/proc/self/maps").run();
    maps.assert_success();
    let path = library.to_str().expect("the path is text");
    assert!(maps.stdout.contains(path), "{}", maps.describe());
    run_case(&Program::c("api_names").arg("every_function_is_exported"));
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
    cancelled
    no_function_is_a_cancellation_point
    thread_that_only_frees
    stress_with_a_ledger
    exit_while_others_allocate
    main_thread_ends_first
}

cases! { proc_locked:
    allocates
    locks_only_what_is_used
    threads_allocate
    calloc_is_zero
    calloc_is_zero_after_mlock
    at_the_limit_of_locked_memory
}

cases! { proc_spawn:
    by_vfork
    by_posix_spawn
    by_system
    by_popen
    while_others_allocate
    executed
    by_exec
    programs_of_the_same_kind
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

/// Started under a limit of 64 MiB.
mod proc_limits {
    use super::*;

    const KIB: u64 = 64 << 10;

    macro_rules! tests {
        ($($case:ident)+) => {
            mod of_address_space {
                use super::*;
                $(
                    #[test]
                    fn $case() {
                        let program = Program::c("proc_limits").arg(stringify!($case));
                        run_case(&program.ulimit("-S -v", KIB));
                    }
                )+
            }

            mod of_data {
                use super::*;
                $(
                    #[test]
                    fn $case() {
                        let program = Program::c("proc_limits").arg(stringify!($case));
                        run_case(&program.ulimit("-S -d", KIB));
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
            let program = Program::c("proc_limits").arg("starts");
            run_case(&program.ulimit(option, mib << 10));
        }
    }

    #[test]
    fn starts_with_both() {
        let program = Program::c("proc_limits").arg("mixed_blocks");
        run_case(&program.ulimit("-v", KIB).ulimit("-d", KIB));
    }
}

/// vm.overcommit_memory is the whole machine's: the test changes it only where
/// it is told that it may, by BIFOLD_TEST_OVERCOMMIT.
mod proc_overcommit {
    use super::*;

    const MODE: &str = "/proc/sys/vm/overcommit_memory";
    const RATIO: &str = "/proc/sys/vm/overcommit_ratio";

    /// Sets the two back, whatever happens.
    struct Restore {
        mode: String,
        ratio: String,
    }

    impl Restore {
        fn strict() -> Option<Self> {
            let before = Self {
                mode: fs::read_to_string(MODE).ok()?,
                ratio: fs::read_to_string(RATIO).ok()?,
            };
            // Far more than there is, so that nothing else on the machine
            // notices.
            fs::write(RATIO, "1000").ok()?;
            fs::write(MODE, "2").ok()?;
            Some(before)
        }
    }

    impl Drop for Restore {
        fn drop(&mut self) {
            let mode = fs::write(MODE, &self.mode);
            let ratio = fs::write(RATIO, &self.ratio);
            if let Err(error) = mode.and(ratio) {
                eprintln!("{MODE} and {RATIO} can't be set back: {error}");
            }
        }
    }

    #[test]
    fn allocates_and_refuses() {
        if std::env::var_os("BIFOLD_TEST_OVERCOMMIT").is_none() {
            eprintln!("skipped: BIFOLD_TEST_OVERCOMMIT is not set");
            return;
        }
        let limit = Duration::from_secs(10);
        let program = Program::c("proc_overcommit").time_limit(limit);
        let Some(_restore) = Restore::strict() else {
            eprintln!("skipped: {MODE} can't be written");
            return;
        };
        run_case(&program.clone().arg("allocates"));
        run_case(&program.arg("refuses_more_than_there_is"));
    }

    #[test]
    fn every_case_has_a_test() {
        let tested = ["allocates", "refuses_more_than_there_is"];
        assert_all_listed("proc_overcommit", &tested);
    }
}

/// Programs under valgrind, which keeps bifold as their allocator.
mod valgrind {
    use super::*;

    fn is_installed() -> bool {
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
        let program = crate::support::c_program(program);
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
}

/// A program that runs as another user than the one who starts it.
mod set_user_id {
    use super::*;

    const USER: u32 = 12345;
    const STARTER: u32 = 12346;

    /// A directory that anyone may enter, which the build's may not be.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let name = format!("bifold-set-user-id-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).expect("the temporary directory is writable");
            set_mode(&path, 0o755);
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
    }

    #[test]
    fn no_environment_is_read() {
        let Some(library) = library() else {
            eprintln!("skipped: no library is under test");
            return;
        };
        let directory = Directory::new();
        let copy = directory.0.join("libbifold.so");
        fs::copy(library, &copy).expect("the library can be copied");
        set_mode(&copy, 0o755);
        let mut rpath = OsString::from("-Wl,--no-as-needed,-rpath,");
        rpath.push(&directory.0);
        let arguments: [&OsStr; 2] = [&rpath, copy.as_os_str()];
        let output = format!("proc_setuid.{}", std::process::id());
        let built = c_artifact("proc_setuid", &output, &arguments);
        let program = directory.0.join("program");
        fs::copy(&built, &program).expect("the program can be copied");
        drop(fs::remove_file(built));
        set_mode(&program, 0o755);
        let verbose = Program::new(&program)
            .without_preload()
            .env("BIFOLD_VERBOSE", "1");

        let ordinary = verbose.run();
        assert!(ordinary.status.success(), "{}", ordinary.describe());
        assert_eq!(ordinary.stdout, "ordinary\n");
        assert!(
            ordinary
                .stderr
                .lines()
                .any(|line| line.starts_with("bifold ")),
            "{}",
            ordinary.describe()
        );

        let is_root = fs::metadata(&program).is_ok_and(|data| data.uid() == 0);
        if !is_root || chown(&program, Some(USER), Some(USER)).is_err() {
            eprintln!("skipped: only root can make a set-user-ID program");
            return;
        }
        set_mode(&program, 0o4755);
        let secure = verbose.user(STARTER).run();
        if secure.status.success() && secure.stdout == "ordinary\n" {
            eprintln!("skipped: the temporary directory is mounted nosuid");
            return;
        }
        secure.assert_success();
        assert_eq!(secure.stdout, "secure\n");
    }
}
