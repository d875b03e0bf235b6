//! Figures that a rerun repeats: system calls, counted by strace, and
//! instructions, counted by callgrind, at scales that such tools can bear.

use std::fs;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use super::child::work_arguments;
use super::contender::Contender;
use super::results::Results;
use super::row::Task;
use crate::measure::{callgrind, process as runner};
use crate::table::progress_bar;
use crate::work::Workload;

const TIME_LIMIT: Duration = Duration::from_secs(180);

#[derive(Clone, Copy, Default, Serialize)]
pub struct Counts {
    pub system_calls: Option<u64>,
    pub instructions: Option<u64>,
}

/// Counts every workload once under every contender but the null arm.
pub fn add(results: &mut Results, scratch: &Path) {
    let strace = runner::is_installed("strace");
    let valgrind = callgrind::is_available();
    for (tool, is_installed) in [("strace", strace), ("valgrind", valgrind)] {
        if !is_installed {
            println!("skipped: {tool} not installed");
        }
    }
    let progress = progress_bar(results.rows.len() * results.contenders.len());
    for (row, cells) in results.rows.iter().zip(&mut results.cells) {
        for (cell, contender) in cells.iter_mut().zip(&results.contenders) {
            progress.inc(1);
            let Task::Work {
                workload, threads, ..
            } = row.task
            else {
                continue;
            };
            if contender.again.is_some() || cell.failure.is_some() {
                continue;
            }
            progress.set_message(format!("counts: {} under {}", row.name, contender.name));
            let job = Job {
                workload,
                threads,
                contender,
                scratch,
            };
            cell.counts = Some(Counts {
                system_calls: strace.then(|| job.system_calls()).flatten(),
                instructions: valgrind.then(|| job.instructions()).flatten(),
            });
        }
    }
    progress.finish_and_clear();
}

struct Job<'a> {
    workload: &'static Workload,
    threads: usize,
    contender: &'a Contender,
    scratch: &'a Path,
}

impl Job<'_> {
    fn system_calls(&self) -> Option<u64> {
        let mut preload = std::ffi::OsString::from("LD_PRELOAD=");
        preload.push(self.contender.object());
        let mut command = Command::new("strace");
        runner::preload(&mut command, &[]);
        command
            .args(["-f", "-c", "-U", "calls,name", "-E"])
            .arg(preload);
        let report = self.run(command, "-o", self.workload.quick)?;
        let total = report.lines().find(|line| line.ends_with(" total"))?;
        total.split_whitespace().next()?.parse().ok()
    }

    fn instructions(&self) -> Option<u64> {
        let mut command = Command::new("valgrind");
        // Valgrind hands its environment on.
        runner::preload(&mut command, &[self.contender.object()]);
        command.arg("--tool=callgrind");
        let scale = (self.workload.quick / 20).max(1);
        let report = self.run(command, "--callgrind-out-file=", scale)?;
        let total = report.lines().rev().find_map(|line| {
            let figure = line.strip_prefix("totals:");
            figure.or(line.strip_prefix("summary:"))
        })?;
        total.split_whitespace().next()?.parse().ok()
    }

    /// What the tool writes into its report, if the workload ends well.
    fn run(&self, mut tool: Command, option: &str, scale: u32) -> Option<String> {
        let report = self.scratch.join(format!("counts.{}", process::id()));
        let path = report.display();
        match option.ends_with('=') {
            true => tool.arg(format!("{option}{path}")),
            false => tool.arg(option).arg(&report),
        };
        tool.args(work_arguments(self.workload, self.threads, scale).ok()?)
            .stdin(Stdio::null());
        let finished = runner::run(&mut tool, TIME_LIMIT).ok()?;
        let text = fs::read_to_string(&report).ok();
        drop(fs::remove_file(&report));
        finished.status.success().then_some(text).flatten()
    }
}
