//! How often atomic read-modify-writes are executed, and where: callgrind counts
//! every instruction by its address, the listing tells which of them lock the
//! bus, and the debug information which function they belong to.
//!
//! Threads run one at a time under callgrind, so that what is tried again because
//! another thread came between is not in the counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::row::Step;
use crate::compare::{self, Contender};
use crate::measure::listing::Listing;
use crate::measure::{Outcome, process};

const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Executions by object and address.
type Executed = BTreeMap<String, BTreeMap<u64, u64>>;

/// Atomic read-modify-writes of a run.
pub struct Atomics {
    pub all: u64,
    /// Those within the contender's own library.
    pub own: u64,
    /// Those by address, in that library.
    pub places: Vec<(u64, u64)>,
}

/// A place in the source, and how often its instruction ran.
pub struct Site {
    /// The innermost function of the library's own that it was compiled from,
    /// locks left out, and its file.
    pub place: String,
    /// Whether it is a lock's release: each lock that is taken is released once.
    pub is_release: bool,
    pub executed: u64,
}

/// The addresses of the atomic read-modify-writes of each object seen so far.
#[derive(Default)]
pub struct Known {
    objects: BTreeMap<String, Vec<u64>>,
}

impl Known {
    fn of(&mut self, object: &str) -> Outcome<&[u64]> {
        if !self.objects.contains_key(object) {
            let addresses = Listing::of(Path::new(object))?.addresses(is_atomic);
            self.objects.insert(object.to_owned(), addresses);
        }
        Ok(&self.objects[object])
    }
}

/// Counts a step's, at the scale for counting.
pub fn count(
    step: &Step,
    scale: u32,
    contender: &Contender,
    scratch: &Path,
    known: &mut Known,
) -> Outcome<Atomics> {
    let report = scratch.join(format!("atomics.{}", std::process::id()));
    let mut command = Command::new("valgrind");
    // Valgrind hands its environment on.
    process::preload(&mut command, &[contender.object()]);
    command
        .args(["--tool=callgrind", "--dump-instr=yes"])
        .args(["--compress-pos=no", "--compress-strings=no"])
        .arg(format!("--callgrind-out-file={}", report.display()))
        .args(compare::work_arguments(step.workload, step.threads, scale)?)
        .stdin(Stdio::null());
    let finished = process::run(&mut command, TIME_LIMIT);
    let text = fs::read_to_string(&report);
    drop(fs::remove_file(&report));
    finished?.success("valgrind")?;
    let executed = parse(&text.map_err(|error| format!("callgrind: {error}"))?);
    let own = contender
        .library()
        .and_then(|path| path.canonicalize().ok());
    let mut atomics = Atomics {
        all: 0,
        own: 0,
        places: Vec::new(),
    };
    for (object, executed) in &executed {
        // The kernel's own, and what valgrind itself puts in.
        if !Path::new(object).is_file() || object.contains("valgrind") {
            continue;
        }
        let places: Vec<(u64, u64)> = known
            .of(object)?
            .iter()
            .filter_map(|address| Some((*address, *executed.get(address)?)))
            .collect();
        let sum: u64 = places.iter().map(|place| place.1).sum();
        atomics.all += sum;
        if own.as_deref() == Some(Path::new(object)) {
            atomics.own = sum;
            atomics.places = places;
        }
    }
    Ok(atomics)
}

/// Whether an instruction reads, changes and writes memory at once: with the
/// prefix, or an exchange, which locks by itself.
fn is_atomic(text: &str) -> bool {
    text.starts_with("lock ") || (text.starts_with("xchg ") && text.contains('('))
}

/// The costs of a report's lines, by object and address. Costs of calls are
/// those of the callee, and left out.
fn parse(report: &str) -> Executed {
    let mut executed = Executed::new();
    let mut object = "";
    let mut is_call = false;
    for line in report.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = name;
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if let Some(line) = line.strip_prefix("0x") {
            let mut words = line.split(' ');
            let address = words
                .next()
                .and_then(|hex| u64::from_str_radix(hex, 16).ok());
            let cost = words.nth(1).and_then(|figure| figure.parse::<u64>().ok());
            if let (Some(address), Some(cost), false) = (address, cost, is_call) {
                let object = match executed.get_mut(object) {
                    Some(known) => known,
                    None => executed.entry(object.to_owned()).or_default(),
                };
                *object.entry(address).or_default() += cost;
            }
            is_call = false;
        }
    }
    executed
}

