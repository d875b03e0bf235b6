//! Ratios to the best of each row, and their geometric means.

use serde::Serialize;

use super::noise::{self, Noise};
use super::results::{Cell, Results, Sample};
use super::row::Group;
use super::verdict;

/// A figure for time, and one for peak memory.
#[derive(Clone, Copy, Serialize)]
pub struct Both {
    pub time: f64,
    pub memory: f64,
}

/// One of the two.
#[derive(Clone, Copy)]
pub enum Metric {
    Time,
    Memory,
}

impl Metric {
    pub const ALL: [Self; 2] = [Self::Time, Self::Memory];

    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Memory => "peak memory",
        }
    }

    pub fn of(self, both: Both) -> f64 {
        match self {
            Self::Time => both.time,
            Self::Memory => both.memory,
        }
    }

    pub fn sample(self) -> fn(&Sample) -> f64 {
        match self {
            Self::Time => |sample| sample.seconds,
            Self::Memory => |sample| sample.peak_kib as f64,
        }
    }
}

/// A contender's geometric mean over a group.
#[derive(Clone, Copy, Serialize)]
pub struct Mean {
    #[serde(flatten)]
    pub ratio: Both,
    /// The rows that it failed; they are not in the mean.
    pub missing: usize,
}

#[derive(Serialize)]
pub struct GroupMeans {
    pub group: Group,
    pub rows: usize,
    /// By contender; none for one that failed every row.
    pub means: Vec<Option<Mean>>,
    /// What a difference between two of the means has to exceed.
    pub noise: Noise,
}

#[derive(Serialize)]
pub struct Summary {
    /// By row, then by contender: relative to the row's best.
    pub ratios: Vec<Vec<Option<Both>>>,
    pub groups: Vec<GroupMeans>,
    /// What a difference within a row has to exceed.
    pub row_noise: Noise,
    pub claims: Vec<String>,
    /// Where bifold is above its own bars.
    pub above: Vec<String>,
}

impl Summary {
    pub fn of(results: &Results) -> Self {
        let ratios: Vec<_> = results
            .cells
            .iter()
            .map(|cells| relative(results, cells))
            .collect();
        let groups: Vec<_> = Group::ALL
            .into_iter()
            .filter_map(|group| means(results, &ratios, group))
            .collect();
        let mut summary = Self {
            row_noise: noise::of_row(results, &ratios),
            ratios,
            groups,
            claims: Vec::new(),
            above: Vec::new(),
        };
        summary.claims = verdict::claims(results, &summary);
        summary.above = verdict::above_bars(results, &summary);
        summary
    }
}

fn best(cell: &Cell) -> Option<Both> {
    Some(Both {
        time: cell.best(Metric::Time.sample())?,
        memory: cell.best(Metric::Memory.sample())?,
    })
}

/// Each cell relative to the least of the row. The null arm does not set it:
/// two tries would favour the allocator that has them.
fn relative(results: &Results, cells: &[Cell]) -> Vec<Option<Both>> {
    let figures: Vec<_> = cells.iter().map(best).collect();
    let least = |metric: Metric| {
        figures
            .iter()
            .zip(&results.contenders)
            .filter(|(_, contender)| contender.again.is_none())
            .filter_map(|(figure, _)| figure.map(|figure| metric.of(figure)))
            .fold(f64::INFINITY, f64::min)
    };
    let (time, memory) = (least(Metric::Time), least(Metric::Memory));
    let ratio = |figure: Both| Both {
        time: figure.time / time,
        memory: figure.memory / memory,
    };
    figures.iter().map(|figure| figure.map(ratio)).collect()
}

fn means(results: &Results, ratios: &[Vec<Option<Both>>], group: Group) -> Option<GroupMeans> {
    let rows: Vec<&Vec<Option<Both>>> = results
        .rows
        .iter()
        .zip(ratios)
        .filter(|(row, _)| row.group == group)
        .map(|(_, ratios)| ratios)
        .collect();
    if rows.is_empty() {
        return None;
    }
    let mean = |contender: usize| {
        let own: Vec<Both> = rows.iter().filter_map(|row| row[contender]).collect();
        let over = |metric: Metric| geometric(own.iter().map(|&both| metric.of(both)));
        (!own.is_empty()).then(|| Mean {
            ratio: Both {
                time: over(Metric::Time),
                memory: over(Metric::Memory),
            },
            missing: rows.len() - own.len(),
        })
    };
    Some(GroupMeans {
        group,
        rows: rows.len(),
        means: (0..results.contenders.len()).map(mean).collect(),
        noise: noise::of_mean(results, &rows),
    })
}

/// The geometric mean.
pub fn geometric(figures: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = figures.len() as f64;
    (figures.map(f64::ln).sum::<f64>() / count).exp()
}

#[cfg(test)]
mod tests {
    use super::geometric;

    #[test]
    fn twice_and_half_are_level() {
        assert!((geometric([2.0, 0.5].into_iter()) - 1.0).abs() < 1e-12);
        assert!((geometric([4.0, 1.0].into_iter()) - 2.0).abs() < 1e-12);
    }
}
