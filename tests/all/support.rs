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
mod deaths;
mod directory;
mod exceptions;
mod runner;

pub use build::{
    c_artifact, c_program, debug_library, example, hardened_library, hardened_library_with_faults,
    hardened_program, is_hardened, library, library_for_valgrind, library_with_faults,
    library_with_pages, program_for_valgrind,
};
pub use deaths::{assert_dies, check_death};
pub use directory::{OpenDirectory, set_mode};
pub use exceptions::{simulated_pages, skips_on_long_pages};
pub use runner::{limits_are_the_programs, machine_runs_the_library};

use crate::measure::process::PAGE_VARIABLE;

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
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

/// Runs one case of a C program, which is silent and exits with 0 when all is
/// well.
pub fn run_case(program: &Program) {
    let reason = exceptions::reason_against(&program.name());
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
