//! The noise floor: how far an allocator is from itself under another name.

use serde::Serialize;

use super::results::Results;
use super::summary::{Both, Metric};

/// Fewer rows than this may be near to themselves by luck.
const FEWEST_ROWS: usize = 3;

/// The floor, as a share: 0.03 is 3 %. None without enough rows in which the
/// null arm ran.
#[derive(Clone, Copy, Serialize)]
pub struct Noise {
    pub time: Option<f64>,
    pub memory: Option<f64>,
}

impl Noise {
    pub fn of(self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Time => self.time,
            Metric::Memory => self.memory,
        }
    }

    pub fn text(self) -> String {
        let share = |floor: Option<f64>| match floor {
            Some(floor) => format!("{:.1} %", 100.0 * floor),
            None => "unknown".to_owned(),
        };
        format!("time {}, memory {}", share(self.time), share(self.memory))
    }
}

/// For a figure of one row: 19 of 20 rows are nearer to themselves.
pub fn of_row(results: &Results, ratios: &[Vec<Option<Both>>]) -> Noise {
    let rows: Vec<_> = ratios.iter().collect();
    both(results, &rows, |logs| {
        let mut sizes: Vec<f64> = logs.iter().map(|log| log.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let rank = (0.95 * sizes.len() as f64).ceil() as usize;
        sizes[rank.max(1) - 1]
    })
}

/// For a mean over these rows: two standard errors, or the difference that was
/// seen if that is more.
pub fn of_mean(results: &Results, rows: &[&Vec<Option<Both>>]) -> Noise {
    both(results, rows, |logs| {
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let squares: f64 = logs.iter().map(|log| log * log).sum();
        (2.0 * squares.sqrt() / count).max(mean.abs())
    })
}

fn both(results: &Results, rows: &[&Vec<Option<Both>>], floor: fn(&[f64]) -> f64) -> Noise {
    let of = |metric| {
        let logs = logs(results, rows, metric)?;
        (logs.len() >= FEWEST_ROWS).then(|| floor(&logs).exp_m1())
    };
    Noise {
        time: of(Metric::Time),
        memory: of(Metric::Memory),
    }
}

/// The logarithms of the null arm's figures over the original's.
fn logs(results: &Results, rows: &[&Vec<Option<Both>>], metric: Metric) -> Option<Vec<f64>> {
    let mut pairs = results.contenders.iter().enumerate();
    let (again, base) = pairs.find_map(|(again, contender)| Some((again, contender.again?)))?;
    let log = |row: &&Vec<Option<Both>>| {
        let (again, base) = (row[again]?, row[base]?);
        Some((metric.of(again) / metric.of(base)).ln())
    };
    Some(rows.iter().filter_map(log).collect())
}
