//! What a step costs in a heap with many live blocks, beside the same in an
//! empty one: nothing on any path may grow with the heap.
//!
//! Instructions are counted, so that caches and page faults are left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::measure::{Bar, Limit, Outcome, Rig, callgrind, process};

/// Blocks of 16 to 79 bytes: some 600 MiB.
const LIVE: u64 = 10_000_000;
/// By how much a step may take more among them.
const BAR: f64 = 1.10;
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A step of `tests/c/flat.c`.
struct Step {
    name: &'static str,
    title: &'static str,
    /// How often it is done: what happens now and then is to be in it.
    times: u64,
    /// The live blocks of the heap that counts as empty.
    fewest: u64,
}

const fn step(name: &'static str, title: &'static str, times: u64, fewest: u64) -> Step {
    Step {
        name,
        title,
        times,
        fewest,
    }
}

const STEPS: [Step; 6] = [
    step("pair", "malloc(64), free it", 200_000, 0),
    step(
        "replace",
        "one of all live blocks replaced",
        200_000,
        10_000,
    ),
    step("slabs", "2,000 of 1,000 B: slabs come and go", 100, 0),
    // The first runs of a process lie at even places; with some blocks about they lie
    // side by side, however many blocks there are.
    step("runs", "16 of 100,000 B: runs come and go", 2_000, 100_000),
    step("large", "8 MiB: a mapping comes and goes", 2_000, 0),
    step("purge", "the same runs, and malloc_trim(0)", 200, 0),
];

/// For each step its count in an empty heap, or one with few blocks, and how much more
/// it is among 10 million live ones.
pub fn bars(rig: &Rig<'_>) -> Outcome<Vec<Bar>> {
    let program = (rig.compile)("flat", "flat", &["-O2".as_ref()]);
    let counts = Counts { rig, program };
    let full = counts.total(&STEPS[0], LIVE, 0)?;
    let mut bars = vec![peak(rig, &counts.program)?];
    for step in &STEPS {
        let few =
            counts.total(step, step.fewest, step.times)? - counts.total(step, step.fewest, 0)?;
        let many = counts.total(step, LIVE, step.times)? - full;
        let (few, many) = (few / step.times as f64, many / step.times as f64);
        let title = step.title;
        bars.push(Bar::new(title, few, "instructions", Limit::None));
        let name = format!("{title}: 10 million live");
        let ratio = Bar::new(name, many / few, "x", Limit::AtMost(BAR));
        bars.push(ratio.detail(format!(
            "{few:.1} with {} live, {many:.1} with those",
            step.fewest
        )));
    }
    Ok(bars)
}

struct Counts<'a> {
    rig: &'a Rig<'a>,
    program: PathBuf,
}

impl Counts<'_> {
    fn total(&self, step: &Step, live: u64, times: u64) -> Outcome<f64> {
        let arguments = [step.name.to_owned(), live.to_string(), times.to_string()];
        let (total, _) = callgrind::total(&self.program, &arguments, self.rig)?;
        Ok(total as f64)
    }
}

/// What the full heap takes, so that the steps are known to be done in one.
fn peak(rig: &Rig<'_>, program: &Path) -> Outcome<Bar> {
    let mut command = Command::new(program);
    command
        .args(["pair", &LIVE.to_string(), "0"])
        .stdin(Stdio::null());
    let objects: Vec<_> = rig.library.iter().map(|path| path.as_os_str()).collect();
    process::preload(&mut command, &objects);
    let finished = process::run(&mut command, TIME_LIMIT)?.success("flat")?;
    let mib = finished.usage.peak_kib as f64 / 1024.0;
    let name = "peak memory with 10 million live blocks";
    Ok(Bar::new(name, mib, "MiB", Limit::AtMost(2048.0)))
}
