//! Demand paging: memory that is obtained costs addresses, memory that is
//! touched costs pages.
//!
//! ```text
//! cargo run --release --example demand_paging
//! ```
//!
//! A child obtains 100 MiB and touches them step by step: as one request, which
//! bifold maps as a whole, and as blocks of 1 KiB, which it cuts from slabs a
//! page at a time. Each is done with pages of 4 KiB, a fault for each
//! (`BIFOLD_THP=never`), and with settings that make more resident at a time:
//! `BIFOLD_FAULT_AROUND=64K` (of slabs), `BIFOLD_PREFAULT=1` (of what is mapped),
//! `BIFOLD_THP=always` (transparent huge pages), and `BIFOLD_HUGETLB_2M` (huge
//! pages that root has set aside). By default a heap grows by huge pages once it
//! has 16 MiB. Each is done three times, and the fastest one is shown; before each
//! another child touches as much memory, for a virtual machine's host to have it
//! ready.
//!
//! The plot: to the right, how much has been touched. First row: what is mapped
//! (`VmSize`, the same for all) and what is resident (`VmRSS`), above what they
//! were before. One request is mapped at once and resident as it is touched,
//! unless it is prefaulted; a heap grows by spans of some MiB. Second row: minor
//! faults so far. The kernel counts a page that it makes resident on request
//! as a fault, too. What the request saves is the trap, which shows, if at all,
//! in the third row: the time spent in obtaining and touching so far. The most of
//! a fault is finding and clearing the page; a huge page is cleared as a whole,
//! at its first touch.
//!
//! Manual pages: mmap(2), madvise(2) (`MADV_POPULATE_WRITE`, `MADV_HUGEPAGE`),
//! getrusage(2), proc_pid_status(5).

mod common;

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use common::children::{self, Row, Settings};
use common::figures::{self, Status};
use common::plot::{self, Axis, Panel, Series, Shape};
use common::table::Table;
use common::{MIB, Options, Outcome, machine, mib, skip, warm};

#[global_allocator]
static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();

/// Touches memory step by step, and shows what that costs.
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
    Warm { mib: usize },
    #[command(hide = true)]
    Touch {
        mib: usize,
        steps: usize,
        #[arg(long)]
        blocks: bool,
    },
}

const BLOCK: usize = 1 << 10;
/// Without huge pages.
const PLAIN: (&str, &str) = ("BIFOLD_THP", "never");

