//! Builds what the tests need and starts children under the built library.
//!
//! Every test program runs in a child with a time limit, so a deadlock is a
//! failed test and not a suite that never ends.
//!
//! `BIFOLD_TEST_LIBRARY` chooses what the children are preloaded with: unset,
//! the `libbifold.so` of this workspace, built on first use; a path, that
//! library; empty, nothing at all. The last runs the suite on the system's
//! malloc and so checks the tests themselves.
//!
//! Where cargo starts the tests by a runner, children are started by it, too.
//!
//! For a library that simulates longer OS pages, `BIFOLD_TEST_PAGE` says how long.

mod build;
mod directory;
mod runner;

pub use build::{
    c_artifact, c_program, debug_library, example, hardened_library, hardened_library_with_faults,
    hardened_program, is_hardened, library, library_for_valgrind, library_with_faults,
    library_with_pages, program_for_valgrind,
};
pub use directory::{OpenDirectory, set_mode};
pub use runner::{limits_are_the_programs, machine_runs_the_library};

use crate::measure::process::PAGE_VARIABLE;

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

const TIME_LIMIT: Duration = Duration::from_secs(60);
pub const SIGABRT: i32 = 6;

/// The exit code of a case that can't run here; `check.h` uses the same.
pub const SKIPPED: i32 = 77;

/// A child to be started, by default under [`library`].
#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    script: String,
    preload: Option<PathBuf>,
    time_limit: Duration,
    user: Option<u32>,
}

impl Program {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            script: String::new(),
            preload: library().map(Path::to_owned),
            time_limit: TIME_LIMIT * if runner::words().is_empty() { 1 } else { 5 },
            user: None,
        }
    }

    /// The program built from `tests/c/NAME.c` or `.cpp`.
    pub fn c(name: &str) -> Self {
        Self::new(c_program(name))
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub fn without_preload(mut self) -> Self {
        self.preload = None;
        self
    }

    /// Runs under this copy of the library.
    pub fn preload(mut self, library: PathBuf) -> Self {
        self.preload = Some(library);
        self
    }

    /// Starts under `ulimit OPTION VALUE`, for example `("-v", 65536)`.
    pub fn ulimit(self, option: &str, value: u64) -> Self {
        self.after(&format!("ulimit {option} {value} || exit 99"))
    }

    /// Starts in a cgroup, by the file that takes its processes.
    pub fn cgroup(self, processes: &Path) -> Self {
        self.after(&format!("echo $$ >{} || exit 99", processes.display()))
    }

    /// Starts in a shell's stead that has run this command.
    pub fn after(mut self, command: &str) -> Self {
        self.script.push_str(command);
        self.script.push_str("; ");
        self
    }

    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Runs as this user and group; only root can.
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// What starts the program, by its path or by the machine's search for it.
    fn start(&self) -> Command {
        if self.path.components().count() == 1 {
            Command::new(&self.path)
        } else {
            runner::command(&self.path)
        }
    }

    /// What `std` would start.
    pub fn command(&self) -> Command {
        let mut command;
        if self.script.is_empty() {
            command = self.start();
        } else {
            // The shell runs without the preload itself.
            command = Command::new("sh");
            command
                .arg("-c")
                .arg(format!("{}exec env \"$@\"", self.script))
                .arg("sh");
            if let Some(library) = &self.preload {
                let mut setting = OsString::from("LD_PRELOAD=");
                setting.push(library);
                command.arg(setting);
            }
            let start = self.start();
            command.arg(start.get_program()).args(start.get_args());
        }
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let is_ours = text.starts_with("BIFOLD_") && text != PAGE_VARIABLE;
            if is_ours || text.starts_with("LD_") || text == "GLIBC_TUNABLES" {
                command.env_remove(&name);
            }
        }
        if let Some(library) = &self.preload {
            // The programs look for the library themselves: see `check.h`.
            command.env("TEST_NEEDS_BIFOLD", "1");
            if self.script.is_empty() {
                command.env("LD_PRELOAD", library);
            }
        }
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        command
    }

    /// Starts the child, waits for it, and panics when it takes too long.
    pub fn run(&self) -> Output {
        self.run_with_input(b"")
    }

    pub fn run_with_input(&self, input: &[u8]) -> Output {
        let name = self.name();
        let mut child = self
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that its children die with it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let deadline = Instant::now() + self.time_limit;
        let stdout = read_all(child.stdout.take().expect("stdout is piped"));
        let stderr = read_all(child.stderr.take().expect("stderr is piped"));
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = input.to_owned();
        // A child that reads nothing is no error.
        thread::spawn(move || drop(stdin.write_all(&input)));

        let status = wait_until(&mut child, deadline);
        let left = || deadline.saturating_duration_since(Instant::now());
        let texts = status.and_then(|status| {
            let out = stdout.recv_timeout(left()).ok()?;
            let err = stderr.recv_timeout(left()).ok()?;
            Some((status, out, err))
        });
        let Some((status, out, err)) = texts else {
            kill_group(child.id());
            drop(child.wait());
            let grace = Duration::from_secs(2);
            panic!(
                "{name}: still running after {:?}{}\nstdout: {}\nstderr: {}",
                self.time_limit,
                if status.is_some() {
                    " (a child of it)"
                } else {
                    ""
                },
                text(&stdout.recv_timeout(grace).unwrap_or_default()),
                text(&stderr.recv_timeout(grace).unwrap_or_default()),
            );
        };
        Output {
            name,
            status,
            stdout: text(&out),
            stderr: runner::without_its_lines(&text(&err)),
        }
    }

    fn name(&self) -> String {
        let file = self.path.file_name().unwrap_or(self.path.as_os_str());
        let mut name = file.to_string_lossy().into_owned();
        for argument in &self.arguments {
            name.push(' ');
            name.push_str(&argument.to_string_lossy());
        }
        name
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read_all(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing, and nobody
        // listens any more when the child took too long.
        drop(pipe.read_to_end(&mut bytes));
        drop(sender.send(bytes));
    });
    receiver
}

