//! What is measured, and how: shared by the tests, which fail when a bar is
//! missed or output differs, and by `benches/`, which prints the figures.
//!
//! `process` starts children and accounts for them; `memory`, `waste`,
//! `callgrind` and `listing` each yield [`Bar`]s; `programs` and `redis` run
//! real programs. Nothing here knows whether it runs as a test. Failures come
//! back as text, since one allocator's crash must not end a comparison.

#![allow(dead_code, reason = "each of the two users leaves some of it out")]

pub mod callgrind;
pub mod listing;
pub mod memory;
pub mod process;
pub mod programs;
pub mod redis;
pub mod table;
pub mod waste;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// A figure, or what went wrong on the way to it.
pub type Outcome<T> = Result<T, String>;

/// What a measurement needs from whoever runs it.
#[derive(Clone, Copy)]
pub struct Rig<'a> {
    /// Preloaded into what is measured; `None` for the system's malloc.
    pub library: Option<&'a Path>,
    /// A directory that belongs to this run.
    pub scratch: &'a Path,
    /// Compiles `tests/c/SOURCE.c` into a file of the given name, with more
    /// arguments to the compiler.
    pub compile: &'a dyn Fn(&str, &str, &[&OsStr]) -> PathBuf,
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The tests belong to the package at the root, the bench to a member.
    let root = if package.join("tests").is_dir() {
        package
    } else {
        package.parent().expect("a member lies below the root")
    };
    root.to_owned()
}

/// A figure and what it is held against.
#[derive(Clone, Debug)]
pub struct Bar {
    pub name: String,
    pub figure: f64,
    pub unit: &'static str,
    pub limit: Limit,
    /// What the figure is made of, for whoever has to find out why it misses.
    pub detail: String,
}

#[derive(Clone, Copy, Debug)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
    /// Shown for scale.
    None,
}

impl Bar {
    pub fn new(name: impl Into<String>, figure: f64, unit: &'static str, limit: Limit) -> Self {
        Self {
            name: name.into(),
            figure,
            unit,
            limit,
            detail: String::new(),
        }
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    pub fn is_met(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.figure <= limit,
            Limit::AtLeast(limit) => self.figure >= limit,
            Limit::None => true,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {}", short(*limit)),
            Self::AtLeast(limit) => write!(f, ">= {}", short(*limit)),
            Self::None => Ok(()),
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met() { "ok" } else { "MISS" };
        let Self { name, unit, .. } = self;
        write!(
            f,
            "{name}: {} {unit} {} {verdict}",
            short(self.figure),
            self.limit
        )?;
        if !self.is_met() && !self.detail.is_empty() {
            write!(f, "\n    {}", self.detail)?;
        }
        Ok(())
    }
}

/// A figure with about four digits.
pub fn short(figure: f64) -> String {
    let digits = match figure.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 10.0 => 1,
        _ => 3,
    };
    let text = format!("{figure:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The lines `NAME FIGURE` that the C programs print.
pub struct Figures {
    text: String,
}

impl Figures {
    pub fn parse(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    pub fn get(&self, name: &str) -> Outcome<f64> {
        self.text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(key, _)| *key == name)
            .and_then(|(_, figure)| figure.parse().ok())
            .ok_or_else(|| format!("no figure {name:?} in {:?}", self.text))
    }

    /// All of them in one line.
    pub fn summary(&self) -> String {
        self.text.trim().replace('\n', ", ")
    }
}
