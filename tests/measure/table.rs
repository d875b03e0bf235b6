//! Tables on the terminal.

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
