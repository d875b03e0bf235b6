//! System calls of a run, by strace, and which of them the library makes itself:
//! bifold has them compiled in, so that their address tells.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::row::Step;
use crate::compare::{self, Contender};
use crate::measure::{Outcome, process};

const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Calls of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub all: u64,
    /// Those that wait for another thread: futex(2), FUTEX_WAIT.
    pub waits: u64,
}

/// Of the whole process, and from within the contender's library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    pub all: Calls,
    pub own: Calls,
}

/// Traces a step, at the scale for counting.
pub fn count(step: &Step, scale: u32, contender: &Contender, scratch: &Path) -> Outcome<Traced> {
    let report = scratch.join(format!("calls.{}", std::process::id()));
    let mut preload = std::ffi::OsString::from("LD_PRELOAD=");
    preload.push(contender.object());
    let mut command = Command::new("strace");
    process::preload(&mut command, &[]);
    command
        .args(["-f", "-i", "-y", "-o"])
        .arg(&report)
        .arg("-E")
        .arg(preload)
        .args(compare::work_arguments(step.workload, step.threads, scale)?)
        .stdin(Stdio::null());
    let finished = process::run(&mut command, TIME_LIMIT);
    let text = fs::read_to_string(&report);
    drop(fs::remove_file(&report));
    finished?.success("strace")?;
    let text = text.map_err(|error| format!("strace: {error}"))?;
    let library = contender
        .library()
        .and_then(|path| path.canonicalize().ok());
    Ok(parse(&text, library.as_deref()))
}

/// From lines `PID [ADDRESS] NAME(ARGUMENTS) = RESULT`. A call that is interrupted
/// by another thread's line comes twice, the second time as `<... NAME resumed>`.
fn parse(report: &str, library: Option<&Path>) -> Traced {
    let mut traced = Traced::default();
    let mut code: Range<u64> = 0..0;
    for line in report.lines() {
        let Some((_, rest)) = line.split_once('[') else {
            continue;
        };
        let Some((address, call)) = rest.split_once("] ") else {
            continue;
        };
        if call.starts_with("<...") || !call.contains('(') {
            continue;
        }
        if let Some(mapped) = library.and_then(|library| code_mapping(call, library)) {
            code = mapped;
        }
        let is_wait = call.starts_with("futex(") && call.contains("FUTEX_WAIT");
        let address = u64::from_str_radix(address, 16).unwrap_or(0);
        let is_own = code.contains(&address);
        for calls in [Some(&mut traced.all), is_own.then_some(&mut traced.own)] {
            let Some(calls) = calls else { continue };
            calls.all += 1;
            calls.waits += u64::from(is_wait);
        }
    }
    traced
}

/// Where the call maps the library's code, if it does.
fn code_mapping(call: &str, library: &Path) -> Option<Range<u64>> {
    let arguments = call.strip_prefix("mmap(")?;
    let file = format!("<{}>", library.display());
    if !arguments.contains("PROT_EXEC") || !arguments.contains(&file) {
        return None;
    }
    let length: u64 = arguments.split(", ").nth(1)?.parse().ok()?;
    let (_, result) = arguments.rsplit_once("= 0x")?;
    let start = u64::from_str_radix(result.trim(), 16).ok()?;
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Calls, parse};

    #[test]
    fn a_call_is_the_librarys_by_its_address() {
        let report = "\
7 [00007f0000000010] mmap(0x7f5000001000, 4096, PROT_READ|PROT_EXEC, MAP_FIXED, 3</l/b.so>, 0x1000) = 0x7f5000001000
7 [00007f5000001010] futex(0x1, FUTEX_WAIT_PRIVATE, 2, NULL <unfinished ...>
8 [00007f0000000010] futex(0x1, FUTEX_WAIT_PRIVATE, 2, NULL) = 0
7 [00007f5000001010] <... futex resumed>) = 0
8 [00007f5000001020] madvise(0x7f0000000000, 4096, MADV_DONTNEED) = 0
8 [????????????????] +++ exited with 0 +++
";
        let traced = parse(report, Some(Path::new("/l/b.so")));
        assert_eq!(traced.own, Calls { all: 2, waits: 1 });
        assert_eq!(traced.all, Calls { all: 4, waits: 2 });
    }
}
