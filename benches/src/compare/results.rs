//! What came out: samples by row and contender, failures among them.

use serde::Serialize;

use super::contender::Contender;
use super::counts::Counts;
use super::machine::Machine;
use super::row::Row;
use super::summary::Summary;

/// How the comparison was made.
#[derive(Clone, Serialize)]
pub struct Settings {
    pub quick: bool,
    pub runs: u32,
    pub seed: u64,
}

/// The figures of one run.
#[derive(Clone, Copy, Serialize)]
pub struct Sample {
    /// A workload's wall time, a program's CPU time.
    pub seconds: f64,
    /// User and system time.
    pub cpu: f64,
    pub peak_kib: u64,
    pub faults: u64,
}

/// A run that ended well.
pub struct Run {
    pub sample: Sample,
    /// The same for every allocator that works.
    pub checksum: u64,
}

/// A run that did not.
#[derive(Clone, Serialize)]
pub struct Failure {
    /// In a word, for the tables.
    pub kind: &'static str,
    pub detail: String,
}

impl Failure {
    pub fn crash(signal: i32, stderr: &str) -> Self {
        let detail = format!("signal {signal}: {}", stderr.trim());
        Self {
            kind: "crash",
            detail,
        }
    }

    pub fn wrong() -> Self {
        Self {
            kind: "WRONG",
            detail: "another result than the first allocator's".to_owned(),
        }
    }

    /// Anything else; a run out of time says so.
    pub fn other(text: &str) -> Self {
        let kind = match text {
            _ if text.contains("takes too long") => "timeout",
            _ if text.contains("signal:") => "crash",
            _ => "failed",
        };
        Self {
            kind,
            detail: text.trim().to_owned(),
        }
    }
}

/// One row under one contender.
#[derive(Clone, Default, Serialize)]
pub struct Cell {
    pub samples: Vec<Sample>,
    pub failure: Option<Failure>,
    #[serde(skip)]
    pub checksums: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
}

impl Cell {
    pub fn add(&mut self, run: Result<Run, Failure>) {
        match run {
            Ok(run) => {
                self.samples.push(run.sample);
                self.checksums.push(run.checksum);
            }
            Err(failure) => self.failure = Some(failure),
        }
    }

    /// The least of a figure over the runs; none of a cell that failed.
    pub fn best(&self, figure: fn(&Sample) -> f64) -> Option<f64> {
        if self.failure.is_some() {
            return None;
        }
        self.samples.iter().map(figure).reduce(f64::min)
    }

    /// How far the worst of the runs is above the best.
    pub fn spread(&self, figure: fn(&Sample) -> f64) -> Option<f64> {
        let worst = self.samples.iter().map(figure).reduce(f64::max)?;
        Some(worst / self.best(figure)? - 1.0)
    }
}

/// The whole comparison. `cells` goes by row, then by contender.
#[derive(Serialize)]
pub struct Results {
    pub settings: Settings,
    pub machine: Machine,
    pub contenders: Vec<Contender>,
    pub rows: Vec<Row>,
    pub cells: Vec<Vec<Cell>>,
}

impl Results {
    pub fn new(
        settings: Settings,
        machine: Machine,
        contenders: Vec<Contender>,
        rows: Vec<Row>,
    ) -> Self {
        let cells = vec![vec![Cell::default(); contenders.len()]; rows.len()];
        Self {
            settings,
            machine,
            contenders,
            rows,
            cells,
        }
    }

    /// Marks as wrong what differs from glibc's result, or without glibc from
    /// the first contender's that has one.
    pub fn judge(&mut self) {
        let glibc = self.index("glibc");
        for cells in &mut self.cells {
            let first = glibc
                .and_then(|glibc| cells[glibc].checksums.first())
                .or_else(|| cells.iter().find_map(|cell| cell.checksums.first()));
            let Some(&expected) = first else { continue };
            for cell in cells {
                let differs = cell.checksums.iter().any(|&sum| sum != expected);
                if differs && cell.failure.is_none() {
                    cell.failure = Some(Failure::wrong());
                }
            }
        }
    }

    pub fn index(&self, name: &str) -> Option<usize> {
        let mut names = self.contenders.iter();
        names.position(|contender| contender.name == name)
    }

    /// Whether any row of the contender's failed.
    pub fn has_failed(&self, name: &str) -> bool {
        let failed = |index: usize| self.cells.iter().any(|row| row[index].failure.is_some());
        self.index(name).is_some_and(failed)
    }

    /// With the summary, as it is written to a file.
    pub fn document<'a>(&'a self, summary: &'a Summary) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(flatten)]
            results: &'a Results,
            summary: &'a Summary,
        }
        Document {
            results: self,
            summary,
        }
    }
}
