//! The comparison on the terminal.

use super::results::{Cell, Results};
use super::row::Group;
use super::summary::{GroupMeans, Mean, Metric, Summary};
use crate::table::Table;

pub fn print(results: &Results, summary: &Summary) {
    for group in &summary.groups {
        rows(results, summary, group.group);
    }
    means(results, summary);
    if results
        .cells
        .iter()
        .flatten()
        .any(|cell| cell.counts.is_some())
    {
        counts(results);
    }
    list("What exceeds the noise, for bifold", &summary.claims);
    list("Rows where bifold is above its own bars", &summary.above);
    list("Failures", &failures(results));
    println!("\n{}", results.machine.line());
    for contender in &results.contenders {
        println!("{}: {}", contender.name, contender.version);
    }
}

fn heads<'a>(results: &'a Results, first: &[&'a str]) -> Vec<&'a str> {
    let names = results.contenders.iter();
    let names = names.map(|contender| contender.name.as_str());
    first.iter().copied().chain(names).collect()
}

/// Time and peak memory of every cell, relative to the row's best.
fn rows(results: &Results, summary: &Summary, group: Group) {
    let mut heads = heads(results, &["", "best s", "MiB"]);
    heads.push("spread");
    let mut table = Table::new(heads);
    let all = results.rows.iter().zip(&results.cells).zip(&summary.ratios);
    for ((row, cells), ratios) in all.filter(|((row, _), _)| row.group == group) {
        let mut line = vec![
            row.name.clone(),
            least(cells, Metric::Time).map_or_else(String::new, |time| format!("{time:.3}")),
            least(cells, Metric::Memory)
                .map_or_else(String::new, |kib| format!("{:.1}", kib / 1024.0)),
        ];
        line.extend(cells.iter().zip(ratios).map(|(cell, ratio)| match ratio {
            Some(ratio) => format!("{:.2}/{:.2}", ratio.time, ratio.memory),
            None => word(cell).to_owned(),
        }));
        line.push(format!("{:.0} %", 100.0 * median_spread(cells)));
        table.row(line);
    }
    let title = format!(
        "{}: {} / peak memory, relative to the row's best; best of {} runs",
        group.title(),
        group.measure(),
        results.settings.runs
    );
    table.print(&title);
}

fn least(cells: &[Cell], metric: Metric) -> Option<f64> {
    let figures = cells.iter().filter_map(|cell| cell.best(metric.sample()));
    figures.reduce(f64::min)
}

/// Why a cell has no figure.
pub fn word(cell: &Cell) -> &'static str {
    cell.failure.as_ref().map_or("", |failure| failure.kind)
}

/// The median over a row's cells of their spread in time.
fn median_spread(cells: &[Cell]) -> f64 {
    let mut spreads: Vec<f64> = cells
        .iter()
        .filter_map(|cell| cell.spread(Metric::Time.sample()))
        .collect();
    spreads.sort_by(f64::total_cmp);
    spreads.get(spreads.len() / 2).copied().unwrap_or(0.0)
}

fn means(results: &Results, summary: &Summary) {
    let mut table = Table::new(heads(results, &[""]));
    for group in &summary.groups {
        let mut line = vec![format!("{} {}", group.rows, group.group.title())];
        line.extend(group.means.iter().map(mean_text));
        table.row(line);
    }
    table.print("Geometric means: time / peak memory, relative to the best of each row");
    println!();
    for GroupMeans { group, noise, .. } in &summary.groups {
        println!("noise of a mean, {}: {}", group.title(), noise.text());
    }
    println!("noise of a row: {}", summary.row_noise.text());
}

/// A mean; with the rows that are missing from it, if any.
pub fn mean_text(mean: &Option<Mean>) -> String {
    let Some(Mean { ratio, missing }) = mean else {
        return "failed".to_owned();
    };
    let text = format!("{:.3} / {:.3}", ratio.time, ratio.memory);
    match missing {
        0 => text,
        _ => format!("{text} (-{missing})"),
    }
}

/// The figures that a rerun repeats.
fn counts(results: &Results) {
    let mut table = Table::new(heads(results, &["", ""]));
    for (row, cells) in results.rows.iter().zip(&results.cells) {
        let mut add = |name: &str, figure: &dyn Fn(&Cell) -> Option<f64>| {
            let figures: Vec<_> = cells.iter().map(figure).collect();
            if figures.iter().any(Option::is_some) {
                let mut line = vec![row.name.clone(), name.to_owned()];
                let text = |figure: &Option<f64>| figure.map_or_else(String::new, scaled);
                line.extend(figures.iter().map(text));
                table.row(line);
            }
        };
        add("page faults", &|cell| {
            cell.best(|sample| sample.faults as f64)
        });
        add("system calls", &|cell| {
            Some(cell.counts?.system_calls? as f64)
        });
        add("instructions", &|cell| {
            Some(cell.counts?.instructions? as f64)
        });
    }
    table.print("Counts: page faults of a run; system calls and instructions at a small scale");
}

fn scaled(figure: f64) -> String {
    match figure {
        _ if figure >= 1e7 => format!("{:.1} M", figure / 1e6),
        _ if figure >= 1e4 => format!("{:.1} k", figure / 1e3),
        _ => format!("{figure:.0}"),
    }
}

/// Every failure in a line.
pub fn failures(results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    for (row, cells) in results.rows.iter().zip(&results.cells) {
        for (cell, contender) in cells.iter().zip(&results.contenders) {
            if let Some(failure) = &cell.failure {
                let detail = failure.detail.lines().next().unwrap_or_default();
                lines.push(format!(
                    "{} under {}: {}: {detail}",
                    row.name, contender.name, failure.kind
                ));
            }
        }
    }
    lines
}

fn list(title: &str, lines: &[String]) {
    if !lines.is_empty() {
        println!("\n{title}:");
    }
    for line in lines {
        println!("  {line}");
    }
}
