//! Running out: of addresses, and of memory.
//!
//! ```text
//! cargo run --release --example exhaustion
//! ```
//!
//! Children ask for memory until it is refused: in one request, as long as it
//! may be; in blocks of 1 MiB that nobody touches; in the same blocks, each
//! written to. They do so under a limit on addresses (`ulimit -v`,
//! `RLIMIT_AS`), on writable memory (`ulimit -d`, `RLIMIT_DATA`), under bifold's
//! own (`BIFOLD_LIMIT`), and under none but the kernel's: in its usual mode it
//! refuses a single request that is longer than all memory and swap, and
//! grants any number of shorter ones, since what is not touched takes no
//! memory. So touching without a limit is left out: it ends with the kernel
//! killing somebody.
//!
//! Each child asks in three ways, and all say no where the memory is refused,
//! without a line or an abort: the global allocator by null, a `bifold::Heap`
//! by `AllocError`, a `Vec` by `TryReserveError`. What becomes of the refusal is
//! the program's decision. A further request, for 100 bytes, shows whether what
//! is left still serves.
//!
//! The plot: how far each child got, in MiB: the longest request, the sum of the
//! untouched blocks, and what was resident when the untouched and the touched
//! ones came to their end. Limits on addresses count what is mapped, touched or
//! not.
//!
//! Manual pages: getrlimit(2), malloc(3), proc_sys_vm(5) (`overcommit_memory`).

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::{io, ptr};

use clap::{Parser, Subcommand, ValueEnum};

use common::children::{self, Row};
use common::figures::{self, Status};
use common::plot::{self, Axis, Panel, Series, Shape};
use common::table::Table;
use common::{MIB, Options, Outcome, machine, mib, size, skip};

#[global_allocator]
static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();

/// Asks for memory until it is refused, under limits of several kinds.
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
    Ask {
        how: How,
        /// The length of a block, and where to stop, in MiB
        block: usize,
        most: usize,
    },
}

/// How a child asks for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    Once,
    Untouched,
    Touched,
}

/// Where a child stops that is refused nothing.
const MOST: usize = 1 << 20;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::end(match arguments.child {
        Some(Child::Ask { how, block, most }) => ask(how, block * MIB, most * MIB),
        None => experiment(&arguments.options),
    })
}

/// The child: asks until it is refused or has as much as it wants.
fn ask(how: How, block: usize, most: usize) -> Outcome<()> {
    let (mut got, mut refused) = (0, 0);
    if how == How::Once {
        (got, refused) = longest(most);
    } else {
        while got < most && refused == 0 {
            match obtain(block) {
                Some(start) if how == How::Touched => touch(start, block),
                Some(_) => {}
                None => {
                    refused = block;
                    break;
                }
            }
            got += block;
        }
    }
    let said = if refused > 0 { refusals(refused) } else { 0 };
    let serves = usize::from(obtain(100).is_some());
    let status = Status::read()?;
    println!(
        "got {got} refused {refused} said {said} serves {serves} mapped {} resident {}",
        status.mapped, status.resident
    );
    Ok(())
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 16).expect("sizes are below the limit")
}

/// A block that is never freed.
fn obtain(bytes: usize) -> Option<*mut u8> {
    // SAFETY: the layout has a size.
    let block = unsafe { ALLOCATOR.alloc(layout(bytes)) };
    (!block.is_null()).then_some(block)
}

fn touch(start: *mut u8, bytes: usize) {
    for offset in (0..bytes).step_by(figures::page()) {
        // SAFETY: the byte is in the block, which nobody else has.
        unsafe { start.add(offset).write_volatile(1) };
    }
}

/// The longest request that is served, to a MiB, and the shortest one that is
/// refused; 0 where none is, up to `most`.
fn longest(most: usize) -> (usize, usize) {
    let is_served = |bytes| {
        let block = obtain(bytes);
        if let Some(block) = block {
            // SAFETY: the block was obtained with this layout, and is not used.
            unsafe { ALLOCATOR.dealloc(block, layout(bytes)) };
            // A freed mapping that is kept could be made longer, which the
            // kernel allows where it would refuse a whole one.
            bifold::trim();
        }
        block.is_some()
    };
    let (mut got, mut step, mut refused) = (0, MIB, 0);
    while got < most && (refused == 0 || step >= MIB) {
        if is_served(got + step) {
            got += step;
            step = if refused == 0 { step * 2 } else { step / 2 };
        } else {
            refused = got + step;
            step /= 2;
        }
    }
    (got, refused)
}

/// In how many of the three ways a request is refused.
fn refusals(bytes: usize) -> usize {
    let null = obtain(bytes).is_none();
    let error = match bifold::Heap::new() {
        Ok(heap) => heap.allocate(layout(bytes)).is_err(),
        Err(bifold::AllocError) => true,
    };
    let reserve = Vec::<u8>::new().try_reserve_exact(bytes).is_err();
    [null, error, reserve]
        .into_iter()
        .filter(|said| *said)
        .count()
}

/// What a child is under.
#[derive(Clone, Copy)]
enum Limit {
    None,
    Resource(libc::__rlimit_resource_t),
    Bifold,
}

