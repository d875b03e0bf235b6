//! Counts a program's instructions one by one: slow, but for programs that
//! valgrind cannot run. The kernel stops the child after each (ptrace(2),
//! `PTRACE_SINGLESTEP`). Children of one thread only.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::ptr;
use std::time::{Duration, Instant};

use crate::measure::Outcome;

const TIME_LIMIT: Duration = Duration::from_secs(180);
/// How many instructions go by between looks at the clock.
const LOOK: u64 = 1 << 16;

/// Instructions of the command from its first to its end, those of the dynamic
/// linker included.
pub fn count(command: &mut Command) -> Outcome<u64> {
    let traced = || {
        // SAFETY: the request has no pointers. It makes exec stop the child.
        let failed = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        match failed {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: what runs between fork and exec is one system call.
    unsafe { command.pre_exec(traced) };
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    follow(&mut child)
}

fn follow(child: &mut Child) -> Outcome<u64> {
    let start = Instant::now();
    let id = child.id().cast_signed();
    let mut count = 0;
    loop {
        let status = wait(id)?;
        if let Some(code) = status.code() {
            return match code {
                0 => Ok(count),
                _ => Err(format!("it exits with {code}")),
            };
        }
        let signal = match status.stopped_signal() {
            // A step, or the stop at exec.
            Some(libc::SIGTRAP) => 0,
            Some(signal) => signal,
            None => return Err(format!("it ends: {status}")),
        };
        let null = ptr::null_mut::<libc::c_void>();
        // SAFETY: the child is stopped, and the request has no pointers.
        if unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, id, null, signal) } != 0 {
            let failure = io::Error::last_os_error();
            return Err(end(child, &format!("ptrace: {failure}")));
        }
        count += 1;
        if count % LOOK == 0 && start.elapsed() > TIME_LIMIT {
            return Err(end(child, "takes too long"));
        }
    }
}

/// Ends a child that is stopped, and says why. Nobody has waited for its end, so
/// that the number is still its own.
fn end(child: &mut Child, why: &str) -> String {
    drop(child.kill());
    drop(child.wait());
    why.to_owned()
}

fn wait(id: libc::pid_t) -> Outcome<ExitStatus> {
    let mut status = 0;
    // SAFETY: the pointer is to a local.
    match unsafe { libc::waitpid(id, &raw mut status, 0) } {
        ended if ended == id => Ok(ExitStatus::from_raw(status)),
        _ => Err(format!("waitpid: {}", io::Error::last_os_error())),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::count;

    #[test]
    fn a_program_has_instructions_and_one_that_is_not_there_says_so() {
        let all = count(&mut Command::new("true")).expect("ptrace is allowed");
        assert!(all > 1_000);
        assert!(count(&mut Command::new("/nowhere")).is_err());
    }
}
