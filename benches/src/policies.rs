//! Huge pages against their bars: growing, forking, and what programs gain or
//! pay.
//!
//! Each measured child comes after one that is not and touches as much memory:
//! a virtual machine's host takes back what its guest has freed, and gives it
//! again slowly. The best of several rounds counts, all contenders in each.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::build;
use crate::measure::process::{self, preload};
use crate::measure::programs::python;
use crate::measure::{Bar, Figures, Limit, Outcome, workspace};
use crate::table::progress_bar;

const ROUNDS: usize = 5;
const MIB: &str = "1024";
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// A command's CPU time in milliseconds, its peak in KiB, and what it wrote.
struct Seen {
    cpu: f64,
    peak: f64,
    figures: Figures,
}

/// Who runs: the system's malloc, or bifold with a setting of `BIFOLD_THP`.
#[derive(Clone, Copy)]
struct Contender<'a> {
    library: Option<&'a Path>,
    thp: &'a str,
}

impl Contender<'_> {
    fn run(&self, command: &mut Command) -> Outcome<Seen> {
        let objects: Vec<&OsStr> = self.library.into_iter().map(Path::as_os_str).collect();
        preload(command, &objects);
        if self.library.is_some() {
            command.env("BIFOLD_THP", self.thp);
        }
        let name = command.get_program().to_string_lossy().into_owned();
        let finished = process::run(command, TIME_LIMIT)?.success(&name)?;
        Ok(Seen {
            cpu: finished.usage.cpu.as_secs_f64() * 1e3,
            peak: finished.usage.peak_kib as f64,
            figures: Figures::parse(finished.text()),
        })
    }
}

/// The bars of huge pages under `library`.
pub fn bars(library: &Path, scratch: &Path) -> Outcome<Vec<Bar>> {
    let mut bars = growing(library, scratch)?;
    let source = long_source(scratch)?;
    let mut programs = vec![("g++", cxx(&source, scratch))];
    if let Some(python) = python() {
        programs.push(("python3", python3(python)));
    }
    for (name, words) in programs {
        bars.extend(program(name, &words, library)?);
    }
    Ok(bars)
}

fn growing(library: &Path, scratch: &Path) -> Outcome<Vec<Bar>> {
    let path = build::c_program(scratch, "policy_grow", "policy_grow", &[]);
    let glibc = Contender {
        library: None,
        thp: "",
    };
    let bifold = |thp| Contender {
        library: Some(library),
        thp,
    };
    let contenders = [glibc, bifold("adaptive"), bifold("never")];
    // Least time to grow, peak and time of a fork, of each.
    let mut best = [[f64::INFINITY; 3]; 3];
    let progress = progress_bar(ROUNDS * contenders.len());
    progress.set_message("growing");
    for _ in 0..ROUNDS {
        for (contender, best) in contenders.iter().zip(&mut best) {
            let command = || {
                let mut command = Command::new(&path);
                command.arg(MIB);
                command
            };
            bifold("always").run(&mut command())?;
            let figures = contender.run(&mut command())?.figures;
            for (best, name) in best.iter_mut().zip(["grown_ms", "peak_kib", "fork_ms"]) {
                *best = best.min(figures.get(name)?);
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let [glibc, adaptive, never] = best;
    let detail =
        |[grown, peak, fork]: [f64; 3]| format!("{grown:.0} ms, {peak:.0} KiB, fork {fork:.2} ms");
    let all = format!(
        "glibc {}; adaptive {}; never {}",
        detail(glibc),
        detail(adaptive),
        detail(never)
    );
    Ok(vec![
        Bar::new(
            "growing by 1 GiB of 56-byte blocks, times glibc's speed",
            glibc[0] / adaptive[0],
            "x",
            Limit::AtLeast(3.0),
        )
        .detail(all.clone()),
        Bar::new(
            "peak of that, of glibc's",
            adaptive[1] / glibc[1],
            "x",
            Limit::AtMost(1.03),
        )
        .detail(all.clone()),
        Bar::new(
            "fork of that, times the speed without huge pages",
            never[2] / adaptive[2],
            "x",
            Limit::AtLeast(5.0),
        )
        .detail(all),
    ])
}

/// A program with adaptive huge pages against one without any. What is less
/// than the noise of the best of so many rounds is no difference in time.
fn program(name: &str, words: &[String], library: &Path) -> Outcome<Vec<Bar>> {
    let mut best = [[f64::INFINITY; 2]; 2];
    let progress = progress_bar(ROUNDS);
    progress.set_message(name.to_owned());
    for _ in 0..ROUNDS {
        for (thp, best) in ["adaptive", "never"].into_iter().zip(&mut best) {
            let contender = Contender {
                library: Some(library),
                thp,
            };
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).current_dir(workspace());
            let seen = contender.run(&mut command)?;
            *best = [best[0].min(seen.cpu), best[1].min(seen.peak)];
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let [adaptive, never] = best;
    let bar = |what: &str, place: usize, most| {
        let figure = adaptive[place] / never[place];
        let name = format!("{name}: {what}, adaptive of never");
        Bar::new(name, figure, "x", Limit::AtMost(most))
    };
    Ok(vec![bar("CPU time", 0, 1.03), bar("peak", 1, 1.02)])
}

/// C++ whose compilation takes some hundred MiB: many instances of templates of
/// the standard library.
fn long_source(scratch: &Path) -> Outcome<PathBuf> {
    let mut text = String::from(
        "#include <array>\n#include <map>\n#include <regex>\n#include <string>\n\
         #include <unordered_map>\n#include <vector>\n\
         template <int N> size_t each(int k) {\n\
         \tstd::map<std::array<int, N>, std::vector<std::string>> map;\n\
         \tstd::unordered_map<std::string, std::array<long, N>> table;\n\
         \tmap[{k}].push_back(std::to_string(k));\n\
         \ttable[std::to_string(k)][0] = k;\n\
         \treturn map.size() + table.size() + std::regex_match(\"aab\", std::regex(\"a+b\"));\n}\n\
         size_t all(int k) {\n\tsize_t sum = 0;\n",
    );
    for n in 1..=40 {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\tsum += each<{n}>(k);");
    }
    text.push_str("\treturn sum;\n}\n");
    let path = scratch.join("templates.cpp");
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn cxx(source: &Path, scratch: &Path) -> Vec<String> {
    let words = ["g++", "-O2", "-std=c++17", "-c"].map(str::to_owned);
    let object = scratch.join("templates.o");
    let more = [
        source.display().to_string(),
        "-o".to_owned(),
        object.display().to_string(),
    ];
    words.into_iter().chain(more).collect()
}

fn python3(python: &OsStr) -> Vec<String> {
    let script = workspace().join("tests/programs/python.py");
    vec![
        python.to_string_lossy().into_owned(),
        script.display().to_string(),
        "25".to_owned(),
    ]
}