fn wait_until(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn kill_group(leader: u32) {
    drop(
        Command::new("sh")
            .arg("-c")
            .arg(format!("kill -KILL -{leader}"))
            .status(),
    );
}

/// What starts the test binary itself.
pub fn this_test() -> Command {
    runner::command(&std::env::current_exe().expect("the test has a path"))
}

/// Runs a test in a process of its own, where no other test's memory counts.
pub fn alone(test: &str, body: impl FnOnce()) {
    const CHILD: &str = "BIFOLD_TEST_ALONE";
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let status = this_test()
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test}: {status}");
}

/// What a child left behind.
pub struct Output {
    pub name: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The child exited with 0, and said nothing on standard error.
    pub fn assert_success(&self) {
        assert!(
            self.status.success() && self.stderr.is_empty(),
            "{}",
            self.describe()
        );
    }

    pub fn describe(&self) -> String {
        format!(
            "{}: {}\nstdout: {}\nstderr: {}",
            self.name, self.status, self.stdout, self.stderr
        )
    }
}

/// How long the pages are that the library under test simulates, if it does.
pub fn simulated_pages() -> Option<usize> {
    let text = std::env::var(PAGE_VARIABLE).ok()?;
    Some(text.parse().expect("bytes"))
}

/// Says why a test is skipped, where the library under test simulates longer
/// pages. Returns whether it does.
pub fn skips_on_long_pages(reason: &str) -> bool {
    let skips = simulated_pages().is_some();
    if skips {
        println!("skipped: {reason}");
    }
    skips
}

/// What longer OS pages have another way, by the start of the child's name.
const NOT_ON_LONG_PAGES: &[(&str, &str)] = &[
    (
        "policy_huge adaptive",
        "nobody gets huge pages of 32 MiB and more unasked",
    ),
    (
        "policy_purge another_thread_ticks",
        "a parked slab keeps an OS page",
    ),
];

/// What a hardened build has another way, by the start of the child's name.
const NOT_HARDENED: &[(&str, &str)] = &[
    ("api_longer one_block_of_each_size", APART),
    ("api_reports malloc_trim_between", WHOLE),
    ("policy_background all_files_are_closed", KEEPS),
    ("policy_background gives_way", KEEPS),
    ("policy_background idle", KEEPS),
    ("policy_faults no_faults", FENCED),
    ("policy_faults reserve_is_mapped", FENCED),
    ("policy_faults untouched_slabs", TOUCHES),
    ("policy_glibc longest_are_mapped", FENCED),
    ("policy_glibc threshold", EXACT),
    ("policy_huge adaptive", HUGE),
    ("policy_huge always", HUGE),
    ("policy_limits blocks_of", CANARY),
    ("policy_limits one_size_after_another", CANARY),
    ("policy_limits share_of_the_cgroup", KEEPS),
    ("policy_limits threads_at_the_limit", CANARY),
    ("policy_parts need_no_pages", FENCED),
    ("policy_perturb ", ZERO),
    ("policy_purge after_100_ms", KEEPS),
    ("policy_purge another_thread_ticks", KEEPS),
    ("policy_purge at_once", KEEPS),
    ("policy_purge lazily", KEEPS),
    ("policy_purge mixed_then", KEEPS),
    ("proc_limits several_threads_at_the_limit", KEEPS),
    ("proc_thread_local memory_stays_flat", KEEPS),
];
const WHOLE: &str = "trim takes no pages of slabs that stay";
const APART: &str = "each size has slabs of its own";
const KEEPS: &str = "blocks in quarantine keep their slabs";
const FENCED: &str = "slabs, runs and mappings have a page behind them";
const HUGE: &str = "a fence in each slab leaves no huge pages";
const CANARY: &str = "there is a canary behind each block";
const ZERO: &str = "freed blocks are zero";
const TOUCHES: &str = "blocks are cut 64 at a time, and taken by chance";
const EXACT: &str = "malloc_usable_size is what was asked for";

