//! The map of a process: whose its mappings are, and how much memory is behind
//! them before, while and after it uses a heap.
//!
//! ```text
//! cargo run --release --example memory_map
//! ```
//!
//! A child takes 64 MiB in short blocks, 16 MiB in blocks of 16 to 128 KiB, and
//! four blocks of 8 MiB. It frees all but one in a thousand of the short ones,
//! and trims. Its mappings are read from /proc/self/smaps each time: the
//! program and its libraries, the stack, bifold's window (where blocks are),
//! its page map and descriptors (which lie below the window), and large blocks,
//! mappings of their own, of which the kernel shows neighbours as one.
//! ARCHITECTURE.md, "Where memory lies", has the drawing.
//!
//! The plot: a bar for each moment, stacked from what is resident in each kind
//! of mapping. After the frees most of the large blocks are gone (one may be
//! kept for a moment), and the window is as resident as before: a free page goes
//! back when the purge delay has passed, or with a trim. What stays after the
//! trim is what the blocks left pin: not only their own pages, but the slab of
//! 64 KiB that each is cut from. What is mapped stays, too; it costs addresses.
//!
//! Manual pages: proc_pid_smaps(5), malloc_trim(3), madvise(2) (`MADV_DONTNEED`).

mod common;

use std::ops::Range;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use common::map::{self, Kind, Mapping};
use common::plot::{self, Axis, Panel, Series, Shape};
use common::table::Table;
use common::{KIB, MIB, Options, Outcome, children, machine, mib};

#[global_allocator]
static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();

/// Shows the mappings of a process before, while and after it uses a heap.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Print every mapping at every moment, not only of the full heap
    #[arg(long)]
    all: bool,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Subcommand)]
enum Child {
    #[command(hide = true)]
    Phases { mib: usize },
}

/// The moments at which the child looks at its map.
const MOMENTS: [&str; 4] = ["at the start", "full", "freed", "trimmed"];
const FULL: usize = 1;
/// One in so many short blocks is not freed.
const LEFT: usize = 1000;
const LARGE: usize = 4;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::end(match arguments.child {
        Some(Child::Phases { mib }) => phases(mib * MIB),
        None => experiment(&arguments.options, arguments.all),
    })
}

/// The child: fills and frees a heap of so many bytes in short blocks, and
/// writes its map at each moment.
fn phases(bytes: usize) -> Outcome<()> {
    let first = Box::new(0u8);
    let base = map::window_of(&raw const *first);
    let mut moments = MOMENTS.iter();
    let mut known: Vec<Range<usize>> = Vec::new();
    let mut look = |large: &[Range<usize>]| {
        known.extend_from_slice(large);
        write_map(moments.next().unwrap_or(&""), base, &known)
    };
    look(&[])?;

    let short = fill(bytes, |k| 32 + k * 7919 % 480);
    let runs = fill(bytes / 4, |k| 16 * KIB + k * 7919 % (112 * KIB));
    let large: Vec<Vec<u8>> = (0..LARGE).map(|_| vec![1; bytes / 8]).collect();
    // The lists of the blocks are long themselves.
    let mut ranges = vec![range_of(&short), range_of(&runs)];
    ranges.extend(large.iter().map(range_of));
    look(&ranges)?;

    drop((runs, large));
    let keep = |(k, block): (usize, Vec<u8>)| k.is_multiple_of(LEFT).then_some(block);
    let left: Vec<Vec<u8>> = short.into_iter().enumerate().filter_map(keep).collect();
    look(&[])?;

    bifold::trim();
    look(&[])?;
    drop(left);
    Ok(())
}

/// The addresses of a vector's elements.
fn range_of<T>(vector: &Vec<T>) -> Range<usize> {
    let start = vector.as_ptr() as usize;
    start..start + vector.capacity() * size_of::<T>()
}

/// Blocks of so many bytes together, all written to.
fn fill(bytes: usize, length: impl Fn(usize) -> usize) -> Vec<Vec<u8>> {
    let mut sum = 0;
    (0..)
        .map(length)
        .take_while(|length| {
            sum += length;
            sum <= bytes
        })
        .map(|length| vec![1; length])
        .collect()
}

