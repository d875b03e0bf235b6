//! The figures as XML: an element for each row and part, the figures its
//! attributes. Reference: malloc_info(3), of which the root element is.

use super::Stats;
use super::walk::{Figure, Rendering, VERSION};
use crate::text::Stream;

struct Xml<'a> {
    text: Stream<'a>,
    rows: &'static str,
    row: &'static str,
}

/// Writes one element and a line's end.
pub(super) fn write(stats: &Stats, sink: &mut dyn FnMut(&str)) {
    let mut xml = Xml {
        text: Stream::new(sink),
        rows: "",
        row: "",
    };
    xml.text.text("<malloc version=\"bifold-");
    xml.text.text(VERSION);
    xml.text.text("\">\n");
    stats.walk(&mut xml);
    xml.text.text("</malloc>\n");
}

impl Xml<'_> {
    fn tag(&mut self, before: &str, name: &str, after: &str) {
        self.text.text(before);
        self.text.text(name);
        self.text.text(after);
    }

    fn attributes(&mut self, figures: &[Figure]) {
        for figure in figures {
            self.tag(" ", figure.name, "=\"");
            match figure.value {
                Some(value) => self.text.decimal(value),
                None => self.text.text("?"),
            }
            self.text.text("\"");
        }
        self.text.text("/>\n");
    }
}

impl Rendering for Xml<'_> {
    fn part(&mut self, name: &'static str, figures: &[Figure]) {
        self.tag("<", name, "");
        self.attributes(figures);
    }

    fn table(&mut self, rows: &'static str, row: &'static str, _named: bool) {
        (self.rows, self.row) = (rows, row);
        self.tag("<", rows, ">\n");
    }

    fn row(&mut self, name: Option<&'static str>, figures: &[Figure]) {
        self.tag("<", self.row, "");
        if let Some(name) = name {
            self.tag(" name=\"", name, "\"");
        }
        self.attributes(figures);
    }

    fn end_table(&mut self) {
        self.tag("</", self.rows, ">\n");
    }
}
