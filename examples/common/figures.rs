//! What the kernel says about a process: proc(5), getrusage(2).

use std::fs;

use super::{KIB, Outcome};

/// A file below /proc.
fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// The figure of a line `NAME:  123 kB`, in bytes; 0 where there is no such
/// line, as the kernel leaves out what it does not have.
pub fn bytes_of(text: &str, name: &str) -> usize {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .and_then(|(_, figure)| figure.split_whitespace().next()?.parse().ok())
        .map_or(0, |kib: usize| kib * KIB)
}

/// A process's memory, in bytes: /proc/PID/status.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// `VmSize`: all that is mapped.
    pub mapped: usize,
    /// `VmRSS`: what has memory behind it.
    pub resident: usize,
    /// `VmHWM`: the most that was resident.
    pub peak: usize,
    /// `VmLck`: what is locked in memory.
    pub locked: usize,
}

impl Status {
    /// This process's.
    pub fn read() -> Outcome<Self> {
        let text = read("/proc/self/status")?;
        Ok(Self {
            mapped: bytes_of(&text, "VmSize"),
            resident: bytes_of(&text, "VmRSS"),
            peak: bytes_of(&text, "VmHWM"),
            locked: bytes_of(&text, "VmLck"),
        })
    }
}

/// A process's pages by who else has them, in bytes: /proc/PID/smaps_rollup.
#[derive(Clone, Copy, Debug)]
pub struct Rollup {
    /// Pages that another process has, too.
    pub shared: usize,
    /// Pages that nobody else has.
    pub private: usize,
    /// Of both, in transparent huge pages.
    pub huge: usize,
}

impl Rollup {
    /// Of a process, by its number or as `self`.
    pub fn read(process: &str) -> Outcome<Self> {
        let text = read(&format!("/proc/{process}/smaps_rollup"))?;
        let sum = |names: [&str; 2]| names.iter().map(|name| bytes_of(&text, name)).sum();
        Ok(Self {
            shared: sum(["Shared_Clean", "Shared_Dirty"]),
            private: sum(["Private_Clean", "Private_Dirty"]),
            huge: bytes_of(&text, "AnonHugePages"),
        })
    }
}

/// The page faults of this process so far that needed no input.
pub fn faults() -> usize {
    // SAFETY: a `rusage` of zeros is one, and the pointer is to it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    usage.ru_minflt.cast_unsigned() as usize
}

/// The size of a page in bytes.
pub fn page() -> usize {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4 * KIB)
}
