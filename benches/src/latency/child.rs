//! One run: a walk through a set of live blocks, each call of malloc and free
//! timed, in the process that the allocator is preloaded into.
//!
//! After each call nothing at all is timed as well. What that shows is the price of
//! the two readings, and how often the machine stops a thread: the far end of
//! each distribution is that as much as the allocator's.

use std::sync::Mutex;

use hdrhistogram::Histogram;

use super::clock::{self, Scale};
use super::row::{QUANTILES, ROWS};
use crate::measure::Outcome;
use crate::work::kit::{Block, crew};
use crate::work::live::{self, Calls};

/// What is told apart.
pub const EVENTS: [&str; 3] = ["malloc", "free", "nothing"];

/// The longest time kept apart, in ticks: some ten seconds.
const MOST: u64 = 1 << 35;

#[derive(clap::Args)]
pub struct Arguments {
    row: String,
    #[arg(long)]
    threads: usize,
    #[arg(long)]
    steps: usize,
}

/// Walks, and prints the quantiles in nanoseconds.
pub fn run(arguments: &Arguments) -> Outcome<bool> {
    let row = ROWS
        .iter()
        .find(|row| row.name == arguments.row)
        .ok_or_else(|| format!("there is no row {}", arguments.row))?;
    // Made beforehand: what they take of the allocator is not in a figure.
    let all: Vec<Mutex<Timed>> = (0..arguments.threads)
        .map(|_| Timed::new().map(Mutex::new))
        .collect::<Outcome<_>>()?;
    let scale = Scale::begin();
    crew(arguments.threads, |index| {
        let mut timed = all[index].lock().expect("each thread takes its own");
        live::walk(row.set, index, arguments.steps, &mut *timed)
    });
    let tick = scale.nanoseconds();
    let mut sum = Timed::new()?;
    for timed in all {
        let timed = timed.into_inner().expect("no thread has panicked");
        for (sum, one) in sum.events.iter_mut().zip(&timed.events) {
            sum.add(one).map_err(|error| error.to_string())?;
        }
    }
    for (name, times) in EVENTS.iter().zip(&sum.events) {
        println!("{name}.count {}", times.len());
        for (quantile, title) in QUANTILES {
            let ticks = times.value_at_quantile(quantile);
            println!("{name}.{title} {:.2}", ticks as f64 * tick);
        }
    }
    Ok(true)
}

/// The times of the three, in ticks.
struct Timed {
    events: [Histogram<u64>; 3],
}

impl Timed {
    fn new() -> Outcome<Self> {
        let make = || Histogram::new_with_bounds(1, MOST, 3).map_err(|error| error.to_string());
        Ok(Self {
            events: [make()?, make()?, make()?],
        })
    }

    /// Keeps the time since `from`, and that of nothing.
    #[inline(always)]
    fn keep(&mut self, event: usize, from: u64, to: u64) {
        // A thread that changes cores may see the counter go back by a little.
        self.events[event].saturating_record(to.saturating_sub(from));
        let from = clock::start();
        let to = clock::end();
        self.events[2].saturating_record(to.saturating_sub(from));
    }
}

impl Calls for Timed {
    fn make(&mut self, size: usize) -> Block {
        let from = clock::start();
        let block = Block::untouched(size);
        let to = clock::end();
        self.keep(0, from, to);
        block
    }

    fn free(&mut self, block: Block) {
        let from = clock::start();
        block.release();
        let to = clock::end();
        self.keep(1, from, to);
    }
}
