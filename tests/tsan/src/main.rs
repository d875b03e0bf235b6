//! Threads that pass blocks of bifold's to one another, to be run under
//! ThreadSanitizer by `run`, beside this file's directory.
//!
//! A block that one thread frees and another gets must be ordered by bifold: the
//! second thread's first write must come after the first one's last. The
//! workloads add no order of their own that would hide a missing one, see
//! [`mailbox`]. Numbers of steps are fixed, so that a run is bounded; built
//! without the sanitizer it is a short stress test.

mod block;
mod mailbox;
mod threads;
mod workloads;

use std::process::ExitCode;

fn main() -> ExitCode {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let known = workloads::ALL.map(|(name, _)| name);
    if let Some(unknown) = chosen.iter().find(|name| !known.contains(&name.as_str())) {
        eprintln!("no workload {unknown}; there are: {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    for (name, run) in workloads::ALL {
        if chosen.is_empty() || chosen.iter().any(|wanted| wanted == name) {
            run();
            println!("{name}: done");
        }
    }
    ExitCode::SUCCESS
}