/// Runs one case of a C program, which is silent and exits with 0 when all is
/// well.
pub fn run_case(program: &Program) {
    let reason_in = |other: &[(&str, &'static str)]| {
        let name = program.name();
        let mut other = other.iter();
        other
            .find(|(case, _)| name.starts_with(case))
            .map(|found| found.1)
    };
    let hardened = is_hardened().then(|| reason_in(NOT_HARDENED)).flatten();
    let reason = hardened.or_else(|| simulated_pages().and_then(|_| reason_in(NOT_ON_LONG_PAGES)));
    if let Some(reason) = reason {
        return println!("skipped: {}: {reason}", program.name());
    }
    let output = program.run();
    if output.status.code() == Some(SKIPPED) {
        assert!(
            library().is_none() || !output.stdout.contains("needs bifold"),
            "{}",
            output.describe()
        );
        eprint!("{}", output.stdout);
        return;
    }
    output.assert_success();
    assert!(output.stdout.is_empty(), "{}", output.describe());
}

/// Checks that each case that a C program knows has a test, and the reverse.
pub fn assert_all_listed(program: &str, tested: &[&str]) {
    let output = Program::c(program).without_preload().arg("--list").run();
    output.assert_success();
    let mut known: Vec<&str> = output.stdout.lines().collect();
    let mut tested = tested.to_vec();
    known.sort_unstable();
    tested.sort_unstable();
    assert_eq!(known, tested, "cases of {program} and their tests");
}

/// Defines a test for each case of a C program, and one that checks that none
/// is left out.
macro_rules! cases {
    ($module:ident: $($case:ident)+) => {
        cases! { $module if |_| true; $($case)+ }
    };
    // Each case is run if this function of the module's name says so.
    ($module:ident if $possible:expr; $($case:ident)+) => {
        mod $module {
            use crate::support::{Program, assert_all_listed, run_case};
            $(
                #[test]
                fn $case() {
                    let is_possible: fn(&str) -> bool = $possible;
                    if !is_possible(stringify!($module)) {
                        return;
                    }
                    run_case(&Program::c(stringify!($module)).arg(stringify!($case)));
                }
            )+
            #[test]
            fn every_case_has_a_test() {
                assert_all_listed(stringify!($module), &[$(stringify!($case)),+]);
            }
        }
    };
}
pub(crate) use cases;

/// The child died of SIGABRT with exactly one line on standard error,
/// `bifold: WHAT: 0xADDRESS`, where WHAT starts with one of those given.
///
/// A child that has written an address to standard output has died of that one.
pub fn assert_dies(output: &Output, accepted: &[&str]) {
    if let Err(complaint) = check_death(output, accepted) {
        panic!("{complaint}");
    }
}

/// What [`assert_dies`] would panic with, for tests of many children.
pub fn check_death(output: &Output, accepted: &[&str]) -> Result<(), String> {
    let told = output.stdout.trim().strip_prefix("0x");
    let expected = told.and_then(|hex| usize::from_str_radix(hex, 16).ok());
    let report = parse_report(&output.stderr);
    let is_expected = report.is_some_and(|(what, address)| {
        accepted.iter().any(|start| what.starts_with(start))
            && expected.is_none_or(|expected| expected == address)
    });
    if is_expected && output.status.signal() == Some(SIGABRT) {
        return Ok(());
    }
    Err(format!(
        "expected SIGABRT and one of {accepted:?}\n{}",
        output.describe()
    ))
}

fn parse_report(stderr: &str) -> Option<(&str, usize)> {
    let line = stderr.strip_suffix('\n')?;
    if line.contains('\n') {
        return None;
    }
    let (what, address) = line.strip_prefix("bifold: ")?.rsplit_once(": 0x")?;
    Some((what, usize::from_str_radix(address, 16).ok()?))
}

#[test]
fn a_report_is_one_line_of_three_parts() {
    let good = "bifold: double free: 0x7f00\n";
    assert_eq!(parse_report(good), Some(("double free", 0x7f00)));
    for bad in [
        "",
        "bifold: double free: 0x7f00",
        "bifold: double free: 7f00\n",
        "bifold: double free\n",
        "double free: 0x7f00\n",
        "bifold: double free: 0x7f00\nbifold: double free: 0x7f00\n",
        "noise\nbifold: double free: 0x7f00\n",
    ] {
        assert_eq!(parse_report(bad), None, "{bad:?}");
    }
}
