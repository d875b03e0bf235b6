//! The distributions on the terminal, and what the bar says of them.

use super::child::EVENTS;
use super::row::{BAR, QUANTILES, Row};
use super::{Cell, Results};
use crate::compare::Contender;
use crate::measure::short;
use crate::table::Table;

/// Prints a table for each row and the verdicts; whether bifold meets them all.
pub fn print(results: &Results, rows: &[&Row]) -> bool {
    for (row, cells) in rows.iter().zip(&results.cells) {
        row_table(results, row, cells);
    }
    let mut table = Table::new(["", "", "bifold", "best peer", "", "ratio", "noise", ""]);
    let mut met = true;
    for (event, name) in EVENTS.iter().enumerate().take(2) {
        let floor = median(&noises(results, event));
        for (row, cells) in rows.iter().zip(&results.cells) {
            let noise = noise(&results.contenders, cells, event).unwrap_or(0.0);
            let line = verdict(&results.contenders, cells, event, noise.max(floor));
            met &= line.as_ref().is_some_and(|line| line.is_met);
            let mut text = vec![row.name.to_owned(), (*name).to_owned()];
            text.extend(line.map_or_else(|| vec!["failed".to_owned()], |line| line.cells()));
            table.row(text);
        }
    }
    let title = QUANTILES[BAR].1;
    table.print(&format!(
        "Bar: {title} no worse than the best peer's, by more than the noise"
    ));
    println!(
        "\nnoise: how far bifold is from itself under another name, in the row, and at least in \
         the median of all"
    );
    println!("\n{}", results.machine.line());
    for contender in &results.contenders {
        println!("{}: {}", contender.name, contender.version);
    }
    met
}

fn row_table(results: &Results, row: &Row, cells: &[Cell]) {
    let mut heads = vec![String::new()];
    for name in &EVENTS[..2] {
        let quantiles = QUANTILES.iter().map(|(_, title)| format!("{name} {title}"));
        heads.extend(quantiles);
        heads.push("spread".to_owned());
    }
    let mut table = Table::new(heads);
    for (contender, cell) in results.contenders.iter().zip(cells) {
        let mut line = vec![contender.name.clone()];
        match &cell.failure {
            Some(failure) => line.push(failure.lines().next().unwrap_or("failed").to_owned()),
            None => {
                for quantiles in &cell.events[..2] {
                    line.extend(quantiles.iter().map(|values| short(median(values))));
                    line.push(format!("{:.0} %", 100.0 * spread(&quantiles[BAR])));
                }
            }
        }
        table.row(line);
    }
    table.print(&format!(
        "{}: {}; ns, medians of {} runs of some {} mallocs each; spread: of {} over the runs",
        row.name,
        row.about,
        results.runs,
        row.threads() * row.steps(results.quick) / 2,
        QUANTILES[BAR].1
    ));
    // What is not the allocator's is the same for all: the least of it is the price
    // of the clock, the rest is the machine's.
    let nothing: Vec<String> = (0..QUANTILES.len())
        .map(|quantile| {
            let times: Vec<f64> = cells
                .iter()
                .flat_map(|cell| &cell.events[2][quantile])
                .copied()
                .collect();
            format!("{} {}", QUANTILES[quantile].1, short(median(&times)))
        })
        .collect();
    println!(
        "  of which the clock, timing nothing: {}",
        nothing.join(", ")
    );
}

/// A line of the verdicts.
#[derive(Debug)]
struct Line {
    own: f64,
    best: f64,
    name: String,
    noise: f64,
    is_met: bool,
}

impl Line {
    fn cells(&self) -> Vec<String> {
        vec![
            short(self.own),
            short(self.best),
            self.name.clone(),
            format!("{:.2}", self.own / self.best),
            format!("{:.0} %", 100.0 * self.noise),
            if self.is_met { "ok" } else { "MISS" }.to_owned(),
        ]
    }
}

/// bifold, which is the first, beside the best of the others.
fn verdict(contenders: &[Contender], cells: &[Cell], event: usize, noise: f64) -> Option<Line> {
    let own = figure(cells.first()?, event)?;
    let others = contenders.iter().zip(cells).skip(1);
    let (name, best) = others
        .filter(|(contender, _)| contender.again.is_none())
        .filter_map(|(contender, cell)| Some((contender.name.clone(), figure(cell, event)?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or_else(|| ("none".to_owned(), own));
    Some(Line {
        own,
        best,
        name,
        noise,
        is_met: own <= best * (1.0 + noise),
    })
}

/// How far the null arm is from the original, in each row that both have.
fn noises(results: &Results, event: usize) -> Vec<f64> {
    let rows = results.cells.iter();
    rows.filter_map(|cells| noise(&results.contenders, cells, event))
        .collect()
}

/// The same in one row.
fn noise(contenders: &[Contender], cells: &[Cell], event: usize) -> Option<f64> {
    let mut all = contenders.iter().enumerate();
    let (again, base) = all.find_map(|(again, contender)| Some((again, contender.again?)))?;
    let figure = |arm: usize| figure(&cells[arm], event);
    Some((figure(again)? / figure(base)?).ln().abs().exp_m1())
}

/// The bar's quantile of a cell that did not fail.
fn figure(cell: &Cell, event: usize) -> Option<f64> {
    match cell.failure {
        Some(_) => None,
        None => Some(median(&cell.events[event][BAR])),
    }
}

/// The median; of an even number the mean of the middle two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count => (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
    }
}

/// How far the worst run is above the best.
pub fn spread(values: &[f64]) -> f64 {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    most / least - 1.0
}

#[cfg(test)]
mod tests {
    use super::{Cell, Contender, median, noise, spread, verdict};

    fn cell(bar: &[f64]) -> Cell {
        let quantiles = vec![vec![1.0], vec![1.0], bar.to_vec(), vec![1.0]];
        Cell {
            events: vec![quantiles; 3],
            failure: None,
        }
    }

    #[test]
    fn medians_and_spreads() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(spread(&[2.0, 3.0]), 0.5);
    }

    #[test]
    fn the_bar_is_the_best_peer_and_not_the_null_arm() {
        let named = |name: &str, again| {
            let mut contender = Contender::new(name, String::new(), None);
            contender.again = again;
            contender
        };
        let contenders = [
            named("bifold", None),
            named("a", None),
            named("b", None),
            named("bifold again", Some(0)),
        ];
        let mut cells = [cell(&[105.0]), cell(&[100.0]), cell(&[200.0]), cell(&[1.0])];
        let line = verdict(&contenders, &cells, 0, 0.0).expect("bifold ran");
        assert_eq!((line.name.as_str(), line.is_met), ("a", false));
        let line = verdict(&contenders, &cells, 0, 0.06).expect("bifold ran");
        assert!(line.is_met);
        let noise = noise(&contenders, &cells, 0).expect("both arms ran");
        assert!((noise - 104.0).abs() < 1e-9);
        cells[1].failure = Some("crash".to_owned());
        let line = verdict(&contenders, &cells, 0, 0.0).expect("bifold ran");
        assert_eq!((line.name.as_str(), line.is_met), ("b", true));
    }
}
