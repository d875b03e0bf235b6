//! The figures as a table for people.

use super::Stats;
use super::walk::{Figure, Rendering, Unit, VERSION};
use crate::text::{Stream, Text};

/// Characters of a column, and of the names before the first.
const COLUMN: usize = 11;
const NAMES: usize = 18;

/// A name, or a figure.
type Word = Text<20>;

struct Table<'a> {
    text: Stream<'a>,
    /// What the rows are, until the first of them has come.
    heading: Option<&'static str>,
}

/// Writes the table, which ends with a line's end.
pub(super) fn write(stats: &Stats, sink: &mut dyn FnMut(&str)) {
    let mut table = Table {
        text: Stream::new(sink),
        heading: None,
    };
    table.headline(stats);
    stats.walk(&mut table);
}

impl Table<'_> {
    /// What there is in all, with the exact number of bytes.
    fn headline(&mut self, stats: &Stats) {
        let text = &mut self.text;
        text.text("bifold ");
        text.text(VERSION);
        text.text(": ");
        let mut size = Word::new();
        size.size(stats.live.bytes);
        text.text(size.as_str());
        text.text(" in use (");
        text.decimal(stats.live.bytes);
        text.text(" bytes in ");
        text.decimal(stats.live.number);
        text.text(" blocks)\n");
    }

    fn cell(&mut self, figure: &Figure) {
        let mut cell = Word::new();
        match (figure.value, figure.unit) {
            (Some(value), Unit::Bytes) => cell.size(value),
            (Some(value), Unit::Number) => cell.decimal(value),
            (None, _) => cell.text("?"),
        }
        self.text.right(cell.as_str(), COLUMN);
    }
}

impl Rendering for Table<'_> {
    fn part(&mut self, name: &'static str, figures: &[Figure]) {
        self.text.text("\n");
        self.text.text(name);
        self.text.text("\n");
        for figure in figures {
            self.text.text("  ");
            self.text.left(words(figure.name).as_str(), NAMES - 2);
            self.cell(figure);
            self.text.text("\n");
        }
    }

    fn table(&mut self, rows: &'static str, _row: &'static str, _named: bool) {
        self.heading = Some(rows);
    }

    fn row(&mut self, name: Option<&'static str>, figures: &[Figure]) {
        if let Some(heading) = self.heading.take() {
            self.text.text("\n");
            self.text.left(heading, NAMES);
            for figure in figures {
                self.text.right(words(figure.name).as_str(), COLUMN);
            }
            self.text.text("\n");
        }
        self.text.text("  ");
        self.text.left(name.unwrap_or(""), NAMES - 2);
        for figure in figures {
            self.cell(figure);
        }
        self.text.text("\n");
    }

    fn end_table(&mut self) {}
}

/// A name as people write it.
fn words(name: &str) -> Word {
    let mut words = Word::new();
    for (i, word) in name.split('_').enumerate() {
        words.text(if i > 0 { " " } else { "" });
        words.text(word);
    }
    words
}
