//! What the machine is, and what it can't do.

use std::fs;

use super::figures::bytes_of;
use super::{MIB, Outcome};

fn text(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

/// A line about the machine, for whoever reads the figures later.
pub fn line() -> String {
    let cpus = text("/proc/cpuinfo");
    let name = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = bytes_of(&text("/proc/meminfo"), "MemTotal") / MIB;
    let kernel = text("/proc/sys/kernel/osrelease");
    let load = text("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("unknown");
    let mode = huge_page_mode().unwrap_or_else(|| "none".to_owned());
    format!("{name}, {cores} cores, {memory} MiB; Linux {kernel}; huge pages: {mode}; load: {load}")
}

/// The mode of transparent huge pages; `None` in a kernel without them.
fn huge_page_mode() -> Option<String> {
    let modes = text("/sys/kernel/mm/transparent_hugepage/enabled");
    let (_, rest) = modes.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// Why there are no transparent huge pages for whoever asks; `Ok` if there are.
pub fn has_huge_pages() -> Outcome<()> {
    match huge_page_mode().as_deref() {
        None => Err("the kernel has no transparent huge pages".to_owned()),
        Some("never") => Err("/sys/kernel/mm/transparent_hugepage/enabled says never".to_owned()),
        Some(_) => Ok(()),
    }
}

/// Why there are not so many bytes in free pages of 2 MiB; `Ok` if there are.
pub fn has_hugetlb(bytes: usize) -> Outcome<()> {
    const DIRECTORY: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";
    let wanted = bytes.div_ceil(2 * MIB);
    let free: usize = text(&format!("{DIRECTORY}/free_hugepages"))
        .parse()
        .unwrap_or(0);
    if free >= wanted {
        return Ok(());
    }
    Err(format!(
        "{free} free pages of 2 MiB, {wanted} wanted; root may set {DIRECTORY}/nr_hugepages"
    ))
}

/// Why so many bytes had better not be touched; `Ok` if they may.
pub fn has_memory(bytes: usize) -> Outcome<()> {
    let available = bytes_of(&text("/proc/meminfo"), "MemAvailable");
    if available >= bytes {
        return Ok(());
    }
    Err(format!(
        "{} MiB wanted, {} MiB available (/proc/meminfo)",
        bytes / MIB,
        available / MIB
    ))
}

/// The overcommit mode: 0, 1 or 2; see proc(5), `overcommit_memory`.
pub fn overcommit() -> String {
    text("/proc/sys/vm/overcommit_memory")
}