/// Where a library's places are, the busiest first.
pub fn sites(library: &Path, places: &[(u64, u64)]) -> Outcome<Vec<Site>> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let mut command = Command::new("addr2line");
    command.args(["-a", "-f", "-i", "-C", "-e"]).arg(library);
    for (address, _) in places {
        command.arg(format!("{address:#x}"));
    }
    let finished = process::run(command.stdin(Stdio::null()), TIME_LIMIT)?;
    let text = finished.success("addr2line")?.text();
    let mut sites: Vec<Site> = text
        .split("0x")
        .skip(1)
        .zip(places)
        .map(|(frames, &(_, executed))| site(frames, executed))
        .collect();
    sites.sort_by_key(|site| std::cmp::Reverse(site.executed));
    Ok(sites)
}

/// From the lines FUNCTION and FILE:LINE, the innermost frame first, behind the
/// address.
fn site(frames: &str, executed: u64) -> Site {
    let lines: Vec<&str> = frames.lines().skip(1).collect();
    let own: Vec<(&str, &str)> = lines
        .chunks_exact(2)
        .filter_map(|pair| Some((pair[0], source(pair[1])?)))
        .collect();
    let is_lock = |file: &str| file.starts_with("src/sync/lock.rs");
    let outer = own.iter().skip_while(|(_, file)| is_lock(file));
    let file = outer.clone().next().map(|(_, file)| *file);
    // A closure has no name; the function around it has, if it was inlined there.
    let name = outer.filter_map(|(function, _)| short(function)).next();
    Site {
        place: format!(
            "{} ({})",
            name.as_deref().unwrap_or("a closure"),
            file.unwrap_or("unknown")
        ),
        is_release: own
            .iter()
            .any(|(function, file)| is_lock(file) && short(function).as_deref() == Some("release")),
        executed,
    }
}

/// A file of the library's own, from `src` on, with its line.
fn source(path: &str) -> Option<&str> {
    let own = path.rfind("/src/").filter(|_| {
        !path.contains("/library/") && !path.contains("/registry/") && !path.contains("/.cargo/")
    })?;
    let file = &path[own + 1..];
    Some(file.split(' ').next().unwrap_or(file))
}

/// A function's name without path, type arguments, hash and closures, if that
/// leaves one.
fn short(function: &str) -> Option<String> {
    let mut depth = 0;
    let mut previous = ' ';
    let plain: String = function
        .chars()
        .filter(|letter| {
            let was_inside = depth > 0;
            match letter {
                '<' => depth += 1,
                // Not an arrow's.
                '>' if depth > 0 && previous != '-' => depth -= 1,
                _ => {}
            }
            previous = *letter;
            !was_inside && depth == 0
        })
        .collect();
    let path = match plain.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 => path,
        _ => &plain,
    };
    let mut words = path.rsplit("::");
    let name = words.find(|word| !word.is_empty() && !word.starts_with('{'))?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{is_atomic, parse, short, site};

    #[test]
    fn exchanges_with_memory_and_locked_instructions_are_atomic() {
        assert!(is_atomic("lock cmpxchg %ecx,(%rdi)"));
        assert!(is_atomic("xchg   %eax,0x8(%rdi)"));
        assert!(!is_atomic("xchg   %ax,%ax"));
        assert!(!is_atomic("mov    %eax,(%rdi)"));
    }

    #[test]
    fn a_call_costs_its_caller_nothing() {
        let report = "ob=/a\nfn=f\n0x10 3 5\n0x12 3 2\ncob=/b\ncfn=g\ncalls=2 0x40 9\n\
                      0x12 3 100\nob=/b\nfn=g\n0x40 9 2\n0x40 9 1\n";
        let executed = parse(report);
        assert_eq!(executed["/a"][&0x12], 2);
        assert_eq!(executed["/a"][&0x10], 5);
        assert_eq!(executed["/b"][&0x40], 3);
    }

    #[test]
    fn a_site_is_the_function_around_the_lock() {
        let frames = "0000\ncore::sync::atomic_swap\n/rustc/1/library/core/src/sync/atomic.rs:1\n\
                      bifold::sync::lock::Lock::release\n/x/src/sync/lock.rs:117\n\
                      bifold::heap::refill::refill\n/x/src/heap/refill.rs:40 (discriminator 2)\n";
        let found = site(frames, 7);
        assert!(found.is_release);
        assert_eq!(found.place, "refill (src/heap/refill.rs:40)");
        let short = |function| short(function).unwrap_or_default();
        assert_eq!(short("a::b::c::h0123456789abcdef"), "c");
        assert_eq!(
            short("a::refill::{closure#0}<a::Null, fn() -> b::X>"),
            "refill"
        );
        assert_eq!(short("<a::Lock>::release"), "release");
        assert_eq!(short("{closure#0}<a::b>"), "");
    }
}
