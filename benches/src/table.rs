//! What appears on the terminal: progress while measuring, then tables.

pub use crate::measure::table::Table;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar that says what is being measured, on standard error.
pub fn progress_bar(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}");
    ProgressBar::new(steps as u64).with_style(style.expect("the template is well-formed"))
}
