//! Throughput, peak memory and counts on the terminal.

use super::counts::Line;
use super::row::Step;
use crate::compare::{Cell, Contender, Results, word};
use crate::measure::short;
use crate::table::Table;

/// A table of throughput and one of peak memory for each workload.
pub fn print(results: &Results, plan: &[Step]) {
    let mut names: Vec<&str> = plan.iter().map(|step| step.workload.name).collect();
    names.dedup();
    for name in names {
        let steps = || {
            let all = plan.iter().zip(&results.cells);
            all.filter(|(step, _)| step.workload.name == name)
        };
        let mut speed = Table::new(heads(results, &["threads", "of the best", "spread"]));
        let mut memory = Table::new(heads(results, &["threads", "of the best"]));
        for (step, cells) in steps() {
            let blocks = step.blocks() as f64;
            let speeds = figures(cells, |cell| {
                cell.best(|sample| sample.seconds)
                    .map(|time| blocks / time / 1e6)
            });
            let peaks = figures(cells, |cell| {
                cell.best(|sample| sample.peak_kib as f64 / 1024.0)
            });
            let mut line = vec![
                step.threads.to_string(),
                of_best(results, &speeds, f64::max),
                format!("{:.0} %", 100.0 * median_spread(cells)),
            ];
            line.extend(texts(cells, &speeds));
            speed.row(line);
            let mut line = vec![step.threads.to_string(), of_best(results, &peaks, f64::min)];
            line.extend(texts(cells, &peaks));
            memory.row(line);
        }
        let runs = results.settings.runs;
        speed.print(&format!(
            "{name}: million blocks a second, best of {runs} runs"
        ));
        memory.print(&format!("{name}: peak memory, MiB"));
    }
}

fn heads<'a>(results: &'a Results, first: &[&'a str]) -> Vec<&'a str> {
    let names = results.contenders.iter();
    let names = names.map(|contender| contender.name.as_str());
    first.iter().copied().chain(names).collect()
}

fn figures(cells: &[Cell], figure: impl Fn(&Cell) -> Option<f64>) -> Vec<Option<f64>> {
    cells.iter().map(figure).collect()
}

fn texts(cells: &[Cell], figures: &[Option<f64>]) -> Vec<String> {
    let both = cells.iter().zip(figures);
    both.map(|(cell, figure)| figure.map_or_else(|| word(cell).to_owned(), short))
        .collect()
}

/// bifold's figure relative to the best peer's.
fn of_best(results: &Results, figures: &[Option<f64>], best: fn(f64, f64) -> f64) -> String {
    let all = || results.contenders.iter().zip(figures);
    let own = all().find(|(contender, _)| contender.name == "bifold");
    let peers = all()
        .filter(|(contender, _)| contender.name != "bifold" && contender.again.is_none())
        .filter_map(|(_, figure)| *figure);
    match (own.and_then(|(_, figure)| *figure), peers.reduce(best)) {
        (Some(own), Some(best)) => format!("{:.2}", own / best),
        _ => String::new(),
    }
}

fn median_spread(cells: &[Cell]) -> f64 {
    let spreads = cells
        .iter()
        .filter_map(|cell| cell.spread(|sample| sample.seconds));
    let mut spreads: Vec<f64> = spreads.collect();
    spreads.sort_by(f64::total_cmp);
    spreads.get(spreads.len() / 2).copied().unwrap_or(0.0)
}

/// bifold's counts with their places, and the peers' beside them if there are any.
pub fn print_counts(lines: &[Line], contenders: &[Contender]) {
    let own = || lines.iter().filter(|line| line.contender == "bifold");
    if own().next().is_none() {
        return;
    }
    let mut table = Table::new([
        "",
        "blocks",
        "atomic steps / block",
        "locks / 1,000",
        "waits / million",
        "system calls / million",
    ]);
    let text = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), short);
    for line in own() {
        table.row(vec![
            line.row.clone(),
            line.blocks.to_string(),
            text(line.atomics),
            text(line.locks),
            text(line.waits),
            text(line.calls),
        ]);
    }
    table.print("bifold: what its threads do to each other, start and end included");
    println!("\nWhere the atomic steps are, for 1,000 blocks:");
    for line in own() {
        for (place, count) in &line.sites {
            println!("  {:14} {:>8}  {place}", line.row, short(*count));
        }
    }
    if lines.iter().any(|line| line.contender != "bifold") {
        peers(lines, contenders, "Atomic steps, for a block", |line| {
            line.atomics
        });
        peers(lines, contenders, "Waits, for a million blocks", |line| {
            line.waits
        });
        peers(
            lines,
            contenders,
            "System calls, for a million blocks",
            |line| line.calls,
        );
    }
    for line in lines {
        for failure in &line.failures {
            let failure = failure.lines().next().unwrap_or_default();
            println!("  {} under {}: {failure}", line.row, line.contender);
        }
    }
}

fn peers(lines: &[Line], contenders: &[Contender], title: &str, figure: fn(&Line) -> Option<f64>) {
    let names: Vec<&str> = contenders
        .iter()
        .filter(|contender| contender.again.is_none())
        .map(|contender| contender.name.as_str())
        .collect();
    let mut table = Table::new([""].into_iter().chain(names.iter().copied()));
    let mut rows: Vec<&str> = lines.iter().map(|line| line.row.as_str()).collect();
    rows.dedup();
    for row in rows {
        let cells = names.iter().map(|name| {
            let line = lines
                .iter()
                .find(|line| line.row == row && line.contender == **name);
            line.and_then(figure).map_or_else(|| "-".to_owned(), short)
        });
        table.row([row.to_owned()].into_iter().chain(cells).collect());
    }
    table.print(title);
}
