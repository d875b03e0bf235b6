//! Fork and copy on write: a child starts with its parent's pages, and gets its
//! own as it writes.
//!
//! ```text
//! cargo run --release --example fork_cow
//! ```
//!
//! A process with a heap forks, and the child writes to the heap step by step.
//! Until then every page is shared: the fork copies page tables, not pages, and
//! takes the longer the more entries they have. A write to a shared page is a
//! fault, which copies it. Both are done with pages of 4 KiB and with
//! transparent huge pages (`BIFOLD_THP`): one entry instead of 512, so a far
//! shorter fork. But a write copies 4 KiB all the same: the kernel splits the
//! huge page in the process that writes to it.
//!
//! The plot: the time of a fork over the length of the heap; then, over how much
//! of the heap the child has written to, its pages by whether its parent has
//! them, too, what lies in huge pages in the child and its parent, and the
//! child's faults. Lines that lie on each other are the same.
//!
//! Manual pages: fork(2), proc_pid_smaps_rollup(5) (`Shared_Dirty`,
//! `Private_Dirty`), getrusage(2), madvise(2) (`MADV_HUGEPAGE`).

mod common;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use common::children::{self, Row};
use common::figures::{self, Rollup};
use common::plot::{self, Axis, Panel, Series, Shape};
use common::table::Table;
use common::{MIB, Options, Outcome, machine, mib, skip};

#[global_allocator]
static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();

/// Forks processes with heaps of many lengths, and shows what is copied when.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Subcommand)]
enum Child {
    #[command(hide = true)]
    Fork { mib: usize, repeats: usize },
    #[command(hide = true)]
    Write { mib: usize, steps: usize },
}

const BLOCK: usize = 1 << 10;

/// The kinds of pages: the name, the setting and the colour in the plot.
const PAGES: [(&str, &str, usize); 2] = [("4 KiB pages", "never", 0), ("huge pages", "always", 1)];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::end(match arguments.child {
        Some(Child::Fork { mib, repeats }) => time_forks(mib * MIB, repeats),
        Some(Child::Write { mib, steps }) => write_in_child(mib * MIB, steps),
        None => experiment(&arguments.options),
    })
}

/// A heap of so many bytes, all written to.
fn heap(bytes: usize) -> Vec<Box<[u8]>> {
    (0..bytes / BLOCK).map(|_| vec![1; BLOCK].into()).collect()
}

/// Forks; the child does the work and exits. Returns the time of the fork.
fn fork(work: impl FnOnce() -> Outcome<()>) -> Outcome<std::time::Duration> {
    let start = Instant::now();
    // SAFETY: the process has one thread, so that the child finds no lock
    // taken and no structure half changed.
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(format!("fork: {}", std::io::Error::last_os_error())),
        0 => {
            let status = match work() {
                Ok(()) => 0,
                Err(failure) => {
                    eprintln!("error: {failure}");
                    1
                }
            };
            // SAFETY: the child ends here, without what its parent has to do at
            // its end.
            unsafe { libc::_exit(status) }
        }
        child => {
            let time = start.elapsed();
            let mut status = 0;
            // SAFETY: the pointer is to a local of the type asked for.
            let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
            if ended == child && status == 0 {
                Ok(time)
            } else {
                Err("the forked child has failed".to_owned())
            }
        }
    }
}

/// The child for times: forks children that do nothing.
fn time_forks(bytes: usize, repeats: usize) -> Outcome<()> {
    let heap = heap(bytes);
    let mut best = fork(|| Ok(()))?;
    for _ in 1..repeats {
        best = best.min(fork(|| Ok(()))?);
    }
    drop(heap);
    println!("ns {}", best.as_nanos());
    Ok(())
}

/// The child for copies: its own child writes to the heap, and says after each
/// step whose its pages and its parent's are.
fn write_in_child(bytes: usize, steps: usize) -> Outcome<()> {
    let mut heap = heap(bytes);
    print_pages(0, 0, &["self"])?;
    let parent = std::process::id().to_string();
    fork(move || {
        let (mut written, mut faults) = (0, 0);
        let all = heap.len();
        print_pages(written, faults, &["self", &parent])?;
        for step in heap.chunks_mut(all.div_ceil(steps)) {
            let before = figures::faults();
            for block in step.iter_mut() {
                block[0] = 2;
            }
            faults += figures::faults() - before;
            written += step.len() * BLOCK;
            print_pages(written, faults, &["self", &parent])?;
        }
        // The heap's blocks are the parent's to free.
        std::mem::forget(heap);
        Ok(())
    })?;
    Ok(())
}

/// Writes the pages of one or two processes: this one's and its parent's.
fn print_pages(written: usize, faults: usize, processes: &[&str]) -> Outcome<()> {
    let mut line = format!("written {written} faults {faults}");
    for (process, whose) in processes.iter().zip(["", "parent_"]) {
        let pages = Rollup::read(process)?;
        line += &format!(
            " {whose}shared {} {whose}private {} {whose}huge {}",
            pages.shared, pages.private, pages.huge
        );
    }
    println!("{line}");
    Ok(())
}

/// What was measured with one kind of pages.
struct Measured {
    name: &'static str,
    colour: usize,
    /// By the length of the heap.
    forks: Vec<(usize, Row)>,
    /// The first one before the fork, the others in the child.
    writes: Vec<Row>,
}

