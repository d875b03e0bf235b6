//! Instructions for one malloc and free in a program, counted by callgrind.
//!
//! `tests/c/patterns.c` runs a pattern N and 2 N times; the difference of the
//! totals is N operations, loop and call through the library included, and
//! start-up cancels out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Bar, Limit, Outcome, Rig, process as child};

/// Enough for the random patterns to meet each size many times.
const ITERATIONS: u64 = 100_000;
const TIME_LIMIT: Duration = Duration::from_secs(180);

pub struct Pattern {
    /// What `patterns.c` and the golden file call it.
    pub name: &'static str,
    pub title: &'static str,
    /// Instructions for one block at most.
    pub bar: f64,
}

const fn pattern(name: &'static str, title: &'static str, bar: f64) -> Pattern {
    Pattern { name, title, bar }
}

pub const PATTERNS: [Pattern; 8] = [
    pattern("pair", "malloc(64), free it", 51.0),
    pattern("last_first", "100 of 48 B, freed last first", 54.0),
    pattern("first_first", "1,000 of 112 B, freed first first", 58.0),
    pattern(
        "small",
        "one of 8,192 live blocks (16 to 527 B) replaced",
        68.0,
    ),
    pattern(
        "medium",
        "one of 64 live blocks (2,000 to 34,767 B) replaced",
        91.0,
    ),
    pattern("zeroed", "calloc(1, 64), free it", 74.0),
    pattern("grown", "malloc(40), realloc to 44, free it", 92.0),
    pattern("remote", "1,000 of 64 B, freed by another thread", 75.0),
];

pub fn is_available() -> bool {
    child::is_installed("valgrind")
}

/// Instructions for one operation of the pattern.
pub fn count(rig: &Rig<'_>, pattern: &Pattern) -> Outcome<f64> {
    count_in(&program(rig), rig, pattern)
}

/// The same of another program that knows the patterns.
pub fn count_in(program: &Path, rig: &Rig<'_>, pattern: &Pattern) -> Outcome<f64> {
    let total = |iterations: u64| {
        let arguments = [pattern.name.to_owned(), iterations.to_string()];
        let (total, serving) = total(program, &arguments, rig)?;
        if let Some(library) = rig.library {
            expect_in_force(library, Path::new(serving.trim()))?;
        }
        Ok::<_, String>(total as f64)
    };
    Ok((total(2 * ITERATIONS)? - total(ITERATIONS)?) / ITERATIONS as f64)
}

/// The program of the patterns. Optimised, so that the loop's own share is small,
/// and with its clock for all objects.
pub fn program(rig: &Rig<'_>) -> PathBuf {
    let options = ["-O2".as_ref(), "-rdynamic".as_ref()];
    (rig.compile)("patterns", "patterns", &options)
}

/// The pattern's count, held against its bar.
pub fn bar(rig: &Rig<'_>, pattern: &Pattern) -> Outcome<Bar> {
    let limit = Limit::AtMost(pattern.bar);
    Ok(Bar::new(
        pattern.title,
        count(rig, pattern)?,
        "instructions",
        limit,
    ))
}

/// Instructions of a program from start to end, and what it prints.
pub fn total(program: &Path, arguments: &[String], rig: &Rig<'_>) -> Outcome<(u64, String)> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let report = rig
        .scratch
        .join(format!("callgrind.{}.{number}", process::id()));
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", report.display()))
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null());
    // Valgrind hands its environment on to the program.
    let objects: Vec<_> = rig.library.iter().map(|path| path.as_os_str()).collect();
    child::preload(&mut command, &objects);
    let finished = child::run(&mut command, TIME_LIMIT)?.success("valgrind")?;
    let text = fs::read_to_string(&report).map_err(|error| format!("callgrind: {error}"))?;
    drop(fs::remove_file(&report));
    let total = parse_total(&text).ok_or("callgrind: a report without a total")?;
    Ok((total, finished.text()))
}

/// The program says which object serves malloc: without this check a preload
/// that fails would be taken for a very slow bifold.
fn expect_in_force(library: &Path, serving: &Path) -> Outcome<()> {
    let same = match (library.canonicalize(), serving.canonicalize()) {
        (Ok(wanted), Ok(found)) => wanted == found,
        _ => false,
    };
    if same {
        return Ok(());
    }
    Err(format!(
        "{} is not in force: {} serves malloc",
        library.display(),
        serving.display()
    ))
}

fn parse_total(report: &str) -> Option<u64> {
    report
        .lines()
        .find_map(|line| {
            line.strip_prefix("summary:")
                .or(line.strip_prefix("totals:"))
        })
        .and_then(|figure| figure.trim().parse().ok())
}
