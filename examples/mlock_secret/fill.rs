//! How many keys there is room for.

use crate::common::children::{self, Row};
use crate::common::figures::{self, Status};
use crate::common::map::{self, Mapping};
use crate::common::plot::{Axis, Panel, Series, Shape};
use crate::common::table::Table;
use crate::common::{KIB, MIB, Options, Outcome, memlock, size, skip};
use crate::{KEY, Way, layout, no_heap, put, run};

/// The child that fills a heap: a row now and then, and a last one with more
/// in it.
pub fn child(way: Way, block: usize, limit: usize) -> Outcome<()> {
    memlock::limit_to(limit)?;
    let heap = way.heap().map_err(no_heap)?;
    let layout = layout(block)?;
    let at_the_start = map::read()?.len();
    // Twice a page, so that the steps of the locked memory are seen.
    let step = (figures::page() / block / 2).max(1);
    // More keys than bytes for them are not asked for: there the limit is not
    // in force.
    let most = limit / block + 1;
    let (mut keys, mut last) = (0, None);
    println!("{}", moment(keys)?.0);
    while keys < most {
        let Ok(key) = put(&heap, layout) else {
            break;
        };
        keys += 1;
        last = Some(key);
        if keys % step == 0 {
            println!("{}", moment(keys)?.0);
        }
    }
    let (figures, mappings) = moment(keys)?;
    let again = last.is_some_and(|key| {
        // SAFETY: the block is the heap's, with that layout.
        unsafe { heap.deallocate(key, layout) };
        put(&heap, layout).is_ok()
    });
    println!(
        "{figures} refused {} again {} slabs {} mappings {}",
        u8::from(keys < most),
        u8::from(again),
        slabs(&mappings),
        mappings.len().saturating_sub(at_the_start),
    );
    Ok(())
}

/// The figures of so many keys, and the mappings.
fn moment(keys: usize) -> Outcome<(String, Vec<Mapping>)> {
    let mappings = map::read()?;
    // Not of all that the heap has: a slab may lie on pages that were freed a
    // moment ago, which are resident before the heap uses them.
    let held = mappings.iter().filter(|mapping| mapping.has("lo"));
    let resident: usize = held.map(|mapping| mapping.resident).sum();
    let locked = Status::read()?.locked;
    let figures = format!("keys {keys} locked {locked} resident {resident}");
    Ok((figures, mappings))
}

/// What lies between two guards, in one mapping or several, which only locked
/// heaps have wiped in forked children.
fn slabs(mappings: &[Mapping]) -> usize {
    let mut end = 0;
    let wiped = mappings.iter().filter(|mapping| mapping.has("wf"));
    wiped
        .filter(|mapping| {
            let starts = mapping.range.start != end;
            end = mapping.range.end;
            starts
        })
        .count()
}

/// Fills heaps up to their limits. Returns a panel for each limit and length.
pub fn experiment(options: &Options) -> Outcome<Vec<Panel>> {
    let limits = [64 * KIB, options.or_quick(MIB, 256 * KIB)];
    // Short keys under both limits; in longer blocks under the longer one.
    let cases = [
        (limits[0], KEY.len()),
        (limits[1], KEY.len()),
        (limits[1], 4 * KIB),
        (limits[1], 16 * KIB),
    ];
    let mut filled = Vec::new();
    for (limit, block) in cases {
        if let Err(reason) = memlock::allows(limit) {
            skip(
                &format!("{}, blocks of {}", size(limit), size(block)),
                &reason,
            );
            continue;
        }
        for way in [Way::AtOnce, Way::OnFault] {
            filled.push(Filled::run(way, block, limit)?);
        }
    }
    print(&filled);
    Ok(filled.chunks(2).map(panel).collect())
}

/// A heap that was filled.
struct Filled {
    limit: usize,
    block: usize,
    way: Way,
    rows: Vec<Row>,
    last: Row,
    said: String,
}

impl Filled {
    fn run(way: Way, block: usize, limit: usize) -> Outcome<Self> {
        let figures = [block.to_string(), limit.to_string()];
        let (text, said) = run(&["fill", way.argument(), &figures[0], &figures[1]])?;
        let rows = children::rows_in(&text)?;
        let last = rows.last().cloned().ok_or("a child wrote no figures")?;
        Ok(Self {
            limit,
            block,
            way,
            rows,
            last,
            said,
        })
    }

    /// A figure over the number of keys, in KiB.
    fn line(&self, figure: &str) -> Shape {
        let point = |row: &Row| (row.get("keys"), row.get(figure) / KIB as f64);
        Shape::Line(self.rows.iter().map(point).collect())
    }
}

fn print(filled: &[Filled]) {
    if filled.is_empty() {
        return;
    }
    let mut table = Table::new([
        "limit",
        "block",
        "locked",
        "keys",
        "VmLck KiB",
        "resident KiB",
        "slabs",
        "mappings",
        "after a free",
        "the refusal says",
    ]);
    for heap in filled {
        let figure = |name| heap.last.get(name).to_string();
        let kib = |name| (heap.last.get(name) / KIB as f64).to_string();
        table.row(vec![
            size(heap.limit),
            size(heap.block),
            heap.way.name(),
            figure("keys"),
            kib("locked"),
            kib("resident"),
            figure("slabs"),
            figure("mappings"),
            match heap.last.get("again") {
                1.0 => "served",
                _ => "refused",
            }
            .to_owned(),
            match heap.last.get("refused") {
                1.0 => heap.said.clone(),
                _ => "not refused".to_owned(),
            },
        ]);
    }
    table.print("Keys of 32 bytes until AllocError");
}

/// Heaps of the same limit and blocks, locked in both ways.
fn panel(filled: &[Filled]) -> Panel {
    let most = |figure: &str| {
        filled
            .iter()
            .map(|heap| heap.last.get(figure))
            .fold(0.0, f64::max)
    };
    let mut series = Vec::new();
    for (name, figure) in [("VmLck", "locked"), ("resident", "resident")] {
        for heap in filled {
            let name = format!("{name}, {}", heap.way.name());
            series.push(Series::new(&name, series.len(), heap.line(figure)));
        }
    }
    let title = filled.first().map(|heap| {
        let (limit, block) = (size(heap.limit), size(heap.block));
        format!("limit {limit}, blocks of {block}")
    });
    Panel {
        title: title.unwrap_or_default(),
        x: Axis::linear("keys", most("keys")),
        y: Axis::linear("KiB", most("locked").max(most("resident")) / KIB as f64),
        series,
    }
}