/// How memory is obtained, under which settings, and its colour in the plot.
struct Variant {
    name: &'static str,
    blocks: bool,
    settings: Vec<(&'static str, String)>,
    colour: usize,
}

impl Variant {
    fn new(
        name: &'static str,
        blocks: bool,
        settings: &[(&'static str, &str)],
        colour: usize,
    ) -> Self {
        let owned = settings
            .iter()
            .map(|&(name, value)| (name, value.to_owned()));
        Self {
            name,
            blocks,
            settings: owned.collect(),
            colour,
        }
    }
}

fn variants(bytes: usize) -> Vec<Variant> {
    let prefault: Settings = &[PLAIN, ("BIFOLD_PREFAULT", "1")];
    let around: Settings = &[PLAIN, ("BIFOLD_FAULT_AROUND", "64K")];
    let thp: Settings = &[("BIFOLD_THP", "always")];
    let mut all = vec![
        Variant::new("4 KiB pages", false, &[PLAIN], 0),
        Variant::new("prefault=1", false, prefault, 2),
        Variant::new("thp=always", false, thp, 1),
        Variant::new("4 KiB pages", true, &[PLAIN], 0),
        Variant::new("fault_around=64K", true, around, 4),
        Variant::new("prefault=1", true, prefault, 2),
        Variant::new("thp=always", true, thp, 1),
        Variant::new("default", true, &[], 5),
    ];
    if let Err(why) = machine::has_huge_pages() {
        skip("thp=always", &why);
        all.retain(|variant| variant.name != "thp=always");
    }
    let pool = pool_for(bytes);
    match machine::has_hugetlb(pool) {
        Ok(()) => {
            let pool = common::size(pool);
            all.push(Variant::new(
                "hugetlb_2m",
                true,
                &[PLAIN, ("BIFOLD_HUGETLB_2M", &pool)],
                3,
            ));
        }
        Err(why) => skip("hugetlb_2m", &why),
    }
    all
}

/// A pool that has room for what the program has besides, in whole pages.
fn pool_for(bytes: usize) -> usize {
    (bytes + bytes / 16).next_multiple_of(2 * MIB) + 4 * MIB
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::end(match arguments.child {
        Some(Child::Warm { mib }) => warm::touch(mib * MIB),
        Some(Child::Touch { mib, steps, blocks }) => touch(mib * MIB, steps, blocks),
        None => experiment(&arguments.options),
    })
}

/// Mapped and resident bytes, and faults, since a start.
struct Account {
    status: Status,
    faults: usize,
    spent: Duration,
}

impl Account {
    fn open() -> Outcome<Self> {
        // The first reading takes memory itself.
        Status::read()?;
        Ok(Self {
            status: Status::read()?,
            faults: figures::faults(),
            spent: Duration::ZERO,
        })
    }

    fn time(&mut self, work: impl FnOnce()) {
        let start = Instant::now();
        work();
        self.spent += start.elapsed();
    }

    fn print(&self, touched: usize) -> Outcome<()> {
        let faults = figures::faults() - self.faults;
        let status = Status::read()?;
        println!(
            "touched {touched} mapped {} resident {} faults {faults} us {}",
            status.mapped.saturating_sub(self.status.mapped),
            status.resident.saturating_sub(self.status.resident),
            self.spent.as_micros(),
        );
        Ok(())
    }
}

/// The child: obtains and touches memory, and says what it has after each step.
fn touch(bytes: usize, steps: usize, blocks: bool) -> Outcome<()> {
    let part = bytes / steps;
    let mut account = Account::open()?;
    let mut whole = std::ptr::null_mut();
    if !blocks {
        account.time(|| whole = obtain(bytes));
    }
    account.print(0)?;
    for step in 0..steps {
        account.time(|| {
            if blocks {
                // What is never freed needs no pointer to it.
                (0..part / BLOCK).for_each(|_| write(obtain(BLOCK), BLOCK));
            } else {
                write(whole.wrapping_add(step * part), part);
            }
        });
        account.print((step + 1) * part)?;
    }
    Ok(())
}

fn obtain(bytes: usize) -> *mut u8 {
    let layout = Layout::from_size_align(bytes, 16).expect("sizes are far below the limit");
    // SAFETY: the layout has a size.
    let block = unsafe { alloc(layout) };
    if block.is_null() {
        handle_alloc_error(layout);
    }
    block
}

/// Writes to each page of a part of a block.
fn write(start: *mut u8, bytes: usize) {
    for offset in (0..bytes).step_by(figures::page().min(bytes)) {
        // SAFETY: the byte is in the block, which nobody else has.
        unsafe { start.add(offset).write_volatile(1) };
    }
}

fn experiment(options: &Options) -> Outcome<()> {
    let (bytes, steps) = options.or_quick((100 * MIB, 20), (8 * MIB, 4));
    println!("{}", machine::line());
    let mut measured = Vec::new();
    for variant in variants(bytes) {
        let rows = measure(bytes, steps, &variant, options.or_quick(3, 1))?;
        measured.push((variant, rows));
    }
    print(&measured, bytes);
    let title = format!("Demand paging: {} MiB, touched step by step", bytes / MIB);
    plot::write(options, "demand_paging", &title, &panels(&measured, bytes))
}

/// Measures some times, and returns the rows of the fastest.
fn measure(bytes: usize, steps: usize, variant: &Variant, rounds: usize) -> Outcome<Vec<Row>> {
    let (mib, steps) = ((bytes / MIB).to_string(), steps.to_string());
    let mut arguments = vec!["touch", &mib, &steps];
    if variant.blocks {
        arguments.push("--blocks");
    }
    let settings = variant.settings.iter();
    let settings: Vec<_> = settings
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let time = |rows: &[Row]| rows.last().map_or(0.0, |row| row.get("us"));
    let mut best: Option<Vec<Row>> = None;
    for _ in 0..rounds {
        warm::up(bytes / MIB)?;
        let rows = children::rows_of(children::again(&arguments, &settings, None)?)?;
        if best.as_ref().is_none_or(|best| time(&rows) < time(best)) {
            best = Some(rows);
        }
    }
    best.ok_or_else(|| "no round was measured".to_owned())
}

fn print(measured: &[(Variant, Vec<Row>)], bytes: usize) {
    for blocks in [false, true] {
        let mut table = Table::new([
            "",
            "touched MiB",
            "mapped MiB",
            "resident MiB",
            "faults",
            "ms",
        ]);
        for (variant, rows) in measured
            .iter()
            .filter(|(variant, _)| variant.blocks == blocks)
        {
            for row in [0, rows.len() / 2, rows.len() - 1].map(|k| &rows[k]) {
                table.row(vec![
                    variant.name.to_owned(),
                    mib(row.get("touched")),
                    mib(row.get("mapped")),
                    mib(row.get("resident")),
                    row.get("faults").to_string(),
                    format!("{:.1}", row.get("us") / 1e3),
                ]);
            }
        }
        table.print(&format!("{} MiB as {}", bytes / MIB, form(blocks)));
    }
}

fn form(blocks: bool) -> &'static str {
    if blocks {
        "blocks of 1 KiB"
    } else {
        "one request"
    }
}

fn panels(measured: &[(Variant, Vec<Row>)], bytes: usize) -> Vec<Panel> {
    let panel = |blocks: bool, what: &str, label: &str, figure: &str, unit: f64| {
        let chosen = measured
            .iter()
            .filter(|(variant, _)| variant.blocks == blocks);
        let mut series: Vec<Series> = chosen
            .map(|(variant, rows)| {
                let line = Shape::Line(points(rows, figure, unit));
                Series::new(variant.name, variant.colour, line)
            })
            .collect();
        if figure == "resident" {
            let all = measured
                .iter()
                .find(|(variant, _)| variant.blocks == blocks);
            let mapped = all.map_or(Vec::new(), |(_, rows)| points(rows, "mapped", unit));
            series.insert(0, Series::new("mapped", 7, Shape::Line(mapped)));
        }
        let highest = measured
            .iter()
            .flat_map(|(_, rows)| rows)
            .map(|row| row.get(figure) / unit)
            .fold(0.0, f64::max);
        Panel {
            title: format!("{}: {what}", form(blocks)),
            x: Axis::linear("MiB touched", (bytes / MIB) as f64),
            y: Axis::linear(label, highest),
            series,
        }
    };
    let row = |what, label, figure, unit| {
        [false, true].map(|blocks| panel(blocks, what, label, figure, unit))
    };
    [
        row("mapped and resident", "MiB", "resident", MIB as f64),
        row("minor faults", "faults so far", "faults", 1.0),
        row("time", "ms so far", "us", 1e3),
    ]
    .concat()
}

fn points(rows: &[Row], figure: &str, unit: f64) -> Vec<(f64, f64)> {
    rows.iter()
        .map(|row| (row.get("touched") / MIB as f64, row.get(figure) / unit))
        .collect()
}
