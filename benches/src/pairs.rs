//! Instructions of malloc and free beside the peers', the loops' own taken off.
//!
//! A pattern's loop is counted by itself, in the same program with functions that
//! do nothing (`tests/c/nothing.c`). A library of `benches/peers/` has one jump
//! more in each function than one that its authors build; that is taken off, too.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::{self, Checks};
use crate::compare::{self, Contender};
use crate::measure::callgrind::{self, PATTERNS, Pattern};
use crate::measure::listing::Listing;
use crate::measure::{Outcome, Rig, process, short};
use crate::steps;
use crate::table::{Table, progress_bar};

/// The patterns that are malloc and free alone; what the bars are about.
const MEANT: [&str; 5] = ["pair", "last_first", "first_first", "small", "medium"];
/// Of the best peer's count, with the checks and without.
const CHECKED: f64 = 1.10;
const UNCHECKED: f64 = 0.90;

/// Iterations where every instruction stops the program; a whole batch.
const FEW: u64 = 1_000;

/// Prints the counts and what the bars say of them; false when one is missed.
pub fn print(
    wanted: &[String],
    bifold: Option<&Path>,
    scratch: &Path,
    compile: &dyn Fn(&str, &str, &[&OsStr]) -> PathBuf,
) -> Outcome<bool> {
    let unchecked = match bifold {
        None => Some(build::library(Checks::None)?),
        Some(_) => None,
    };
    let mut contenders = compare::find_with_bifold(wanted, bifold, "bifold")?;
    contenders.retain(|contender| contender.again.is_none());
    if let Some(library) = unchecked {
        let version = "built without its checks".to_owned();
        contenders.insert(1, Contender::new("unchecked", version, Some(library)));
    }
    let rig = |library| Rig {
        library,
        scratch,
        compile,
    };
    let loops = Loops::build(&rig(None))?;
    let heads = contenders.iter().map(|contender| contender.name.as_str());
    let mut table = Table::new(["", "loop"].into_iter().chain(heads));
    let mut rows = Vec::new();
    let mut remarks = Vec::new();
    let progress = progress_bar(PATTERNS.len() * contenders.len());
    for pattern in &PATTERNS {
        let own = loops.own(&rig(None), pattern)?;
        let mut row = Vec::new();
        for contender in &contenders {
            progress.set_message(format!("{} under {}", pattern.title, contender.name));
            let counted = count(&rig(contender.library()), pattern);
            progress.inc(1);
            row.push(match counted {
                Ok(count) => Some(count - own - jumps(contender, pattern)),
                Err(failure) => {
                    remarks.push(format!("{}: {failure}", contender.name));
                    None
                }
            });
        }
        let cells = row
            .iter()
            .map(|figure| figure.map_or("failed".to_owned(), short));
        let names = [pattern.title.to_owned(), short(own)];
        table.row(names.into_iter().chain(cells).collect());
        rows.push((pattern, row));
    }
    progress.finish_and_clear();
    table.print("Instructions beside the peers', for one block, without the loop");
    for remark in remarks {
        println!("  {remark}");
    }
    let names: Vec<&str> = contenders
        .iter()
        .map(|contender| contender.name.as_str())
        .collect();
    let mut table = Table::new(["", "", "bar", "of the best", "", ""]);
    let mut met = true;
    for (pattern, row) in &rows {
        if !MEANT.contains(&pattern.name) {
            continue;
        }
        for (own, bar) in [("bifold", CHECKED), ("unchecked", UNCHECKED)] {
            if !names.contains(&own) {
                continue;
            }
            let verdict = ratio(&names, row, own);
            let is_met = verdict.is_some_and(|(ratio, _)| ratio <= bar);
            met &= is_met;
            table.row(vec![
                pattern.title.to_owned(),
                own.to_owned(),
                format!("<= {bar:.2}"),
                verdict.map_or("failed".to_owned(), |(ratio, _)| format!("{ratio:.2}")),
                verdict.map_or(String::new(), |(_, best)| best.to_owned()),
                if is_met { "ok" } else { "MISS" }.to_owned(),
            ]);
        }
    }
    table.print("Bar: malloc and free, relative to the best peer's, which has no such checks");
    Ok(met)
}

