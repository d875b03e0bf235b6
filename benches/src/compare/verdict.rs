//! What may be said of the figures: only what exceeds the noise.

use super::results::Results;
use super::summary::{GroupMeans, Metric, Summary, geometric};

/// What this library is called.
const OWN: &str = "bifold";

/// How far above the lowest peak memory a row may be, by the project's own bar.
const MEMORY_BAR: f64 = 1.25;

/// bifold against each other contender, a group and a metric at a time.
pub fn claims(results: &Results, summary: &Summary) -> Vec<String> {
    let Some(own) = results.index(OWN) else {
        return Vec::new();
    };
    let mut claims = Vec::new();
    for group in &summary.groups {
        for metric in Metric::ALL {
            claims.push(format!(
                "{}, {}: {}",
                group.group.title(),
                metric.name(),
                claim(results, summary, group, own, metric)
            ));
        }
    }
    claims
}

fn claim(
    results: &Results,
    summary: &Summary,
    group: &GroupMeans,
    own: usize,
    metric: Metric,
) -> String {
    let Some(floor) = group.noise.of(metric) else {
        return "too few rows to tell the noise".to_owned();
    };
    let (mut ahead, mut level, mut behind) = (Vec::new(), Vec::new(), Vec::new());
    for (other, contender) in results.contenders.iter().enumerate() {
        if other == own || contender.again.is_some() {
            continue;
        }
        let Some(ratio) = against(results, summary, group, own, other, metric) else {
            continue;
        };
        let percent = 100.0 * (ratio - 1.0).abs();
        if ratio.ln().abs() <= floor.ln_1p() {
            level.push(contender.name.clone());
        } else if ratio < 1.0 {
            ahead.push(format!("{} ({percent:.1} %)", contender.name));
        } else {
            behind.push(format!("{} ({percent:.1} %)", contender.name));
        }
    }
    let parts = [
        ("ahead of", ahead),
        ("level with", level),
        ("behind", behind),
    ];
    let texts: Vec<String> = parts
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(word, names)| format!("{word} {}", names.join(", ")))
        .collect();
    texts.join("; ")
}

/// The mean of one contender over another's, in the rows that both have.
fn against(
    results: &Results,
    summary: &Summary,
    group: &GroupMeans,
    own: usize,
    other: usize,
    metric: Metric,
) -> Option<f64> {
    let ratios: Vec<f64> = results
        .rows
        .iter()
        .zip(&summary.ratios)
        .filter(|(row, _)| row.group == group.group)
        .filter_map(|(_, ratios)| Some(metric.of(ratios[own]?) / metric.of(ratios[other]?)))
        .collect();
    (!ratios.is_empty()).then(|| geometric(ratios.into_iter()))
}

/// The rows in which bifold is above its own bars by more than the noise.
pub fn above_bars(results: &Results, summary: &Summary) -> Vec<String> {
    let Some(own) = results.index(OWN) else {
        return Vec::new();
    };
    let mut above = Vec::new();
    for (row, ratios) in results.rows.iter().zip(&summary.ratios) {
        let Some(ratio) = ratios[own] else { continue };
        for metric in Metric::ALL {
            let bar = match metric {
                Metric::Time => row.group.time_bar(),
                Metric::Memory => MEMORY_BAR,
            };
            let Some(floor) = summary.row_noise.of(metric) else {
                continue;
            };
            if metric.of(ratio) > bar * (1.0 + floor) {
                let best = best_name(results, ratios, metric);
                above.push(format!(
                    "{}: {} {:.2} x {best}'s, bar {bar:.2}",
                    row.name,
                    metric.name(),
                    metric.of(ratio)
                ));
            }
        }
    }
    above
}

fn best_name<'a>(
    results: &'a Results,
    ratios: &[Option<super::summary::Both>],
    metric: Metric,
) -> &'a str {
    results
        .contenders
        .iter()
        .zip(ratios)
        .filter(|(contender, _)| contender.again.is_none())
        .filter_map(|(contender, ratio)| Some((contender, metric.of((*ratio)?))))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or("", |(contender, _)| &contender.name)
}
