//! The figures as JSON: parts and named rows are objects, rows without names are
//! in an array. Reference: RFC 8259.

use super::Stats;
use super::walk::{Figure, Rendering, VERSION};
use crate::text::Stream;

struct Json<'a> {
    text: Stream<'a>,
    /// What closes the table.
    close: &'static str,
    /// Whether the table has a row already.
    has_row: bool,
}

/// Writes one JSON object and a line's end.
pub(super) fn write(stats: &Stats, sink: &mut dyn FnMut(&str)) {
    let mut json = Json {
        text: Stream::new(sink),
        close: "",
        has_row: false,
    };
    json.text.text("{");
    json.name("version");
    json.text.text("\"");
    json.text.text(VERSION);
    json.text.text("\"");
    stats.walk(&mut json);
    json.text.text("\n}\n");
}

impl Json<'_> {
    fn name(&mut self, name: &str) {
        self.text.text("\"");
        self.text.text(name);
        self.text.text("\":");
    }

    fn member(&mut self, name: &str) {
        self.text.text(",\n");
        self.name(name);
    }

    fn object(&mut self, figures: &[Figure]) {
        self.text.text("{");
        for (i, figure) in figures.iter().enumerate() {
            if i > 0 {
                self.text.text(",");
            }
            self.name(figure.name);
            match figure.value {
                Some(value) => self.text.decimal(value),
                None => self.text.text("null"),
            }
        }
        self.text.text("}");
    }
}

impl Rendering for Json<'_> {
    fn part(&mut self, name: &'static str, figures: &[Figure]) {
        self.member(name);
        self.object(figures);
    }

    fn table(&mut self, rows: &'static str, _row: &'static str, named: bool) {
        self.member(rows);
        self.has_row = false;
        self.text.text(if named { "{" } else { "[" });
        self.close = if named { "}" } else { "]" };
    }

    fn row(&mut self, name: Option<&'static str>, figures: &[Figure]) {
        self.text.text(if self.has_row { ",\n" } else { "\n" });
        self.has_row = true;
        if let Some(name) = name {
            self.name(name);
        }
        self.object(figures);
    }

    fn end_table(&mut self) {
        self.text.text(self.close);
    }
}
