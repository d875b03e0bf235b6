//! The comparison as a page that needs nothing beside it.

use super::results::{Cell, Results};
use super::row::Group;
use super::summary::{GroupMeans, Metric, Summary};
use super::svg::{self, escape};
use super::terminal;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em;
  color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px }
th, td { padding: 2px 8px; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
td.bad { color: #b00 }
svg { max-width: 100%; height: auto; vertical-align: middle }
svg text { font: 11px system-ui, sans-serif; fill: #222 }
.wide { overflow-x: auto }
.key span { margin-right: 1.2em; white-space: nowrap }
figure { display: inline-block; margin: 0 1em 1em 0 }
";

pub fn html(results: &Results, summary: &Summary) -> String {
    let mut page = Page(format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>bifold beside its peers</title>\n<style>{STYLE}</style>\n\
         <h1>bifold beside its peers</h1>\n"
    ));
    page.facts(results, summary);
    page.means(results, summary);
    page.charts(results, summary);
    page.figures(results, summary);
    page.0 + "</html>\n"
}

/// The size-time charts of all groups as one picture that needs nothing beside it.
pub fn picture(results: &Results, summary: &Summary) -> String {
    let charts: Vec<_> = summary
        .groups
        .iter()
        .map(|group| (group.group.title(), scatter(results, group)))
        .collect();
    svg::side_by_side(&charts)
}

/// Every allocator's mean time and peak memory over a group's rows.
fn scatter(results: &Results, group: &GroupMeans) -> String {
    let names: Vec<&str> = names(results).collect();
    let points: Vec<_> = shown(results)
        .filter_map(|index| {
            let ratio = group.means[index]?.ratio;
            Some((index, names[index], ratio.time, ratio.memory))
        })
        .collect();
    svg::scatter(&points)
}

struct Page(String);

impl Page {
    fn add(&mut self, text: &str) {
        self.0 += text;
    }

    fn heading(&mut self, text: &str) {
        self.add(&format!("<h2>{}</h2>\n", escape(text)));
    }

    fn paragraph(&mut self, text: &str) {
        self.add(&format!("<p>{}</p>\n", escape(text)));
    }

    fn list(&mut self, title: &str, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        self.heading(title);
        let items = lines
            .iter()
            .map(|line| format!("<li>{}</li>\n", escape(line)));
        let items: String = items.collect();
        self.add(&format!("<ul>\n{items}</ul>\n"));
    }

    fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) {
        let cell = |tag: &str, text: &str| format!("<{tag}>{}</{tag}>", escape(text));
        let heads: String = heads.iter().map(|head| cell("th", head)).collect();
        self.add(&format!("<div class=\"wide\"><table>\n<tr>{heads}</tr>\n"));
        for row in rows {
            let cells: String = row.iter().map(|text| cell("td", text)).collect();
            self.add(&format!("<tr>{cells}</tr>\n"));
        }
        self.add("</table></div>\n");
    }

    fn facts(&mut self, results: &Results, summary: &Summary) {
        let settings = &results.settings;
        self.paragraph(&results.machine.line());
        self.paragraph(&format!(
            "{} runs of each{}, in random order from seed {}; the best counts. Figures are \
             relative to the best allocator of each row; lower is better.",
            settings.runs,
            if settings.quick { ", small scales" } else { "" },
            settings.seed
        ));
        self.paragraph(&format!("Noise of a row: {}.", summary.row_noise.text()));
        let versions: Vec<Vec<String>> = results
            .contenders
            .iter()
            .map(|contender| vec![contender.name.clone(), contender.version.clone()])
            .collect();
        self.table(&["allocator", "version"], &versions);
    }

    fn means(&mut self, results: &Results, summary: &Summary) {
        self.heading("Geometric means: time / peak memory");
        let mut heads = vec![""];
        heads.extend(names(results));
        heads.push("noise");
        let rows: Vec<Vec<String>> = summary
            .groups
            .iter()
            .map(|group| {
                let mut line = vec![format!("{} {}", group.rows, group.group.title())];
                line.extend(group.means.iter().map(terminal::mean_text));
                line.push(group.noise.text());
                line
            })
            .collect();
        self.table(&heads, &rows);
        self.list("What exceeds the noise, for bifold", &summary.claims);
        self.list("Rows where bifold is above its own bars", &summary.above);
        self.list("Failures", &terminal::failures(results));
    }

    fn charts(&mut self, results: &Results, summary: &Summary) {
        let names: Vec<&str> = names(results).collect();
        self.heading("Size and time");
        for group in &summary.groups {
            let caption = group.group.title();
            let chart = scatter(results, group);
            let figure = format!("<figure>{chart}<figcaption>{caption}</figcaption></figure>\n");
            self.add(&figure);
        }
        for metric in Metric::ALL {
            self.heading(&format!("{}, relative to the row's best", metric.name()));
            let keys = shown(results)
                .map(|index| format!("<span>{} {}</span>", svg::legend_mark(index), names[index]));
            let keys: String = keys.collect();
            self.add(&format!("<p class=\"key\">{keys}</p>\n"));
            let rows: Vec<_> = results
                .rows
                .iter()
                .zip(&summary.ratios)
                .map(|(row, ratios)| {
                    let ratios = shown(results).map(|index| Some(metric.of(ratios[index]?)));
                    (row.name.as_str(), ratios.collect())
                })
                .collect();
            self.add(&svg::dots(&rows, &names));
        }
    }

    /// Every best figure with its spread.
    fn figures(&mut self, results: &Results, summary: &Summary) {
        let mut heads = vec![""];
        heads.extend(names(results));
        for group in &summary.groups {
            let of_group = || {
                let all = results.rows.iter().zip(&results.cells);
                all.filter(|(row, _)| row.group == group.group)
            };
            let mut section = |title: &str, text: fn(&Cell) -> String| {
                self.heading(&format!("{}: {title}", group.group.title()));
                let rows: Vec<Vec<String>> = of_group()
                    .map(|(row, cells)| {
                        let mut line = vec![row.name.clone()];
                        line.extend(cells.iter().map(text));
                        line
                    })
                    .collect();
                self.table(&heads, &rows);
            };
            let time = format!("{} in seconds, and spread", group.group.measure());
            section(&time, |cell| figure(cell, Metric::Time, 1.0, 3));
            section("peak memory in MiB, and spread", |cell| {
                figure(cell, Metric::Memory, 1.0 / 1024.0, 1)
            });
            if group.group != Group::Programs {
                section("CPU time of the whole process in seconds", |cell| {
                    let cpu = cell.best(|sample| sample.cpu);
                    cpu.map_or_else(String::new, |cpu| format!("{cpu:.3}"))
                });
            }
            section("page faults", |cell| {
                let faults = cell.best(|sample| sample.faults as f64);
                faults.map_or_else(String::new, |faults| format!("{faults:.0}"))
            });
            if of_group().any(|(_, cells)| cells.iter().any(|cell| cell.counts.is_some())) {
                section("system calls", |cell| {
                    count(cell.counts.and_then(|counts| counts.system_calls))
                });
                section("instructions at a small scale", |cell| {
                    count(cell.counts.and_then(|counts| counts.instructions))
                });
            }
        }
    }
}

fn names(results: &Results) -> impl Iterator<Item = &str> {
    let contenders = results.contenders.iter();
    contenders.map(|contender| contender.name.as_str())
}

/// The contenders that charts show: all but the null arm.
fn shown(results: &Results) -> impl Iterator<Item = usize> {
    let contenders = results.contenders.iter().enumerate();
    contenders
        .filter(|(_, contender)| contender.again.is_none())
        .map(|(index, _)| index)
}

fn figure(cell: &Cell, metric: Metric, unit: f64, digits: usize) -> String {
    let figure = metric.sample();
    match (cell.best(figure), cell.spread(figure)) {
        (Some(best), Some(spread)) => {
            format!("{:.digits$} +{:.0} %", best * unit, 100.0 * spread)
        }
        _ => terminal::word(cell).to_owned(),
    }
}

fn count(figure: Option<u64>) -> String {
    figure.map_or_else(String::new, |figure| figure.to_string())
}
