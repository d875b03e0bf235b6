//! Children with a preload, a time limit, and an account of what they used.
//!
//! `wait4` is what tells CPU time, faults and peak memory of one child and of
//! the children that it has waited for; `std` has nothing for it.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Outcome;

/// What a child used, its own children included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Page faults, with and without input.
    pub faults: u64,
    /// The most that was resident at once in one process.
    pub peak_kib: u64,
}

impl Usage {
    /// What two children used, one after the other.
    pub fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            faults: self.faults + other.faults,
            peak_kib: self.peak_kib.max(other.peak_kib),
        }
    }
}

/// What a child left behind.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub usage: Usage,
}

impl Finished {
    /// The output of a child that exited with 0.
    pub fn success(self, name: &str) -> Outcome<Self> {
        if self.status.success() {
            Ok(self)
        } else {
            Err(format!("{name}: {}: {}", self.status, self.stderr.trim()))
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// How long the pages are that a library simulates: `src/os/paging.rs`.
pub const PAGE_VARIABLE: &str = "BIFOLD_TEST_PAGE";

/// Makes the command start under the preloaded objects, and under nothing that
/// the caller's environment says about allocators.
pub fn preload(command: &mut Command, objects: &[&OsStr]) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_about_allocators = ["BIFOLD_", "LD_", "MALLOC_"]
            .iter()
            .any(|start| text.starts_with(start));
        if is_about_allocators && text != PAGE_VARIABLE || text == "GLIBC_TUNABLES" {
            command.env_remove(&name);
        }
    }
    if !objects.is_empty() {
        command.env("LD_PRELOAD", objects.join(OsStr::new(":")));
    }
}

/// A child that runs.
pub struct Running {
    name: String,
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    deadline: Instant,
    ended: Option<(ExitStatus, Usage)>,
}

impl Running {
    /// Starts the command; its input is the caller's to set.
    pub fn start(command: &mut Command, limit: Duration) -> Outcome<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that its children die with it.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        Ok(Self {
            stdout: child.stdout.take().map(read_all),
            stderr: child.stderr.take().map(read_all),
            name,
            child,
            deadline: Instant::now() + limit,
            ended: None,
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the child to end; one that takes too long is killed, and that
    /// is a failure.
    pub fn wait(mut self) -> Outcome<Finished> {
        let mut pause = Duration::from_micros(200);
        while self.status()?.is_none() {
            if Instant::now() >= self.deadline {
                return Err(format!("{}: takes too long", self.name));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
        let (status, usage) = self.ended.expect("the loop above waits for it");
        let read = |pipe: &mut Option<JoinHandle<Vec<u8>>>| {
            let reader = pipe.take().expect("a child is waited for once");
            reader.join().expect("reading does not panic")
        };
        Ok(Finished {
            stdout: read(&mut self.stdout),
            stderr: String::from_utf8_lossy(&read(&mut self.stderr)).into_owned(),
            status,
            usage,
        })
    }

    /// The child's status, once it has ended.
    pub fn status(&mut self) -> Outcome<Option<ExitStatus>> {
        if self.ended.is_none() {
            let mut status = 0;
            // SAFETY: a `rusage` of zeros is one.
            let mut used: libc::rusage = unsafe { std::mem::zeroed() };
            let id = self.child.id().cast_signed();
            // SAFETY: both pointers are to locals of the types asked for, and
            // nobody else waits for the child.
            match unsafe { libc::wait4(id, &raw mut status, libc::WNOHANG, &raw mut used) } {
                0 => {}
                ended if ended == id => {
                    self.ended = Some((ExitStatus::from_raw(status), account(&used)));
                }
                _ => {
                    return Err(format!(
                        "{}: {}",
                        self.name,
                        std::io::Error::last_os_error()
                    ));
                }
            }
        }
        Ok(self.ended.map(|(status, _)| status))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // SAFETY: the group is the child's own, and the child has not been
            // waited for, so that the number is still its.
            unsafe { libc::kill(-self.child.id().cast_signed(), libc::SIGKILL) };
            // Whoever drops a child that runs has no use for its status.
            drop(self.child.wait());
        }
    }
}

/// Runs the command to its end.
pub fn run(command: &mut Command, limit: Duration) -> Outcome<Finished> {
    Running::start(command, limit)?.wait()
}

fn account(used: &libc::rusage) -> Usage {
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec.cast_unsigned())
            + Duration::from_micros(t.tv_usec.cast_unsigned())
    };
    Usage {
        cpu: time(used.ru_utime) + time(used.ru_stime),
        faults: (used.ru_minflt + used.ru_majflt).cast_unsigned(),
        peak_kib: used.ru_maxrss.cast_unsigned(),
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        drop(pipe.read_to_end(&mut bytes));
        bytes
    })
}

/// Whether a program of this name is to be found.
pub fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    })
}