/// A contender's count over the least of the peers', and whose that is.
fn ratio<'a>(names: &[&'a str], row: &[Option<f64>], own: &str) -> Option<(f64, &'a str)> {
    let all = || names.iter().zip(row);
    let count = all().find(|(name, _)| **name == own)?.1.as_ref()?;
    let (best, least) = all()
        .filter(|(name, _)| !["bifold", "unchecked"].contains(name))
        .filter_map(|(name, figure)| Some((*name, (*figure)?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((count / least, best))
}

/// By callgrind; where valgrind cannot run the allocator, step by step.
fn count(rig: &Rig<'_>, pattern: &Pattern) -> Outcome<f64> {
    callgrind::count(rig, pattern).or_else(|failure| {
        let program = callgrind::program(rig);
        let total = |iterations: u64| {
            let mut command = Command::new(&program);
            command.arg(pattern.name).arg(iterations.to_string());
            let objects: Vec<_> = rig.library.iter().map(|path| path.as_os_str()).collect();
            process::preload(&mut command, &objects);
            let counted = steps::count(&mut command).map_err(|why| format!("{failure}; {why}"))?;
            Ok::<_, String>(counted as f64)
        };
        Ok((total(2 * FEW)? - total(FEW)?) / FEW as f64)
    })
}

/// How many functions a pattern calls for a block.
fn calls(pattern: &Pattern) -> [&'static str; 3] {
    match pattern.name {
        "zeroed" => ["calloc", "free", ""],
        "grown" => ["malloc", "realloc", "free"],
        _ => ["malloc", "free", ""],
    }
}

/// The jumps that the wrapper of a peer's crate adds.
fn jumps(contender: &Contender, pattern: &Pattern) -> f64 {
    let is_crate = contender
        .library()
        .and_then(Path::file_name)
        .is_some_and(|name| name.to_string_lossy().starts_with("libpeer_"));
    let listing = contender.library().filter(|_| is_crate).map(Listing::of);
    let Some(Ok(listing)) = listing else {
        return 0.0;
    };
    let jumping = calls(pattern)
        .into_iter()
        .filter(|name| listing.is_jump(name));
    jumping.count() as f64
}

/// The patterns' program over functions that do nothing.
struct Loops {
    program: PathBuf,
    listing: Listing,
}

impl Loops {
    fn build(rig: &Rig<'_>) -> Outcome<Self> {
        let library = (rig.compile)(
            "nothing",
            "libnothing.so",
            &["-O2", "-shared", "-fPIC"].map(AsRef::as_ref),
        );
        let renamed =
            ["malloc", "calloc", "realloc", "free"].map(|name| format!("-D{name}=nothing_{name}"));
        let mut path = OsString::from("-Wl,-rpath,");
        path.push(rig.scratch);
        let mut arguments: Vec<&OsStr> = vec!["-O2".as_ref()];
        arguments.extend(renamed.iter().map(OsStr::new));
        arguments.extend([library.as_os_str(), path.as_os_str()]);
        Ok(Self {
            program: (rig.compile)("patterns", "patterns_nothing", &arguments),
            listing: Listing::of(&library)?,
        })
    }

    /// What the pattern takes for a block besides the functions.
    fn own(&self, rig: &Rig<'_>, pattern: &Pattern) -> Outcome<f64> {
        let all = callgrind::count_in(&self.program, rig, pattern)?;
        let functions = calls(pattern).into_iter().filter(|name| !name.is_empty());
        let counts: Outcome<Vec<u32>> = functions
            .map(|name| self.listing.hit_path(&format!("nothing_{name}")))
            .collect();
        Ok(all - f64::from(counts?.iter().sum::<u32>()))
    }
}

#[cfg(test)]
mod tests {
    use super::ratio;

    #[test]
    fn the_best_is_a_peer() {
        let names = ["bifold", "unchecked", "glibc", "mimalloc"];
        let row = [Some(39.0), Some(31.0), Some(80.0), Some(40.0)];
        let found = ratio(&names, &row, "bifold").expect("it ran");
        assert_eq!(found, (0.975, "mimalloc"));
        let row = [Some(39.0), None, Some(78.0), None];
        assert_eq!(ratio(&names, &row, "bifold"), Some((0.5, "glibc")));
        assert_eq!(ratio(&names, &row, "unchecked"), None);
    }
}
