//! Children: the experiment itself again, with settings.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Outcome;
use super::process::{self, Finished};

/// After this long a child is taken to hang.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Variables for a child's environment.
pub type Settings<'a> = &'a [(&'a str, &'a str)];

/// This program again, with these arguments and settings, and with nothing
/// that the caller's environment says about allocators.
pub fn again(arguments: &[&str], settings: Settings, preload: Option<&OsStr>) -> Outcome<Command> {
    let program = env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut command = Command::new(program);
    process::preload(&mut command, preload.as_slice());
    command
        .args(arguments)
        .envs(settings.iter().copied())
        .stdin(Stdio::null());
    Ok(command)
}

/// Runs a child to its end. Returns what it wrote; what it said on standard
/// error is passed on.
pub fn text_of(command: Command) -> Outcome<String> {
    let finished = finished_of(command)?;
    eprint!("{}", finished.stderr);
    Ok(finished.text())
}

/// Runs a child to its end. What it said on standard error is the caller's.
pub fn finished_of(mut command: Command) -> Outcome<Finished> {
    let finished = process::run(&mut command, TIME_LIMIT)?;
    if finished.stderr.contains("cannot be preloaded") {
        return Err("it cannot be preloaded".to_owned());
    }
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    finished.success(&arguments.join(" "))
}

/// Runs a child to its end. Returns the rows that it wrote.
pub fn rows_of(command: Command) -> Outcome<Vec<Row>> {
    rows_in(&text_of(command)?)
}

/// The rows of what a child wrote.
pub fn rows_in(text: &str) -> Outcome<Vec<Row>> {
    text.lines().map(Row::parse).collect()
}

/// Runs a child that writes one row.
pub fn row_of(command: Command) -> Outcome<Row> {
    rows_of(command)?
        .into_iter()
        .next()
        .ok_or_else(|| "a child wrote no figures".to_owned())
}

/// A line of figures, as children write them: `touched 5 faults 1280`.
#[derive(Clone, Debug)]
pub struct Row {
    figures: BTreeMap<String, f64>,
}

impl Row {
    fn parse(line: &str) -> Outcome<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let pair = |pair: &[&str]| match *pair {
            [name, figure] => Some((name.to_owned(), figure.parse().ok()?)),
            _ => None,
        };
        let figures: Option<_> = words.chunks(2).map(pair).collect();
        let figures = figures.ok_or_else(|| format!("a child wrote {line:?}"))?;
        Ok(Self { figures })
    }

    /// A figure by its name. Who asks for one that the child does not write
    /// is wrong, not the child.
    pub fn get(&self, name: &str) -> f64 {
        match self.figures.get(name) {
            Some(figure) => *figure,
            None => panic!("no figure {name} in {:?}", self.figures),
        }
    }

    /// This row with the lesser of both figures wherever one of `names` is.
    pub fn least(mut self, other: &Self, names: &[&str]) -> Self {
        for name in names {
            let least = self.get(name).min(other.get(name));
            self.figures.insert((*name).to_owned(), least);
        }
        self
    }
}
