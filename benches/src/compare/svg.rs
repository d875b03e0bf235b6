//! The report's charts, written as SVG by hand: there are two kinds.

use std::fmt::Write as _;

/// A colour and a shape for each contender; the first is bifold's.
const COLOURS: [&str; 10] = [
    "#d62728", "#222222", "#1f77b4", "#ff7f0e", "#2ca02c", "#17a2b8", "#9467bd", "#8c564b",
    "#e377c2", "#8a8d00",
];

const LEFT: f64 = 150.0;
const WIDTH: f64 = 900.0;
const LINE: f64 = 18.0;
const MARGIN: f64 = 30.0;

/// Ratios above this are drawn at the edge.
const HIGHEST: f64 = 16.0;

/// The colour of a contender.
pub fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// A mark: the first is a filled disc, the others alternate.
fn mark(out: &mut String, index: usize, x: f64, y: f64, title: &str) {
    let colour = colour(index);
    let shape = match index {
        0 => format!(r##"<circle cx="{x:.1}" cy="{y:.1}" r="6" fill="{colour}">"##),
        _ if index % 2 == 1 => format!(
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="#fff" fill-opacity="0.5" stroke="{colour}" stroke-width="2">"##
        ),
        _ => format!(
            r##"<rect x="{:.1}" y="{:.1}" width="7" height="7" fill="#fff" fill-opacity="0.5" stroke="{colour}" stroke-width="2">"##,
            x - 3.5,
            y - 3.5
        ),
    };
    let end = if shape.starts_with("<circle") {
        "circle"
    } else {
        "rect"
    };
    let title = escape(title);
    put(out, format_args!("{shape}<title>{title}</title></{end}>\n"));
}

/// A mark alone, for a legend.
pub fn legend_mark(index: usize) -> String {
    let mut out = String::from(r#"<svg width="16" height="14">"#);
    mark(&mut out, index, 8.0, 7.0, "");
    out + "</svg>"
}

/// Text as HTML has it.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Writing to a string can't fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes any text");
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = escape(words);
    put(
        out,
        format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>{}"#,
            '\n'
        ),
    );
}

fn line(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    put(
        out,
        format_args!(
            r##"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="#ddd"/>{}"##,
            '\n'
        ),
    );
}

/// Ratios from 1 up to the highest, on a logarithmic axis of some length.
struct Axis {
    highest: f64,
    length: f64,
}

impl Axis {
    fn new(ratios: impl Iterator<Item = f64>, length: f64) -> Self {
        let highest = ratios.fold(1.2, f64::max).min(HIGHEST) * 1.04;
        Self { highest, length }
    }

    fn at(&self, ratio: f64) -> f64 {
        self.length * ratio.min(self.highest).ln() / self.highest.ln()
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        const FINE: [f64; 7] = [1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0];
        const COARSE: [f64; 9] = [1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0];
        let ticks: &[f64] = if self.highest < 2.2 { &FINE } else { &COARSE };
        ticks.iter().copied().filter(|tick| *tick <= self.highest)
    }
}

/// A line for each row, a mark for each contender's ratio.
pub fn dots(rows: &[(&str, Vec<Option<f64>>)], names: &[&str]) -> String {
    let all = rows
        .iter()
        .flat_map(|(_, ratios)| ratios)
        .flatten()
        .copied();
    let axis = Axis::new(all, WIDTH - LEFT - MARGIN);
    let height = MARGIN + LINE * rows.len() as f64;
    let mut out = format!(
        r#"<svg viewBox="0 0 {WIDTH} {:.0}" width="{WIDTH}">{}"#,
        height + 6.0,
        '\n'
    );
    for tick in axis.ticks() {
        let x = LEFT + axis.at(tick);
        line(&mut out, (x, MARGIN - 8.0), (x, height));
        text(&mut out, x, MARGIN - 14.0, "middle", &format!("{tick}"));
    }
    for (k, (row, ratios)) in rows.iter().enumerate() {
        let y = MARGIN + LINE * (k as f64 + 0.5);
        text(&mut out, LEFT - 12.0, y + 4.0, "end", row);
        line(&mut out, (LEFT, y), (WIDTH - MARGIN, y));
        // The first one last, so that it lies on top.
        for (index, ratio) in ratios.iter().enumerate().rev() {
            if let Some(ratio) = ratio {
                let title = format!("{}: {ratio:.2}", names[index]);
                mark(&mut out, index, LEFT + axis.at(*ratio), y, &title);
            }
        }
    }
    out + "</svg>\n"
}

/// Charts with their titles, one beside the other, as a file of its own.
pub fn side_by_side(charts: &[(&str, String)]) -> String {
    const WIDTH: f64 = 440.0;
    const HEIGHT: f64 = 390.0;
    let width = WIDTH * charts.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\">\n\
         <style>text {{ font: 11px system-ui, sans-serif; fill: #222 }}</style>\n\
         <rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    for (place, (title, chart)) in charts.iter().enumerate() {
        let x = WIDTH * place as f64;
        text(&mut out, x + WIDTH / 2.0, HEIGHT - 8.0, "middle", title);
        out += &chart.replacen("<svg ", &format!("<svg x=\"{x}\" height=\"360\" "), 1);
    }
    out + "</svg>\n"
}

/// A mark for each contender: time to the right, memory upwards.
pub fn scatter(points: &[(usize, &str, f64, f64)]) -> String {
    const SIDE: f64 = 360.0;
    const EDGE: f64 = 50.0;
    let across = Axis::new(points.iter().map(|point| point.2), SIDE - EDGE);
    let up = Axis::new(points.iter().map(|point| point.3), SIDE - EDGE);
    let bottom = SIDE - EDGE + 14.0;
    let mut out = format!(
        r#"<svg viewBox="0 0 {0} {SIDE}" width="{0}">{1}"#,
        SIDE + 80.0,
        '\n'
    );
    for tick in across.ticks() {
        let x = EDGE + across.at(tick);
        line(&mut out, (x, 14.0), (x, bottom));
        text(&mut out, x, bottom + 16.0, "middle", &format!("{tick}"));
    }
    for tick in up.ticks() {
        let y = bottom - up.at(tick);
        line(&mut out, (EDGE, y), (SIDE, y));
        text(&mut out, EDGE - 6.0, y + 4.0, "end", &format!("{tick}"));
    }
    text(&mut out, SIDE / 2.0, SIDE - 6.0, "middle", "time");
    text(&mut out, 4.0, 10.0, "start", "peak memory");
    for &(index, name, time, memory) in points.iter().rev() {
        let (x, y) = (EDGE + across.at(time), bottom - up.at(memory));
        let title = format!("{name}: {time:.3} / {memory:.3}");
        mark(&mut out, index, x, y, &title);
        text(&mut out, x + 8.0, y + 4.0, "start", name);
    }
    out + "</svg>\n"
}
