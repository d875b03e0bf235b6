//! Where it was measured.

use std::fs;
use std::thread;

use serde::Serialize;

#[derive(Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
    /// The mode of transparent huge pages.
    pub huge_pages: String,
    /// The load before the first run, over a minute.
    pub load: String,
}

impl Machine {
    pub fn read() -> Self {
        let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into());
        let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        let memory = memory.trim_end_matches(" kB").parse::<u64>();
        let modes = text("/sys/kernel/mm/transparent_hugepage/enabled");
        let mode = modes
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
            .map_or("unknown", |(mode, _)| mode);
        let load = text("/proc/loadavg");
        Self {
            processor,
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory.unwrap_or(0) / 1024,
            kernel: format!("Linux {}", text("/proc/sys/kernel/osrelease")),
            huge_pages: mode.to_owned(),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    /// Whether something else keeps half a core busy, or more.
    pub fn is_busy(&self) -> bool {
        self.load.parse().is_ok_and(|load: f64| load > 0.5)
    }

    pub fn line(&self) -> String {
        format!(
            "{}, {} cores, {} MiB; {}; huge pages: {}; load before: {}",
            self.processor, self.cores, self.memory_mib, self.kernel, self.huge_pages, self.load
        )
    }
}

fn text(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

/// The first `NAME : FIGURE` of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = text(path);
    let line = text.lines().find(|line| line.starts_with(name))?;
    let (_, figure) = line.split_once(':')?;
    Some(figure.trim().to_owned())
}
