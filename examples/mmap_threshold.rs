//! The mmap threshold: which requests become mappings of their own, and what
//! that costs.
//!
//! ```text
//! cargo run --release --example mmap_threshold
//! ```
//!
//! Children take, touch and free one block again and again, of 16 KiB to 4 MiB,
//! with `BIFOLD_MMAP_THRESHOLD` at 64K, 128K, 512K and 2M, and unset: it is 128K
//! at first then, and a freed mapping raises it to its own size, up to 512K, since
//! a program that frees such a block may want another.
//!
//! A mapping comes from the kernel (mmap), untouched, and goes back to it
//! (munmap). A run comes from the heap's window, and its pages stay resident as
//! long as what is free is within the recent peak of use and the spare
//! (`BIFOLD_SPARE`, 512K). What is beyond is purged (madvise), and every page of
//! it is a fault the next time. A free run joins the free pages around it and
//! counts as resident as a whole, so that a heap as small as the child's may be
//! beyond its spare with one free. Freed mappings are kept by a similar rule if a
//! program frees many. With `BIFOLD_PURGE=now` nothing is kept: then both sides
//! cost the same, as nearly all of it is the faults, not mmap, munmap or
//! madvise.
//!
//! The plot: over the length of the request, the time of malloc, a write to each
//! page, and free, and the faults of one such round: by default, and where nothing
//! is kept. Lines that lie on each other are the same.
//!
//! Manual pages: mallopt(3) (`M_MMAP_THRESHOLD`), mmap(2), madvise(2).

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use common::children::{self, Row};
use common::figures;
use common::plot::{self, Axis, Panel, Series, Shape};
use common::table::Table;
use common::{KIB, MIB, Options, Outcome, machine, map, size};

#[global_allocator]
static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();

/// Shows which requests become mappings of their own, and what that costs.
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
    Churn { bytes: usize, rounds: usize },
}

/// Settings of the threshold; `None`: it adapts.
const THRESHOLDS: [(&str, Option<&str>); 5] = [
    ("64K", Some("64K")),
    ("128K", Some("128K")),
    ("512K", Some("512K")),
    ("2M", Some("2M")),
    ("adaptive", None),
];
/// How often a child measures; the best counts.
const REPEATS: usize = 5;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::end(match arguments.child {
        Some(Child::Churn { bytes, rounds }) => {
            churn(bytes, rounds);
            Ok(())
        }
        None => experiment(&arguments.options),
    })
}

/// The child: takes, touches and frees blocks of one size.
fn churn(bytes: usize, rounds: usize) {
    let layout = Layout::from_size_align(bytes, 16).expect("sizes are below the limit");
    let short = Box::new(0u8);
    let base = map::window_of(&raw const *short);
    let page = figures::page();
    let round = || {
        // SAFETY: the layout has a size; the bytes written to are in the block,
        // which is freed with its layout, once.
        unsafe {
            let block = ALLOCATOR.alloc(layout);
            assert!(!block.is_null(), "out of memory");
            for offset in (0..bytes).step_by(page) {
                block.add(offset).write_volatile(1);
            }
            ALLOCATOR.dealloc(block, layout);
            usize::from(!map::is_in_window(base, block as usize))
        }
    };
    let first = round();
    // The first few frees decide what is kept, and what the threshold becomes.
    let mut last = first;
    for _ in 0..8 {
        last = round();
    }
    let (mut best, mut faults) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..REPEATS {
        let (before, start) = (figures::faults(), Instant::now());
        for _ in 0..rounds {
            last = round();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / rounds as f64);
        faults = faults.min((figures::faults() - before) as f64 / rounds as f64);
    }
    println!("first {first} last {last} ns {best} faults {faults}");
}

/// What was measured with one threshold: the request's bytes and the row.
struct Measured {
    name: &'static str,
    rows: Vec<(usize, Row)>,
}

