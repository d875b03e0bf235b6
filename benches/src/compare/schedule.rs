//! The order of the runs: in rounds, each of which runs every row under every
//! contender once, in an order of its own. What changes with time then favours
//! nobody.

use std::path::Path;
use std::time::{Duration, Instant};

use super::child;
use super::random::Random;
use super::results::Results;
use super::row::Task;
use crate::table::progress_bar;

/// How long a run may take. A real program has a limit of its own, which is
/// less, so that it is never left running.
const QUICK_LIMIT: Duration = Duration::from_secs(20);
const FULL_LIMIT: Duration = Duration::from_secs(150);

/// Runs everything, within a budget if there is one: a round is not begun if
/// another as long as the last would exceed it. A contender that failed a row
/// is not asked again.
pub fn run(results: &mut Results, scratch: &Path, budget: Option<Duration>) {
    let start = Instant::now();
    let contenders = results.contenders.len();
    let mut order: Vec<(usize, usize)> = (0..results.rows.len())
        .flat_map(|row| (0..contenders).map(move |contender| (row, contender)))
        .collect();
    let mut random = Random::new(results.settings.seed);
    let progress = progress_bar(order.len() * results.settings.runs as usize);
    let mut done = 0;
    while done < results.settings.runs {
        let elapsed = start.elapsed();
        let next = elapsed + elapsed / done.max(1);
        if budget.is_some_and(|budget| next > budget) {
            break;
        }
        random.shuffle(&mut order);
        for &(row, contender) in &order {
            let cell = &mut results.cells[row][contender];
            if cell.failure.is_none() {
                let contender = &results.contenders[contender];
                let row = &results.rows[row];
                progress.set_message(format!("{} under {}", row.name, contender.name));
                let limit = match row.task {
                    Task::Work { .. } if results.settings.quick => QUICK_LIMIT,
                    _ => FULL_LIMIT,
                };
                cell.add(child::measure(&row.task, contender, scratch, limit));
            }
            progress.inc(1);
        }
        done += 1;
    }
    progress.finish_and_clear();
    if done < results.settings.runs {
        println!("{done} of {} runs: no time for more", results.settings.runs);
        results.settings.runs = done;
    }
}
