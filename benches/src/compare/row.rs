//! What is run: the workloads, each with its numbers of threads, and the real
//! programs.

use std::thread;

use serde::Serialize;

use super::results::Settings;
use crate::measure::Outcome;
use crate::measure::programs::{self, Length, WORKLOADS as PROGRAMS};
use crate::work::{self, Threads, WORKLOADS};

/// Which geometric mean a row counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    Classic,
    Further,
    Programs,
}

impl Group {
    pub const ALL: [Self; 3] = [Self::Classic, Self::Further, Self::Programs];

    pub fn title(self) -> &'static str {
        match self {
            Self::Classic => "classic workloads",
            Self::Further => "further workloads",
            Self::Programs => "real programs",
        }
    }

    /// What a row's time is.
    pub fn measure(self) -> &'static str {
        match self {
            Self::Classic | Self::Further => "wall time",
            Self::Programs => "CPU time",
        }
    }

    /// The project's own bar for a row: time relative to the best.
    pub fn time_bar(self) -> f64 {
        match self {
            Self::Classic | Self::Further => 1.10,
            Self::Programs => 1.03,
        }
    }
}

/// What one row runs.
#[derive(Clone, Copy)]
pub enum Task {
    Work {
        workload: &'static work::Workload,
        threads: usize,
        scale: u32,
    },
    Program {
        workload: &'static programs::Workload,
        length: Length,
    },
}

#[derive(Clone, Serialize)]
pub struct Row {
    pub name: String,
    pub about: String,
    pub group: Group,
    #[serde(skip)]
    pub task: Task,
}

/// The rows wanted that can run here.
pub fn rows(only: &[String], settings: &Settings) -> Outcome<Vec<Row>> {
    let names: Vec<&str> = WORKLOADS
        .iter()
        .map(|workload| workload.name)
        .chain(PROGRAMS.iter().map(|program| program.name))
        .collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("{unknown}: not one of {}", names.join(", ")));
    }
    let wants = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    let mut rows = Vec::new();
    for workload in WORKLOADS.iter().filter(|workload| wants(workload.name)) {
        rows.extend(work_rows(workload, settings));
    }
    rows.sort_by_key(|row| row.group != Group::Classic);
    for workload in PROGRAMS.iter().filter(|program| wants(program.name)) {
        match workload.missing() {
            Some(missing) => println!("skipped: {missing} not installed"),
            None => rows.push(program_row(workload, settings)),
        }
    }
    if rows.is_empty() {
        return Err("nothing to run".to_owned());
    }
    Ok(rows)
}

fn work_rows(workload: &'static work::Workload, settings: &Settings) -> Vec<Row> {
    let mut counts: Vec<usize> = workload.threads.iter().copied().map(number).collect();
    // With one core, or few, they may coincide.
    counts.dedup();
    if settings.quick {
        // The middle one of three, the second of two.
        counts = vec![counts[counts.len() / 2]];
    }
    let row = |threads| Row {
        name: match threads {
            1 => workload.name.to_owned(),
            _ => format!("{} x{threads}", workload.name),
        },
        about: workload.about.to_owned(),
        group: match workload.group {
            work::Group::Classic => Group::Classic,
            work::Group::Further => Group::Further,
        },
        task: Task::Work {
            workload,
            threads,
            scale: if settings.quick {
                workload.quick
            } else {
                workload.full
            },
        },
    };
    counts.into_iter().map(row).collect()
}

fn program_row(workload: &'static programs::Workload, settings: &Settings) -> Row {
    Row {
        name: workload.name.to_owned(),
        about: "a real program".to_owned(),
        group: Group::Programs,
        task: Task::Program {
            workload,
            length: if settings.quick {
                Length::Short
            } else {
                Length::Long
            },
        },
    }
}

fn number(threads: Threads) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    match threads {
        Threads::One => 1,
        Threads::Cores => cores,
        Threads::TwiceCores => 2 * cores,
    }
}
