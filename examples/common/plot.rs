//! Plots: panels of lines or bars in a grid, with one legend below.

use std::ops::Range;
use std::path::Path;

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::{
    Circle, DrawingArea, DrawingBackend, IntoDrawingArea, IntoFont, LineSeries, RGBColor,
    Rectangle, SVGBackend, Text, WHITE,
};
use plotters::style::{Color, IntoTextStyle};

use super::{Options, Outcome};

/// Colours that colour-blind readers can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
    RGBColor(160, 160, 160),
];

const PANEL: (u32, u32) = (470, 300);
const TITLE: u32 = 34;
const LEGEND_LINE: u32 = 22;
const LEGEND_COLUMN: u32 = 235;
/// Lines of more points have no marks: they would be all that one sees.
const MARKED: usize = 12;
const FONT: &str = "sans-serif";

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

/// An axis: its range, and what is written where.
#[derive(Clone, Debug)]
pub struct Axis {
    label: String,
    range: Range<f64>,
    ticks: Vec<(f64, String)>,
    scale: Scale,
}

impl Axis {
    /// From 0 to at least `highest`, with ticks at round figures.
    pub fn linear(label: &str, highest: f64) -> Self {
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let rough = highest / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let count = (highest / step).ceil() as u32;
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let tick = |k| {
            let value = f64::from(k) * step;
            (value, format!("{value:.digits$}"))
        };
        Self {
            label: label.to_owned(),
            range: 0.0..f64::from(count) * step,
            ticks: (0..=count).map(tick).collect(),
            scale: Scale::Linear,
        }
    }

    /// By powers of `base` that enclose `lowest` and `highest`, both above 0.
    pub fn log(
        label: &str,
        base: f64,
        lowest: f64,
        highest: f64,
        format: impl Fn(f64) -> String,
    ) -> Self {
        let first = (lowest.log(base) + 1e-9).floor() as i32;
        let last = ((highest.log(base) - 1e-9).ceil() as i32).max(first + 1);
        let tick = |power| {
            let value = base.powi(power);
            (value, format(value))
        };
        Self {
            label: label.to_owned(),
            range: base.powi(first)..base.powi(last),
            ticks: (first..=last).map(tick).collect(),
            scale: Scale::Log,
        }
    }

    /// A place for each name: 0.5, 1.5 and so on.
    pub fn names<S: Into<String>>(label: &str, names: impl IntoIterator<Item = S>) -> Self {
        let place = |(k, name): (usize, S)| (k as f64 + 0.5, name.into());
        let ticks: Vec<_> = names.into_iter().enumerate().map(place).collect();
        Self {
            label: label.to_owned(),
            range: 0.0..ticks.len() as f64,
            ticks,
            scale: Scale::Linear,
        }
    }

    /// The nearest value that the axis has.
    fn clamp(&self, value: f64) -> f64 {
        value.clamp(self.range.start, self.range.end)
    }

    fn name_of(&self, value: f64) -> String {
        let near = |tick: &&(f64, String)| (tick.0 - value).abs() <= value.abs() * 1e-9;
        self.ticks
            .iter()
            .find(near)
            .map_or(String::new(), |(_, name)| name.clone())
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let place = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.ln(),
        };
        let (start, end) = (place(self.range.start), place(self.range.end));
        let share = (place(self.clamp(*value)) - start) / (end - start);
        low + (share * f64::from(high - low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|(value, _)| *value).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.name_of(*value)
    }
}

/// What is drawn of a series.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A line through points; of a few, with a mark at each.
    Line(Vec<(f64, f64)>),
    /// Bars: from, to, bottom, top.
    Bars(Vec<[f64; 4]>),
}

/// A series: what it is called in the legend, and its colour by number.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub colour: usize,
    pub shape: Shape,
}

impl Series {
    pub fn new(name: &str, colour: usize, shape: Shape) -> Self {
        Self {
            name: name.to_owned(),
            colour,
            shape,
        }
    }

    fn colour(&self) -> RGBColor {
        COLOURS[self.colour % COLOURS.len()]
    }
}

