//! What is timed: walks through sets of live blocks.

use std::thread;

use crate::work::live::{SMALL, Set};

/// The shares of a distribution that are shown, and what they are called.
pub const QUANTILES: [(f64, &str); 4] = [
    (0.5, "p50"),
    (0.99, "p99"),
    (0.9999, "p99.99"),
    (1.0, "max"),
];

/// Which of them the bar is about.
pub const BAR: usize = 2;

pub struct Row {
    pub name: &'static str,
    pub about: &'static str,
    pub set: Set,
    /// Whether a thread runs on each core; else there is one.
    is_crowd: bool,
    /// Steps of a thread, in a first look and in full. Each makes or frees a block.
    quick: usize,
    full: usize,
}

impl Row {
    /// Steps of a thread.
    pub fn steps(&self, is_quick: bool) -> usize {
        if is_quick { self.quick } else { self.full }
    }

    pub fn threads(&self) -> usize {
        match self.is_crowd {
            true => thread::available_parallelism().map_or(1, usize::from),
            false => 1,
        }
    }
}

/// All of them.
pub const ROWS: [Row; 4] = [
    Row {
        name: "live",
        about: "8 B to 2 KiB, some 16,000 live, one thread",
        set: SMALL,
        is_crowd: false,
        quick: 400_000,
        full: 4_000_000,
    },
    Row {
        name: "live-cores",
        about: "the same on each core",
        set: SMALL,
        is_crowd: true,
        quick: 400_000,
        full: 4_000_000,
    },
    Row {
        name: "medium",
        about: "1 to 64 KiB, some 500 live, one thread",
        set: Set {
            places: 1 << 10,
            sizes: (1 << 10, 64 << 10),
        },
        is_crowd: false,
        quick: 100_000,
        full: 1_000_000,
    },
    Row {
        name: "large",
        about: "64 KiB to 2 MiB, some 30 live, one thread",
        set: Set {
            places: 1 << 6,
            sizes: (64 << 10, 2 << 20),
        },
        is_crowd: false,
        quick: 40_000,
        full: 200_000,
    },
];
