//! Huge pages: fewer faults to grow by, and fewer misses of the TLB.
//!
//! ```text
//! cargo run --release --example huge_pages
//! cargo run --release --example huge_pages -- --preload mimalloc=/PATH/libmimalloc.so
//! ```
//!
//! A child takes 1 GiB in blocks of 56 bytes and writes to each, then follows
//! pointers from block to block, one in each page and in random order: every
//! step needs the translation of another page. That is done on bifold with
//! `BIFOLD_THP=never`, `adaptive` (the default: huge pages for what the heap
//! grows by once it has 16 MiB and they are touched) and `always`, on the system's
//! malloc without and with its own setting for huge pages
//! (`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`), and on whatever is preloaded. The
//! children take turns, and the best time of each counts. Before each, another
//! child, which is not measured, touches as much memory: a virtual machine's
//! host may have to find the memory at its first touch, and may take what is
//! free back at any time, so that a fault can take a hundred times longer.
//!
//! The plot: time to grow, time of a step, faults, and the most that was
//! resident. With pages of 4 KiB there are some 260 faults a MiB, and a walk
//! over more pages than the TLB has entries for reads page tables at every
//! step.
//!
//! Manual pages: madvise(2) (`MADV_HUGEPAGE`), mallopt(3), and the kernel's
//! Documentation/admin-guide/mm/transhuge.rst.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::ptr;
use std::time::Instant;

use clap::{Parser, Subcommand};

use common::children::{self, Row};
use common::figures::{self, Rollup, Status};
use common::plot::{self, Axis, Panel, Series, Shape};
use common::table::Table;
use common::{MIB, Options, Outcome, machine, mib, skip, warm};

#[global_allocator]
static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();

/// Times the growth of a heap and a walk over it, with huge pages and without.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// How much memory to take, in MiB [default: 1024]
    #[arg(long)]
    mib: Option<usize>,
    /// The size of a block in bytes
    #[arg(long, default_value_t = 56, value_parser = clap::value_parser!(u16).range(8..=1024))]
    block: u16,
    /// How often each is measured [default: 3]
    #[arg(long)]
    rounds: Option<usize>,
    /// Another malloc to measure, by LD_PRELOAD; may be repeated
    #[arg(long, value_name = "NAME=PATH", value_parser = preload)]
    preload: Vec<(String, PathBuf)>,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Subcommand)]
enum Child {
    #[command(hide = true)]
    Warm { mib: usize },
    #[command(hide = true)]
    Grow {
        mib: usize,
        block: usize,
        steps: usize,
        #[arg(long)]
        malloc: bool,
    },
}

fn preload(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("not NAME=PATH")?;
    let path = std::fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))?;
    Ok((name.to_owned(), path))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::end(match arguments.child {
        Some(Child::Warm { mib }) => warm::touch(mib * MIB),
        Some(Child::Grow {
            mib,
            block,
            steps,
            malloc,
        }) => grow(mib * MIB, block, steps, malloc),
        None => experiment(&arguments),
    })
}

/// The child: takes blocks and walks over them.
fn grow(bytes: usize, block: usize, steps: usize, malloc: bool) -> Outcome<()> {
    let before = figures::faults();
    let start = Instant::now();
    let stops = take(bytes / block, block, malloc)?;
    let grown = start.elapsed();
    let faults = figures::faults() - before;
    let first = link(stops);
    let start = Instant::now();
    let last = walk(first, steps);
    let walked = start.elapsed();
    std::hint::black_box(last);
    println!(
        "grow_ns {} step_ns {} faults {faults} peak {} huge {}",
        grown.as_nanos(),
        walked.as_nanos() as f64 / steps as f64,
        Status::read()?.peak,
        Rollup::read("self")?.huge,
    );
    Ok(())
}

/// Takes and writes to blocks that are never freed. Returns one in each page
/// or so.
fn take(count: usize, block: usize, malloc: bool) -> Outcome<Vec<*mut *mut u8>> {
    let layout = Layout::from_size_align(block, 8).expect("blocks are short");
    let stride = (figures::page() / block).max(1);
    let mut stops = Vec::with_capacity(count / stride + 1);
    for k in 0..count {
        // SAFETY: blocks have a size.
        let taken = unsafe {
            if malloc {
                libc::malloc(block).cast()
            } else {
                ALLOCATOR.alloc(layout)
            }
        };
        if taken.is_null() {
            return Err(format!("out of memory after {k} blocks"));
        }
        // SAFETY: the block is so long, and nobody else's.
        unsafe { taken.write_bytes(1, block) };
        if k.is_multiple_of(stride) {
            stops.push(taken.cast());
        }
    }
    Ok(stops)
}

/// Makes one ring of the blocks, in random order, and returns where it begins.
fn link(mut stops: Vec<*mut *mut u8>) -> *mut u8 {
    // A fixed seed: each child walks the same way.
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for k in (1..stops.len()).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        stops.swap(k, (random % (k as u64 + 1)) as usize);
    }
    let next = stops.iter().cycle().skip(1);
    for (stop, next) in stops.iter().zip(next) {
        // SAFETY: each is a block that is long enough for a pointer, aligned
        // for one, and nobody else's.
        unsafe { stop.write(next.cast()) };
    }
    stops.first().map_or(ptr::null_mut(), |stop| stop.cast())
}

fn walk(first: *mut u8, steps: usize) -> *mut u8 {
    let mut at = first;
    for _ in 0..steps {
        // SAFETY: every block of the ring holds a pointer to another.
        at = unsafe { at.cast::<*mut u8>().read() };
    }
    at
}

