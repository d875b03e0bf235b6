//! Real programs with a deterministic workload each.
//!
//! The scripts are in `tests/programs/`. A workload runs short, for the test
//! that its output is the same as under glibc, or long, for the bench.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::process::{self as child, Usage};
use super::{Outcome, redis, workspace};

const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Preloaded to run a program on glibc's malloc: some are linked against
/// another one, which this puts behind the C library.
pub const GLIBC: &str = "libc.so.6";

/// A program and what it is to do.
pub struct Workload {
    pub name: &'static str,
    /// What has to be installed.
    needs: &'static [&'static str],
    short: u32,
    long: u32,
    run: fn(&Job) -> Outcome<Run>,
}

const fn workload(
    name: &'static str,
    needs: &'static [&'static str],
    (short, long): (u32, u32),
    run: fn(&Job) -> Outcome<Run>,
) -> Workload {
    Workload {
        name,
        needs,
        short,
        long,
        run,
    }
}

/// The long scales take glibc 0.5 to 3 seconds.
pub const WORKLOADS: [Workload; 11] = [
    workload("python3", &["python3"], (2, 30), python3),
    workload("perl", &["perl"], (2, 10), perl),
    workload("lua5.4", &["lua5.4"], (2, 30), lua),
    workload("sqlite3", &["sqlite3"], (4_000, 80_000), sqlite),
    workload("g++", &["g++"], (1, 4), cxx),
    workload("git", &["git"], (1, 20), git),
    workload("node", &["node"], (2, 20), node),
    workload("redis", redis::NEEDS, (1, 20), redis::serve),
    workload("gawk", &["gawk"], (2, 40), gawk),
    workload("xz", &["xz"], (1, 6), xz),
    workload("gs", &["gs"], (1, 25), gs),
];

/// How much of a workload is to be done.
#[derive(Clone, Copy)]
pub enum Length {
    Short,
    Long,
}

impl Workload {
    /// The program that the workload lacks, if any.
    pub fn missing(&self) -> Option<&'static str> {
        let here = |program: &&str| child::is_installed(program);
        self.needs.iter().copied().find(|program| !here(program))
    }

    /// Runs the workload with an object preloaded, in an empty directory below
    /// `scratch`.
    pub fn run(&self, length: Length, object: &OsStr, scratch: &Path) -> Outcome<Run> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = scratch.join(format!("program.{}.{number}", process::id()));
        let scale = match length {
            Length::Short => self.short,
            Length::Long => self.long,
        };
        let job = Job::new(object, scale, directory)?;
        let run = (self.run)(&job);
        drop(fs::remove_dir_all(&job.directory));
        run
    }
}

/// What a program wrote, and what it used.
pub struct Run {
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub usage: Usage,
}

/// One run of a workload.
pub(super) struct Job {
    object: OsString,
    pub scale: u32,
    pub directory: PathBuf,
}

/// A variable of the caller's that children have, too.
fn kept(name: &str) -> Option<(&str, OsString)> {
    Some((name, std::env::var_os(name)?))
}

impl Job {
    /// Something to do under the object, in a directory of its own.
    pub(super) fn new(object: &OsStr, scale: u32, directory: PathBuf) -> Outcome<Self> {
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        Ok(Self {
            object: object.to_owned(),
            scale,
            directory,
        })
    }

    /// A command under the preloaded object, in a surrounding that is the same
    /// on every machine.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.plain_command(program);
        command.env("LD_PRELOAD", &self.object);
        command
    }

    /// The same without the object, for a workload's helpers.
    pub fn plain_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(["PATH", child::PAGE_VARIABLE].into_iter().filter_map(kept))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("HOME", &self.directory)
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(&self.directory)
            .stdin(Stdio::null());
        command
    }

    /// Runs a program to its end.
    fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Outcome<Run> {
        let mut words = words.into_iter();
        let program = words.next().expect("a command has a program");
        let mut command = self.command(program);
        finish(command.args(words))
    }
}

/// Runs the command, which must succeed.
pub(super) fn finish(command: &mut Command) -> Outcome<Run> {
    let name = command.get_program().to_string_lossy().into_owned();
    let finished = child::run(command, TIME_LIMIT)?.success(&name)?;
    Ok(Run {
        stdout: finished.stdout,
        stderr: finished.stderr,
        usage: finished.usage,
    })
}