/// The limits, and what they are called.
const LIMITS: [(&str, Limit); 4] = [
    ("RLIMIT_AS", Limit::Resource(libc::RLIMIT_AS)),
    ("RLIMIT_DATA", Limit::Resource(libc::RLIMIT_DATA)),
    ("BIFOLD_LIMIT", Limit::Bifold),
    ("no limit", Limit::None),
];
const WAYS: [(How, &str); 3] = [
    (How::Once, "one request"),
    (How::Untouched, "untouched"),
    (How::Touched, "touched"),
];

fn measure(limit: Limit, bytes: usize, how: How) -> Outcome<Row> {
    let (name, most) = match (limit, how) {
        // Many short blocks would run into the kernel's limit of mappings, and
        // every mapping has page tables.
        (Limit::None, How::Untouched) => ("untouched", (1024, 256 << 10)),
        (_, How::Once) => ("once", (1, MOST)),
        (_, How::Untouched) => ("untouched", (1, MOST)),
        (_, How::Touched) => ("touched", (1, MOST)),
    };
    let arguments = [name, &most.0.to_string(), &most.1.to_string()];
    let text = size(bytes);
    let settings: &[_] = match limit {
        Limit::Bifold => &[("BIFOLD_LIMIT", text.as_str())],
        _ => &[],
    };
    let mut command = children::again(&[&["ask"], &arguments[..]].concat(), settings, None)?;
    if let Limit::Resource(resource) = limit {
        let limit = libc::rlimit {
            rlim_cur: bytes as libc::rlim_t,
            rlim_max: bytes as libc::rlim_t,
        };
        let set = move || {
            // SAFETY: the pointer is to a value that the closure owns.
            match unsafe { libc::setrlimit(resource, ptr::from_ref(&limit)) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec there is one system call, and nothing
        // that takes a lock or memory.
        unsafe { command.pre_exec(set) };
    }
    children::row_of(command)
}

/// A limit's name, the way, and what the child found.
type Measured = (&'static str, How, &'static str, Row);

fn experiment(options: &Options) -> Outcome<()> {
    let bytes = options.or_quick(256 * MIB, 64 * MIB);
    println!("{}", machine::line());
    println!("overcommit mode: {}", machine::overcommit());
    let mut measured: Vec<Measured> = Vec::new();
    for (name, limit) in LIMITS {
        for (how, way) in WAYS {
            if matches!((limit, how), (Limit::None, How::Touched)) {
                skip(
                    "no limit, touched",
                    "the kernel would kill a process to find memory",
                );
                continue;
            }
            let row = measure(limit, bytes, how).map_err(|failure| format!("{name}: {failure}"))?;
            measured.push((name, how, way, row));
        }
    }
    print(&measured, bytes);
    let title = format!("Running out: limits of {} MiB, and none", bytes / MIB);
    plot::write(options, "exhaustion", &title, &[panel(&measured)])
}

fn print(measured: &[Measured], bytes: usize) {
    let mut table = Table::new([
        "",
        "asked for",
        "got MiB",
        "refused MiB",
        "says no",
        "100 bytes more",
        "mapped MiB",
        "resident MiB",
    ]);
    for (name, _, way, row) in measured {
        let refused = row.get("refused");
        let (at, said) = match row.get("said") {
            _ if refused == 0.0 => ("none".to_owned(), String::new()),
            3.0 => (mib(refused), "null, AllocError, TryReserveError".to_owned()),
            said => (mib(refused), format!("in {said} of 3 ways")),
        };
        table.row(vec![
            (*name).to_owned(),
            (*way).to_owned(),
            mib(row.get("got")),
            at,
            said,
            if row.get("serves") == 1.0 {
                "served"
            } else {
                "refused"
            }
            .to_owned(),
            mib(row.get("mapped")),
            mib(row.get("resident")),
        ]);
    }
    table.print(&format!("Limits of {} MiB", bytes / MIB));
}

/// A bar: its name, and which child's figure it is.
const BARS: [(&str, How, &str); 4] = [
    ("longest request", How::Once, "got"),
    ("untouched blocks: sum", How::Untouched, "got"),
    ("untouched blocks: resident", How::Untouched, "resident"),
    ("touched blocks: resident", How::Touched, "resident"),
];

fn panel(measured: &[Measured]) -> Panel {
    let width = 0.8 / BARS.len() as f64;
    let value = |limit: &str, how: How, figure: &str| {
        let row = measured.iter().find(|one| one.0 == limit && one.1 == how)?;
        Some(row.3.get(figure) / MIB as f64)
    };
    let mut highest = 2.0f64;
    let mut series = Vec::new();
    for (colour, (name, how, figure)) in BARS.into_iter().enumerate() {
        let mut bars = Vec::new();
        for (place, (limit, _)) in LIMITS.iter().enumerate() {
            if let Some(value) = value(limit, how, figure) {
                let from = place as f64 + 0.1 + colour as f64 * width;
                bars.push([from, from + width, 0.0, value]);
                highest = highest.max(value);
            }
        }
        series.push(Series::new(name, colour, Shape::Bars(bars)));
    }
    Panel {
        title: "how far each got".to_owned(),
        x: Axis::names("", LIMITS.map(|(name, _)| name)),
        y: Axis::log("MiB", 10.0, 1.0, highest, |value| value.to_string()),
        series,
    }
}
