//! The one walk over the figures: what they are called, and in which order they
//! come. A rendering decides what they look like.

use super::{Area, Blocks, Class, Kernel, Stats};

/// bifold's version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Number,
}

/// A figure with its name, in small letters and `_`; `None`: not known.
#[derive(Clone, Copy)]
pub(super) struct Figure {
    pub name: &'static str,
    pub unit: Unit,
    pub value: Option<usize>,
}

/// What a rendering does with what comes along. Names are of small letters and
/// `_`, so that none needs escaping.
pub(super) trait Rendering {
    /// Some figures that belong together.
    fn part(&mut self, name: &'static str, figures: &[Figure]);

    /// The start of a table of `rows`, each a `row` with the same figures. Either
    /// every row has a name, or none.
    fn table(&mut self, rows: &'static str, row: &'static str, named: bool);

    /// A row of the table.
    fn row(&mut self, name: Option<&'static str>, figures: &[Figure]);

    /// The end of the table.
    fn end_table(&mut self);
}

fn bytes(name: &'static str, value: impl Into<Option<usize>>) -> Figure {
    Figure {
        name,
        unit: Unit::Bytes,
        value: value.into(),
    }
}

fn number(name: &'static str, value: usize) -> Figure {
    Figure {
        name,
        unit: Unit::Number,
        value: Some(value),
    }
}

impl Stats {
    /// Shows a rendering all the figures.
    pub(super) fn walk(&self, to: &mut dyn Rendering) {
        to.table("blocks", "kind", true);
        for (name, blocks) in [
            ("all", self.live),
            ("slabs", self.in_slabs),
            ("runs", self.in_runs),
            ("large", self.in_large),
        ] {
            to.row(Some(name), &blocks.figures());
        }
        to.end_table();

        to.table("areas", "area", true);
        for (name, area) in self.areas() {
            to.row(Some(name), &area.figures());
        }
        to.row(Some("all"), &self.total().figures());
        to.end_table();

        to.table("classes", "class", false);
        for class in self.classes.iter().filter(|class| class.slabs > 0) {
            to.row(None, &class.figures());
        }
        to.end_table();

        to.part("kernel", &self.kernel.figures());
        to.part(
            "process",
            &[
                number("heaps", self.heaps),
                bytes("dirty", self.dirty),
                bytes("most_window", self.most_window),
                bytes("most_large", self.most_large),
            ],
        );
    }
}

impl Blocks {
    fn figures(&self) -> [Figure; 2] {
        [number("number", self.number), bytes("bytes", self.bytes)]
    }
}

impl Area {
    fn figures(&self) -> [Figure; 7] {
        [
            bytes("reserved", self.reserved),
            bytes("committed", self.committed),
            bytes("resident", self.resident),
            bytes("live", self.live),
            bytes("cached", self.cached),
            bytes("clean", self.clean),
            bytes("other", self.other),
        ]
    }
}

impl Class {
    fn figures(&self) -> [Figure; 5] {
        [
            // Exact: two classes may look alike when they are rounded.
            number("block_size", self.block_size),
            number("slabs", self.slabs),
            number("live", self.live),
            number("free", self.free),
            bytes("slab_bytes", self.slab_bytes),
        ]
    }
}

impl Kernel {
    fn figures(&self) -> [Figure; 7] {
        [
            bytes("huge", self.huge),
            bytes("hugetlb", self.hugetlb),
            bytes("locked", self.locked),
            bytes("swapped", self.swapped),
            bytes("process_resident", self.process_resident),
            number("minor_faults", self.minor_faults),
            number("major_faults", self.major_faults),
        ]
    }
}
