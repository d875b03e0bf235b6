//! `work`: runs one workload, and prints what it took.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::time::Instant;

use super::{WORKLOADS, Workload};

/// What to run; without a name, the workloads are listed.
#[derive(clap::Args)]
pub struct Arguments {
    /// The workload
    name: Option<String>,
    /// Threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// How much work; the workload's quick scale unless given
    #[arg(long)]
    scale: Option<u32>,
}

/// Runs the workload named, and prints its seconds, its sum, the process's
/// peak of resident memory and the page faults since the start of the run.
pub fn run(arguments: &Arguments) -> Result<bool, String> {
    let Some(name) = &arguments.name else {
        WORKLOADS.iter().for_each(list);
        return Ok(true);
    };
    let workload = WORKLOADS
        .iter()
        .find(|workload| workload.name == name)
        .ok_or_else(|| format!("there is no workload {name}"))?;
    let scale = arguments.scale.unwrap_or(workload.quick);
    let faults_before = faults()?;
    let start = Instant::now();
    let checksum = (workload.run)(arguments.threads as usize, scale);
    let seconds = start.elapsed().as_secs_f64();
    let (faults, peak) = (faults()? - faults_before, peak_kib()?);
    println!("seconds {seconds:.6}");
    println!("checksum {checksum}");
    println!("peak_kib {peak}");
    println!("faults {faults}");
    Ok(true)
}

fn list(workload: &Workload) {
    println!(
        "{:14} {:?} {:?}, scale {} or {}: {}",
        workload.name,
        workload.group,
        workload.threads,
        workload.quick,
        workload.full,
        workload.about,
    );
}

/// The process's page faults so far.
fn faults() -> Result<i64, String> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `usage` outlives the call, which writes all of it.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if failed != 0 {
        return Err(format!("getrusage: {}", io::Error::last_os_error()));
    }
    // SAFETY: the call has succeeded.
    let usage = unsafe { usage.assume_init() };
    Ok(usage.ru_minflt + usage.ru_majflt)
}

/// The process's highest resident memory, in KiB.
fn peak_kib() -> Result<u64, String> {
    let status =
        fs::read_to_string("/proc/self/status").map_err(|e| format!("/proc/self/status: {e}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse().ok())
        .ok_or_else(|| "no VmHWM in /proc/self/status".to_owned())
}