/// A file of `tests/programs/`.
pub fn script(name: &str) -> OsString {
    workspace().join("tests").join("programs").join(name).into()
}

/// The interpreter itself, where `python3` is a script that looks for it.
pub fn python() -> Option<&'static OsStr> {
    static PYTHON: OnceLock<Option<OsString>> = OnceLock::new();
    PYTHON
        .get_or_init(|| {
            let mut command = Command::new("python3");
            command.args(["-c", "import sys; print(sys.executable)"]);
            child::preload(&mut command, &[]);
            let path = finish(command.stdin(Stdio::null())).ok()?.stdout;
            Some(String::from_utf8(path).ok()?.trim().into())
        })
        .as_deref()
}

fn python3(job: &Job) -> Outcome<Run> {
    let python = python().ok_or("python3 does not tell where it is")?;
    job.run([python, &script("python.py"), &scale(job)])
}

fn perl(job: &Job) -> Outcome<Run> {
    job.run([OsStr::new("perl"), &script("perl.pl"), &scale(job)])
}

fn lua(job: &Job) -> Outcome<Run> {
    job.run([OsStr::new("lua5.4"), &script("lua.lua"), &scale(job)])
}

fn node(job: &Job) -> Outcome<Run> {
    job.run([OsStr::new("node"), &script("node.js"), &scale(job)])
}

fn git(job: &Job) -> Outcome<Run> {
    job.run([OsStr::new("sh"), &script("git.sh"), &scale(job)])
}

fn gawk(job: &Job) -> Outcome<Run> {
    let setting = format!("scale={}", job.scale);
    let mut command = job.command("gawk");
    command.arg("-v").arg(setting).arg("-f");
    finish(command.arg(script("gawk.awk")))
}

fn sqlite(job: &Job) -> Outcome<Run> {
    let setting = format!("create table scale as select {} as rows", job.scale);
    let mut command = job.command("sqlite3");
    command.args(["-batch", "-cmd", &setting, ":memory:"]);
    finish(command.stdin(open(script("sqlite.sql"))?))
}

fn cxx(job: &Job) -> Outcome<Run> {
    let setting = format!("-DSCALE={}", job.scale);
    let mut command = job.command("g++");
    command.args(["-std=c++17", "-O1", &setting, "-S", "-o", "-"]);
    finish(command.arg(script("cxx.cpp")))
}

fn gs(job: &Job) -> Outcome<Run> {
    let setting = format!("-dSCALE={}", job.scale);
    let mut command = job.command("gs");
    command
        .args(["-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-r72"])
        .args(["-sDEVICE=png16m", &setting, "-o", "-"]);
    finish(command.arg(script("gs.ps")))
}

/// Compresses `scale` MiB of text in two threads, and expands it again.
fn xz(job: &Job) -> Outcome<Run> {
    let plain = job.directory.join("plain");
    let text = prose((job.scale as usize) << 20);
    fs::write(&plain, &text).map_err(|error| error.to_string())?;
    let mut pack = job.command("xz");
    pack.args(["-T2", "--block-size=1MiB", "-c"]).arg(&plain);
    let packed = finish(&mut pack)?;
    let file = job.directory.join("packed");
    fs::write(&file, &packed.stdout).map_err(|error| error.to_string())?;
    let unpacked = finish(job.command("xz").arg("-dc").stdin(open(&file)?))?;
    if unpacked.stdout != text {
        return Err("xz: what it expands is not what it compressed".to_owned());
    }
    Ok(Run {
        stdout: packed.stdout,
        stderr: packed.stderr + &unpacked.stderr,
        usage: packed.usage.and(unpacked.usage),
    })
}

/// Words that repeat as words do: the shorter ones often.
fn prose(length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 64);
    let mut state: u32 = 1;
    while text.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let bits = state.leading_zeros() + 4;
        let word = (state >> 8) % (1 << bits.min(16));
        text.extend_from_slice(format!("{word:x}th of {} ", state >> 28).as_bytes());
    }
    text.truncate(length);
    text
}

fn scale(job: &Job) -> OsString {
    job.scale.to_string().into()
}

fn open(path: impl AsRef<Path>) -> Outcome<File> {
    let path = path.as_ref();
    File::open(path).map_err(|error| format!("{}: {error}", path.display()))
}
