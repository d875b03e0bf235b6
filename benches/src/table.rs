//! What appears on the terminal: progress while measuring, then tables.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that says what is being measured, on standard error.
pub fn progress_bar(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}");
    ProgressBar::new(steps as u64).with_style(style.expect("the template is well-formed"))
}

/// Rows of text under a head: the first column to the left, others to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<S: Into<String>>(heads: impl IntoIterator<Item = S>) -> Self {
        Self {
            rows: vec![heads.into_iter().map(Into::into).collect()],
        }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub fn print(&self, title: &str) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        println!("\n{title}\n");
        for (k, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, cell)| {
                let (text, &width) = cell;
                match column {
                    0 => format!("{text:<width$}"),
                    _ => format!("{text:>width$}"),
                }
            });
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
            if k == 0 {
                let total = widths.iter().sum::<usize>() + 2 * (columns - 1);
                println!("{}", "-".repeat(total));
            }
        }
    }
}
