//! The runner: what starts the tests' programs where the machine itself can't, such as
//! an emulator of their processor.
//!
//! It is cargo's for this target, by its environment variable
//! (`CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER`), which the test finds in its own.
//! A child's variables are the runner's, too: it must be linked statically, or the
//! `LD_PRELOAD` that is for the child would be for it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// The target that the test is built for.
pub fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The runner and its arguments; empty where programs start without one.
pub fn words() -> &'static [String] {
    static WORDS: OnceLock<Vec<String>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let name = target().to_uppercase().replace('-', "_");
        let line = std::env::var(format!("CARGO_TARGET_{name}_RUNNER")).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect()
    })
}

/// What starts a program that is built for the test's target.
pub fn command(program: &Path) -> Command {
    let mut all = words().iter().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(all.next().expect("there is the program"));
    command.args(all);
    command
}

/// Whether the machine's own programs can be preloaded with the library: they are
/// built for its processor. Where they are not, says which test is skipped.
pub fn machine_runs_the_library(test: &str) -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    let same = *ANSWER.get_or_init(|| {
        let test = std::env::current_exe().expect("the test has a path");
        processor(Path::new("/bin/sh")) == processor(&test)
    });
    if !same {
        eprintln!("skipped: {test}: the machine's programs are built for another processor");
    }
    same
}

/// Whether a limit on a process is the program's, and not a runner's, too. Where it
/// is not, says which test is skipped.
pub fn limits_are_the_programs(test: &str) -> bool {
    if !words().is_empty() {
        eprintln!("skipped: {test}: the limit would be the runner's");
    }
    words().is_empty()
}

/// The processor that a program is built for: the field `e_machine` of elf(5).
fn processor(program: &Path) -> Option<[u8; 2]> {
    let mut header = [0; 20];
    File::open(program).ok()?.read_exact(&mut header).ok()?;
    (header[..4] == *b"\x7fELF").then(|| [header[18], header[19]])
}

/// Takes out of a child's standard error what its runner has said of its end.
pub fn without_its_lines(stderr: &str) -> String {
    const ENDS: &str = "qemu: uncaught target signal ";
    if words().is_empty() {
        return stderr.to_owned();
    }
    let lines = stderr.split_inclusive('\n');
    lines.filter(|line| !line.starts_with(ENDS)).collect()
}
