//! Memory cgroups for children, of either version.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub const MIB: u64 = 1 << 20;

/// A cgroup that goes when it is dropped.
pub struct Group(PathBuf);

impl Group {
    /// One that may have so many bytes; `None`, with a line that says so, where
    /// none can be made.
    pub fn of(name: &str, bytes: u64) -> Option<Self> {
        let name = format!("bifold-test-{name}-{}", std::process::id());
        let made = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ]
        .into_iter()
        .find_map(|(root, limit)| Self::make(&Path::new(root).join(&name), limit, bytes));
        if made.is_none() {
            eprintln!("skipped: no memory cgroup can be made");
        }
        made
    }

    fn make(path: &Path, limit: &str, bytes: u64) -> Option<Self> {
        fs::create_dir(path).ok()?;
        let group = Self(path.to_owned());
        // A directory that is no cgroup, or has no memory controller, has no
        // such file.
        path.join(limit).exists().then_some(())?;
        fs::write(path.join(limit), bytes.to_string()).ok()?;
        Some(group)
    }

    /// The file that takes processes in.
    pub fn processes(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last process may still be on its way out.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        eprintln!("{} can't be removed", self.0.display());
    }
}