fn experiment(options: &Options) -> Outcome<()> {
    let sizes: Vec<usize> = if options.quick {
        vec![64 * KIB, 256 * KIB, 4 * MIB]
    } else {
        [
            16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096,
        ]
        .map(|kib| kib * KIB)
        .to_vec()
    };
    // So many bytes are touched in one measurement.
    let touched = options.or_quick(16 * MIB, 4 * MIB);
    println!("{}", machine::line());
    let measure = |purge: &str| -> Outcome<Vec<Measured>> {
        let one = |(name, threshold): (&'static str, Option<&str>)| {
            let mut settings = vec![("BIFOLD_PURGE", purge)];
            settings.extend(threshold.map(|value| ("BIFOLD_MMAP_THRESHOLD", value)));
            let row = |&bytes: &usize| {
                let rounds = (touched / bytes).to_string();
                let arguments = ["churn", &bytes.to_string(), &rounds];
                let row = children::row_of(children::again(&arguments, &settings, None)?)?;
                Ok((bytes, row))
            };
            let rows = sizes.iter().map(row).collect::<Outcome<_>>()?;
            Ok(Measured { name, rows })
        };
        THRESHOLDS.into_iter().map(one).collect()
    };
    let (usual, bare) = (measure("delayed")?, measure("now")?);
    print_kinds(&usual);
    print_costs(&usual, "Time in us and faults of a round, by default");
    print_costs(&bare, "The same where nothing is kept (BIFOLD_PURGE=now)");
    let panels = [
        panel(&usual, "time of a round, by default", "ns"),
        panel(&bare, "time of a round, purge=now", "ns"),
        panel(&usual, "faults of a round, by default", "faults"),
        panel(&bare, "faults of a round, purge=now", "faults"),
    ];
    let title = "The mmap threshold: malloc, touch and free";
    plot::write(options, "mmap_threshold", title, &panels)
}

/// A table with a row for each size and a column for each threshold.
fn print(measured: &[Measured], title: &str, cell: impl Fn(&Row) -> String) {
    let heads = measured.iter().map(|one| one.name);
    let mut table = Table::new(["request"].into_iter().chain(heads));
    for (k, (bytes, _)) in measured[0].rows.iter().enumerate() {
        let cells = measured.iter().map(|one| cell(&one.rows[k].1));
        table.row([size(*bytes)].into_iter().chain(cells).collect());
    }
    table.print(title);
}

fn print_kinds(measured: &[Measured]) {
    print(
        measured,
        "What a request becomes, by the threshold",
        |row| {
            let kind = |figure| match row.get(figure) {
                0.0 => "in the window",
                _ => "mapping",
            };
            match (kind("first"), kind("last")) {
                (first, last) if first == last => first.to_owned(),
                (first, last) => format!("{first}, then {last}"),
            }
        },
    );
}

fn print_costs(measured: &[Measured], title: &str) {
    print(measured, title, |row| {
        format!("{:.2} / {:.1}", row.get("ns") / 1e3, row.get("faults"))
    });
}

/// A panel of times in us, or of faults.
fn panel(measured: &[Measured], title: &str, figure: &str) -> Panel {
    // A figure of 0 has no place on the axis; its point lies at the bottom.
    let (label, unit, lowest) = match figure {
        "ns" => ("us", 1e3, 0.01),
        _ => ("faults", 1.0, 0.1),
    };
    let series: Vec<(&str, Vec<(f64, f64)>)> = measured
        .iter()
        .map(|one| {
            let point =
                |(bytes, row): &(usize, Row)| (*bytes as f64, (row.get(figure) / unit).max(lowest));
            (one.name, one.rows.iter().map(point).collect())
        })
        .collect();
    let points = || series.iter().flat_map(|(_, points)| points);
    let most = |value: fn(&(f64, f64)) -> f64| points().map(value).fold(0.0, f64::max);
    let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
    Panel {
        title: title.to_owned(),
        x: Axis::log("request", 4.0, least, most(|point| point.0), |value| {
            size(value as usize)
        }),
        y: Axis::log(
            label,
            10.0,
            lowest,
            most(|point| point.1).max(1.0),
            |value| {
                if figure == "faults" && value == lowest {
                    "0".to_owned()
                } else {
                    value.to_string()
                }
            },
        ),
        series: series
            .iter()
            .enumerate()
            .map(|(colour, (name, points))| Series::new(name, colour, Shape::Line(points.clone())))
            .collect(),
    }
}