/// A chart in the grid.
#[derive(Clone, Debug)]
pub struct Panel {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

/// Writes the plot of an experiment, two panels in a row, and says where.
pub fn write(options: &Options, name: &str, title: &str, panels: &[Panel]) -> Outcome<()> {
    let path = options.plot(name)?;
    draw(&path, title, panels).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("\nplot: {}", path.display());
    Ok(())
}

/// A failure of the backend, whatever its type.
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(path: &Path, title: &str, panels: &[Panel]) -> Drawn {
    let columns = panels.len().min(2);
    let rows = panels.len().div_ceil(columns.max(1));
    let legend = legend_of(panels);
    // One panel alone is as wide as two.
    let width = 2 * PANEL.0;
    let legend_columns = (width / LEGEND_COLUMN).max(1) as usize;
    let legend_height = legend.len().div_ceil(legend_columns) as u32 * LEGEND_LINE + 8;
    let height = TITLE + rows as u32 * PANEL.1 + legend_height;
    let root = SVGBackend::new(path, (width, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let style = (FONT, 20).into_font().into_text_style(&root);
    root.draw(&Text::new(title.to_owned(), (12, 8), style))?;
    let (_, below) = root.split_vertically(TITLE);
    let (grid, bottom) = below.split_vertically(rows as u32 * PANEL.1);
    for (panel, area) in panels.iter().zip(grid.split_evenly((rows, columns))) {
        draw_panel(panel, &area)?;
    }
    for (k, series) in legend.into_iter().enumerate() {
        let x = (k % legend_columns) as i32 * LEGEND_COLUMN as i32 + 16;
        let y = (k / legend_columns) as i32 * LEGEND_LINE as i32 + 2;
        let mark = [(x, y + 2), (x + 14, y + 14)];
        bottom.draw(&Rectangle::new(mark, series.colour().filled()))?;
        let style = (FONT, 15).into_font().into_text_style(&bottom);
        bottom.draw(&Text::new(series.name.clone(), (x + 20, y), style))?;
    }
    root.present()?;
    Ok(())
}

/// The series that the legend names: each name once.
fn legend_of(panels: &[Panel]) -> Vec<&Series> {
    let mut legend: Vec<&Series> = Vec::new();
    for series in panels.iter().flat_map(|panel| &panel.series) {
        if !legend.iter().any(|other| other.name == series.name) {
            legend.push(series);
        }
    }
    legend
}

fn draw_panel<B: DrawingBackend>(panel: &Panel, area: &DrawingArea<B, Shift>) -> Drawn
where
    B::ErrorType: 'static,
{
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(22)
        .caption(&panel.title, (FONT, 16))
        .x_label_area_size(40)
        .y_label_area_size(62)
        .build_cartesian_2d(panel.x.clone(), panel.y.clone())?;
    chart
        .configure_mesh()
        .bold_line_style(RGBColor(225, 225, 225))
        .x_labels(panel.x.ticks.len())
        .y_labels(panel.y.ticks.len())
        .x_desc(&panel.x.label)
        .y_desc(&panel.y.label)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .draw()?;
    for (k, series) in panel.series.iter().enumerate() {
        // Lines that lie on each other are all to be seen: the first are wider.
        let further = (panel.series.len() - 1 - k) as u32;
        let style = series.colour().stroke_width(2 + (2 * further).min(8));
        match &series.shape {
            Shape::Line(points) => {
                chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
                let mark = |point: &(f64, f64)| Circle::new(*point, 2, series.colour().filled());
                if points.len() <= MARKED {
                    chart.draw_series(points.iter().map(mark))?;
                }
            }
            Shape::Bars(bars) => {
                let bar = |&[from, to, bottom, top]: &[f64; 4]| {
                    let bottom = panel.y.clamp(bottom);
                    Rectangle::new([(from, bottom), (to, top)], series.colour().filled())
                };
                chart.draw_series(bars.iter().map(bar))?;
            }
        }
    }
    Ok(())
}
