//! A process that stays, and what it has.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Series, figures_file};
use crate::measure::process::{self as child, Running};
use crate::measure::{Figures, Outcome, Rig};

/// What may come on top whatever the level: what threads that have met seldom
/// keep, in slabs of every class; their stacks; rounding.
const RESIDENT_SLACK_KIB: f64 = 6144.0;
const MAPPINGS_SLACK: f64 = 16.0;
const LIVE_SLACK_KIB: f64 = 256.0;

pub struct Lasting {
    pub name: &'static str,
    id: u32,
    /// Ends with this value, where it is ours.
    running: Option<Running>,
    /// Where it writes what bifold has live.
    file: Option<PathBuf>,
    resident: Series,
    mappings: Series,
    live: Series,
}

impl Lasting {
    /// Starts a program under the library: with a script, the file for its
    /// figures, and words.
    pub fn start(
        rig: &Rig<'_>,
        name: &'static str,
        program: &OsStr,
        script: Option<&OsStr>,
        words: &[&str],
    ) -> Outcome<Self> {
        let file = figures_file(rig.scratch, name);
        let mut command = Command::new(program);
        command.args(script).arg(&file).args(words);
        command.stdin(Stdio::null());
        let objects: Vec<_> = rig.library.iter().map(|path| path.as_os_str()).collect();
        child::preload(&mut command, &objects);
        // It is killed when it is dropped; nobody waits for it.
        let running = Running::start(&mut command, Duration::MAX / 4)?;
        let mut lasting = Self::watch(name, running.id(), Some(file));
        lasting.running = Some(running);
        Ok(lasting)
    }

    /// Watches a process.
    pub fn watch(name: &'static str, id: u32, file: Option<PathBuf>) -> Self {
        Self {
            name,
            id,
            running: None,
            file,
            resident: Series::default(),
            mappings: Series::default(),
            live: Series::default(),
        }
    }

    /// Takes a sample; a failure where the process has ended.
    pub fn look(&mut self) -> Outcome<()> {
        if let Some(running) = &mut self.running
            && let Some(status) = running.status()?
        {
            return Err(format!("{}: {status}", self.name));
        }
        let read = |what| {
            let path = format!("/proc/{}/{what}", self.id);
            fs::read_to_string(&path).map_err(|error| format!("{}: {path}: {error}", self.name))
        };
        let rollup = read("smaps_rollup")?;
        self.resident
            .push(field(&rollup, "Rss:").ok_or("no Rss in smaps_rollup")?);
        self.mappings.push(read("maps")?.lines().count() as f64);
        if let Some(file) = &self.file
            && let Ok(text) = fs::read_to_string(file)
            // It may be about to be written.
            && let Ok(live) = Figures::parse(text).get("live_kib")
        {
            self.live.push(live);
        }
        Ok(())
    }

    /// The figures, each with what it may grow by in any case.
    pub fn figures(&self) -> Vec<(&'static str, &Series, f64)> {
        let mut figures = vec![
            ("resident KiB", &self.resident, RESIDENT_SLACK_KIB),
            ("mappings", &self.mappings, MAPPINGS_SLACK),
        ];
        if self.file.is_some() {
            figures.push(("live KiB", &self.live, LIVE_SLACK_KIB));
        }
        figures
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            drop(fs::remove_file(file));
        }
    }
}

fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix(" kB")?.trim().parse().ok()
}