fn experiment(options: &Options) -> Outcome<()> {
    let lengths: &[usize] = options.or_quick(&[64, 128, 256, 512, 1024], &[4, 8]);
    let (repeats, steps) = options.or_quick((9, 16), (2, 4));
    let written = options.or_quick(256, 8);
    println!("{}", machine::line());
    let fits = |mib: &usize| match machine::has_memory(2 * mib * MIB) {
        Ok(()) => true,
        Err(why) => {
            skip(&format!("a heap of {mib} MiB"), &why);
            false
        }
    };
    let lengths: Vec<usize> = lengths.iter().copied().filter(fits).collect();
    let mut measured = Vec::new();
    for (name, thp, colour) in PAGES {
        if thp == "always"
            && let Err(why) = machine::has_huge_pages()
        {
            skip(name, &why);
            continue;
        }
        let run = |command: &str, mib: usize, count: usize| {
            let arguments = [command, &mib.to_string(), &count.to_string()];
            children::rows_of(children::again(&arguments, &[("BIFOLD_THP", thp)], None)?)
        };
        let mut forks = Vec::new();
        for &mib in &lengths {
            forks.extend(run("fork", mib, repeats)?.into_iter().map(|row| (mib, row)));
        }
        measured.push(Measured {
            name,
            colour,
            forks,
            writes: run("write", written, steps)?,
        });
    }
    print(&measured, written);
    let title = format!("Fork and copy on write: a child writes to {written} MiB");
    plot::write(options, "fork_cow", &title, &panels(&measured, written))
}

fn print(measured: &[Measured], written: usize) {
    let mut forks = Table::new(["", "heap MiB", "fork ms"]);
    let mut pages = Table::new([
        "",
        "written MiB",
        "faults",
        "shared",
        "private",
        "huge",
        "parent: shared",
        "private",
        "huge",
    ]);
    for one in measured {
        for (mib, row) in &one.forks {
            forks.row(vec![
                one.name.to_owned(),
                mib.to_string(),
                format!("{:.3}", row.get("ns") / 1e6),
            ]);
        }
        let (before, child) = (&one.writes[0], &one.writes[1..]);
        let alone = ["shared", "private", "huge"].map(|figure| mib(before.get(figure)));
        let head = ["before the fork", "", "", "", "", ""].map(str::to_owned);
        pages.row([&[one.name.to_owned()][..], &head[..5], &alone].concat());
        for row in [0, child.len() / 2, child.len() - 1].map(|k| &child[k]) {
            let figures = [
                "shared",
                "private",
                "huge",
                "parent_shared",
                "parent_private",
                "parent_huge",
            ];
            let mut cells = vec![
                one.name.to_owned(),
                mib(row.get("written")),
                row.get("faults").to_string(),
            ];
            cells.extend(figures.map(|figure| mib(row.get(figure))));
            pages.row(cells);
        }
    }
    forks.print("The time of a fork");
    pages.print(&format!(
        "A child writes to its parent's {written} MiB (pages in MiB)"
    ));
}

fn panels(measured: &[Measured], written: usize) -> Vec<Panel> {
    vec![
        fork_panel(measured),
        write_panel(
            measured,
            written,
            "the child's pages: private, and shared with its parent",
            "MiB",
            &[("private", MIB as f64), ("shared", MIB as f64)],
        ),
        write_panel(
            measured,
            written,
            "in huge pages: of the child, and of its parent",
            "MiB",
            &[("huge", MIB as f64), ("parent_huge", MIB as f64)],
        ),
        write_panel(
            measured,
            written,
            "the child's faults",
            "faults so far",
            &[("faults", 1.0)],
        ),
    ]
}

fn fork_panel(measured: &[Measured]) -> Panel {
    let line = |one: &Measured| -> Vec<(f64, f64)> {
        let point = |(mib, row): &(usize, Row)| (*mib as f64, row.get("ns") / 1e6);
        one.forks.iter().map(point).collect()
    };
    let lines: Vec<_> = measured.iter().map(line).collect();
    let least = lines
        .iter()
        .flatten()
        .copied()
        .reduce(|a, b| (a.0.min(b.0), a.1.min(b.1)));
    let most = lines
        .iter()
        .flatten()
        .copied()
        .reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)));
    let (least, most) = (least.unwrap_or((1.0, 1.0)), most.unwrap_or((2.0, 2.0)));
    let series = measured.iter().zip(&lines);
    Panel {
        title: "the time of a fork".to_owned(),
        x: Axis::log("MiB in the heap", 2.0, least.0, most.0, plain),
        y: Axis::log("ms", 10.0, least.1, most.1, plain),
        series: series
            .map(|(one, line)| Series::new(one.name, one.colour, Shape::Line(line.clone())))
            .collect(),
    }
}

/// A figure without zeros at its end.
fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The same figures with each kind of pages, over what the child has written.
fn write_panel(
    measured: &[Measured],
    written: usize,
    title: &str,
    label: &str,
    figures: &[(&str, f64)],
) -> Panel {
    let mut series = Vec::new();
    let mut highest = 0.0f64;
    for one in measured {
        for (figure, unit) in figures {
            let point = |row: &Row| (row.get("written") / MIB as f64, row.get(figure) / unit);
            let line: Vec<_> = one.writes[1..].iter().map(point).collect();
            highest = line
                .iter()
                .fold(highest, |highest, point| highest.max(point.1));
            let name = match *figure {
                "shared" => format!("{}: shared", one.name),
                "parent_huge" => format!("{}: the parent's huge", one.name),
                _ => one.name.to_owned(),
            };
            let colour = match *figure {
                "shared" => one.colour + 2,
                "parent_huge" => one.colour + 4,
                _ => one.colour,
            };
            series.push(Series::new(&name, colour, Shape::Line(line)));
        }
    }
    Panel {
        title: title.to_owned(),
        x: Axis::linear("MiB written by the child", written as f64),
        y: Axis::linear(label, highest),
        series,
    }
}