/// Writes a line for each mapping, its fields between tabs.
fn write_map(moment: &str, base: usize, large: &[Range<usize>]) -> Outcome<()> {
    for mapping in map::read()? {
        let kind = map::kind_of(&mapping, base, large);
        let Mapping {
            range,
            permissions,
            name,
            resident,
            huge,
            ..
        } = mapping;
        println!(
            "{moment}\t{}\t{}\t{}\t{permissions}\t{resident}\t{huge}\t{name}",
            kind.name(),
            range.start,
            range.end,
        );
    }
    Ok(())
}

/// A line of [`write_map`].
struct Line {
    moment: usize,
    kind: Kind,
    mapping: Mapping,
}

impl Line {
    fn parse(line: &str) -> Outcome<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let parsed = || {
            let [moment, kind, start, end, permissions, resident, huge, name] = fields[..] else {
                return None;
            };
            Some(Self {
                moment: MOMENTS.iter().position(|known| *known == moment)?,
                kind: Kind::named(kind)?,
                mapping: Mapping {
                    range: start.parse().ok()?..end.parse().ok()?,
                    permissions: permissions.to_owned(),
                    name: name.to_owned(),
                    resident: resident.parse().ok()?,
                    huge: huge.parse().ok()?,
                    ..Mapping::default()
                },
            })
        };
        parsed().ok_or_else(|| format!("a child wrote {line:?}"))
    }
}

fn experiment(options: &Options, all: bool) -> Outcome<()> {
    let bytes = options.or_quick("64", "4");
    println!("{}", machine::line());
    let text = children::text_of(children::again(&["phases", bytes], &[], None)?)?;
    let lines: Vec<Line> = text.lines().map(Line::parse).collect::<Outcome<_>>()?;
    for (moment, name) in MOMENTS.iter().enumerate() {
        if all || moment == FULL {
            print_mappings(name, lines.iter().filter(|line| line.moment == moment));
        }
    }
    print_sums(&lines);
    let title = "The map of a process: what is resident in whose mappings";
    plot::write(options, "memory_map", title, &[panel(&lines)])
}

fn print_mappings<'a>(moment: &str, lines: impl Iterator<Item = &'a Line>) {
    let mut table = Table::new(["whose", "at", "", "KiB", "resident", "huge", "file"]);
    for Line { kind, mapping, .. } in lines {
        table.row(vec![
            kind.name().to_owned(),
            format!("{:#x}", mapping.range.start),
            mapping.permissions.clone(),
            (mapping.range.len() / KIB).to_string(),
            (mapping.resident / KIB).to_string(),
            (mapping.huge / KIB).to_string(),
            mapping.name.clone(),
        ]);
    }
    table.print(&format!("The mappings: {moment}"));
}

/// Sums over the mappings of a kind at a moment: how many, bytes, resident.
fn sums(lines: &[Line], moment: usize, kind: Kind) -> (usize, usize, usize) {
    lines
        .iter()
        .filter(|line| line.moment == moment && line.kind == kind)
        .fold((0, 0, 0), |(count, bytes, resident), line| {
            let mapping = &line.mapping;
            (
                count + 1,
                bytes + mapping.range.len(),
                resident + mapping.resident,
            )
        })
}

fn print_sums(lines: &[Line]) {
    let mut table = Table::new(["", "moment", "mappings", "MiB", "resident MiB"]);
    for kind in Kind::ALL.into_iter().rev() {
        for (moment, name) in MOMENTS.iter().enumerate() {
            let (count, bytes, resident) = sums(lines, moment, kind);
            table.row(vec![
                kind.name().to_owned(),
                (*name).to_owned(),
                count.to_string(),
                mib(bytes as f64),
                mib(resident as f64),
            ]);
        }
    }
    table.print("Whose memory it is");
}

fn panel(lines: &[Line]) -> Panel {
    let mut heights = [0.0; MOMENTS.len()];
    let mut series = Vec::new();
    for (colour, kind) in Kind::ALL.into_iter().rev().enumerate() {
        let bars = heights.iter_mut().enumerate().map(|(moment, height)| {
            let (_, _, resident) = sums(lines, moment, kind);
            let (bottom, place) = (*height, moment as f64);
            *height += resident as f64 / MIB as f64;
            [place + 0.2, place + 0.8, bottom, *height]
        });
        let shape = Shape::Bars(bars.collect());
        series.push(Series::new(kind.name(), colour, shape));
    }
    Panel {
        title: "resident, by the kind of mapping".to_owned(),
        x: Axis::names("", MOMENTS),
        y: Axis::linear("MiB", heights.into_iter().fold(0.0, f64::max)),
        series,
    }
}
