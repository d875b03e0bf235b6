//! The options: one table, from which come the environment variables, the
//! builder of [`crate::Bifold`], and the documentation.
//!
//! A leaf: may call `os`, `text` and nothing else. What an option means to a
//! layer, the layer asks for by the option's name, at the time it matters, so
//! that an option that is set late works from then on.
//!
//! ```text
//!  table        names, types, defaults, ranges, help; generates the rest
//!  parse        text to values and back
//!  environment  BIFOLD_*, MALLOC_* and GLIBC_TUNABLES
//!  settings     what the program asks for, as a constant
//! ```
//!
//! The environment wins over the program, and the program over the default;
//! mallopt(3) wins over all, being called last.

mod environment;
#[cfg(feature = "hardened")]
pub mod harden;
mod parse;
mod settings;
mod table;

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

pub use environment::{is_ready, read_environment, set_glibc};
pub use parse::{show, show_range};
pub use settings::Settings;
pub(crate) use table::for_each_option;
pub use table::*;

/// What an option's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0 or 1.
    Flag,
    /// Bytes.
    Size,
    /// Bytes, or a part of what memory the process may have.
    SizeOrShare,
    /// Milliseconds.
    Time,
    /// A number.
    Count,
    /// One of some words, by their place.
    Choice(&'static [&'static str]),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which option it is.
    pub id: Id,
    /// What it is called in Rust, and after `BIFOLD_` in the environment, there
    /// in capitals.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Its value where nobody says anything.
    pub default: u64,
    /// The least and the most that it can be.
    pub range: (u64, u64),
    /// What it does, in a line.
    pub help: &'static str,
}

/// Who has said what an option's value is; later ones win over those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// Nobody.
    Default = 0,
    /// The program, when it was built.
    Program = 1,
    /// The environment.
    Environment = 2,
    /// The program, by mallopt(3).
    Call = 3,
}

/// An option's value and where it is from.
struct Cell {
    value: AtomicU64,
    source: AtomicU8,
}

impl Cell {
    const fn new(value: u64) -> Self {
        Self {
            value: AtomicU64::new(value),
            source: AtomicU8::new(Source::Default as u8),
        }
    }
}

static CELLS: [Cell; COUNT] = {
    let mut cells = [const { Cell::new(0) }; COUNT];
    let mut i = 0;
    while i < COUNT {
        cells[i] = Cell::new(TABLE[i].default);
        i += 1;
    }
    cells
};

/// An option's value as a number.
#[inline]
pub fn value(id: Id) -> u64 {
    // Relaxed: an option that changes may be seen a moment later.
    CELLS[id as usize].value.load(Ordering::Relaxed)
}

/// Whether somebody has set the option.
pub fn is_set(id: Id) -> bool {
    source(id) != Source::Default
}

/// Who has set the option.
pub fn source(id: Id) -> Source {
    match CELLS[id as usize].source.load(Ordering::Relaxed) {
        0 => Source::Default,
        1 => Source::Program,
        2 => Source::Environment,
        _ => Source::Call,
    }
}

/// Sets an option, whose range holds the value, unless somebody has set it who
/// wins over this source.
pub fn set(id: Id, value: u64, source: Source) {
    let cell = &CELLS[id as usize];
    if cell.source.load(Ordering::Relaxed) <= source as u8 {
        cell.value.store(value, Ordering::Relaxed);
        cell.source.store(source as u8, Ordering::Relaxed);
    }
}