/// What is measured: an allocator with its settings.
struct Contender {
    name: String,
    settings: Vec<(&'static str, &'static str)>,
    malloc: bool,
    preload: Option<PathBuf>,
    best: Option<Row>,
}

impl Contender {
    fn new(name: &str, setting: Option<(&'static str, &'static str)>, malloc: bool) -> Self {
        Self {
            name: name.to_owned(),
            settings: setting.into_iter().collect(),
            malloc,
            preload: None,
            best: None,
        }
    }

    /// Runs the child for the warmth, then the one that is measured.
    fn run(&self, mib: usize, block: usize, steps: usize) -> Outcome<Row> {
        warm::up(mib)?;
        self.grow(mib, block, steps)
    }

    fn grow(&self, mib: usize, block: usize, steps: usize) -> Outcome<Row> {
        let numbers = [mib, block, steps].map(|number| number.to_string());
        let mut arguments = vec!["grow"];
        arguments.extend(numbers.iter().map(String::as_str));
        if self.malloc {
            arguments.push("--malloc");
        }
        let preload = self.preload.as_ref().map(|path| path.as_os_str());
        children::row_of(children::again(&arguments, &self.settings, preload)?)
    }

    /// Keeps the better of two runs.
    fn note(&mut self, row: Row) {
        self.best = Some(match self.best.take() {
            Some(best) => best.least(&row, &["grow_ns", "step_ns", "faults", "peak"]),
            None => row,
        });
    }
}

fn contenders(preload: &[(String, PathBuf)]) -> Vec<Contender> {
    let bifold = |thp| {
        Contender::new(
            &format!("bifold, thp={thp}"),
            Some(("BIFOLD_THP", thp)),
            false,
        )
    };
    let mut all = vec![bifold("never")];
    let huge = machine::has_huge_pages();
    match &huge {
        Ok(()) => all.extend(["adaptive", "always"].map(bifold)),
        Err(why) => skip(
            "bifold, thp=adaptive; bifold, thp=always; system, hugetlb=1",
            why,
        ),
    }
    all.push(Contender::new("system", None, true));
    if huge.is_ok() {
        let tunable = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        all.push(Contender::new("system, hugetlb=1", Some(tunable), true));
    }
    for (name, path) in preload {
        let contender = Contender {
            preload: Some(path.clone()),
            ..Contender::new(name, None, true)
        };
        match contender.grow(1, 64, 1) {
            Ok(_) => all.push(contender),
            Err(why) => skip(name, &why),
        }
    }
    all
}

fn experiment(arguments: &Arguments) -> Outcome<()> {
    let options = &arguments.options;
    let mib = arguments.mib.unwrap_or(options.or_quick(1024, 48)).max(1);
    let rounds = arguments.rounds.unwrap_or(options.or_quick(3, 1)).max(1);
    let steps = options.or_quick(1_000_000, 10_000);
    let block = usize::from(arguments.block);
    println!("{}", machine::line());
    machine::has_memory((mib + mib / 4) * MIB).map_err(|why| format!("{why}: see --mib"))?;
    let mut contenders = contenders(&arguments.preload);
    for _ in 0..rounds {
        for contender in &mut contenders {
            let row = contender
                .run(mib, block, steps)
                .map_err(|failure| format!("{}: {failure}", contender.name))?;
            contender.note(row);
        }
    }
    let what = format!("{mib} MiB in blocks of {block} bytes, best of {rounds}");
    let measured: Vec<(&str, &Row)> = contenders
        .iter()
        .filter_map(|contender| Some((contender.name.as_str(), contender.best.as_ref()?)))
        .collect();
    print(&measured, &what);
    plot::write(
        options,
        "huge_pages",
        &format!("Huge pages: {what}"),
        &panels(&measured),
    )
}

fn print(measured: &[(&str, &Row)], what: &str) {
    let mut table = Table::new(["", "grow ms", "ns/step", "faults", "peak MiB", "huge MiB"]);
    for (name, row) in measured {
        table.row(vec![
            (*name).to_owned(),
            format!("{:.0}", row.get("grow_ns") / 1e6),
            format!("{:.1}", row.get("step_ns")),
            row.get("faults").to_string(),
            mib(row.get("peak")),
            mib(row.get("huge")),
        ]);
    }
    table.print(what);
}

fn panels(measured: &[(&str, &Row)]) -> Vec<Panel> {
    let panel = |title: &str, label: &str, figure: &str, unit: f64, log: bool| {
        let values = || measured.iter().map(|(_, row)| row.get(figure) / unit);
        let highest = values().fold(0.0, f64::max);
        let bar = |(k, value): (usize, f64)| {
            let place = k as f64;
            let bar = Shape::Bars(vec![[place + 0.15, place + 0.85, 0.0, value]]);
            Series::new(measured[k].0, k, bar)
        };
        Panel {
            title: title.to_owned(),
            x: Axis::names("", measured.iter().map(|_| "")),
            y: if log {
                Axis::log(label, 10.0, 1.0, highest.max(10.0), |value| {
                    value.to_string()
                })
            } else {
                Axis::linear(label, highest)
            },
            series: values().enumerate().map(bar).collect(),
        }
    };
    vec![
        panel(
            "time to take and write to all blocks",
            "ms",
            "grow_ns",
            1e6,
            false,
        ),
        panel("a step of the random walk", "ns", "step_ns", 1.0, false),
        panel("minor faults", "faults", "faults", 1.0, true),
        panel("peak of what is resident", "MiB", "peak", MIB as f64, false),
    ]
}
