//! What threads do to each other, for each block: atomic read-modify-writes,
//! locks, waits and system calls.
//!
//! Of bifold that is what is within its library. Peers call the C library for
//! much of it, as the workload itself does; there it is what the process does
//! beyond what it does outside of bifold when it runs on that.

use std::path::Path;

use serde::Serialize;

use super::atomics::{self, Atomics, Known, Site};
use super::row::Step;
use super::syscalls::{self, Traced};
use crate::compare::Contender;
use crate::measure::{Outcome, callgrind, process};
use crate::table::progress_bar;

/// How many places of a row are named.
const SITES: usize = 6;

/// The counts of one row under one contender.
#[derive(Serialize)]
pub struct Line {
    pub row: String,
    pub contender: String,
    pub blocks: u64,
    /// Atomic read-modify-writes for a block.
    pub atomics: Option<f64>,
    /// Locks taken for 1,000 blocks; of bifold alone.
    pub locks: Option<f64>,
    /// Waits for another thread, and system calls, for a million blocks.
    pub waits: Option<f64>,
    pub calls: Option<f64>,
    /// Where bifold's atomic read-modify-writes are, with how many for 1,000 blocks.
    pub sites: Vec<(String, f64)>,
    pub failures: Vec<String>,
}

/// Counts what is to be counted under each contender but the null arm; the first
/// is bifold.
pub fn count(plan: &[Step], contenders: &[Contender], scratch: &Path) -> Vec<Line> {
    let valgrind = callgrind::is_available() && cfg!(target_arch = "x86_64");
    let strace = process::is_installed("strace");
    if !valgrind {
        println!("skipped: atomic steps and locks: no valgrind, or not x86-64");
    }
    if !strace {
        println!("skipped: strace not installed");
    }
    let mut known = Known::default();
    let mut lines = Vec::new();
    let progress = progress_bar(plan.len() * contenders.len());
    for step in plan {
        // Of bifold, for the row's peers.
        let mut workload = Outside::default();
        for contender in contenders {
            progress.inc(1);
            let Some((scale, blocks)) = step.counted() else {
                continue;
            };
            if contender.again.is_some() {
                continue;
            }
            progress.set_message(format!("counts: {} under {}", step.name(), contender.name));
            let mut failures = Vec::new();
            let atomics = valgrind
                .then(|| atomics::count(step, scale, contender, scratch, &mut known))
                .and_then(|counted| keep(counted, &mut failures));
            let traced = strace
                .then(|| syscalls::count(step, scale, contender, scratch))
                .and_then(|counted| keep(counted, &mut failures));
            let is_own = contender.name == "bifold";
            if is_own {
                workload = Outside::of(atomics.as_ref(), traced.as_ref());
            }
            let sites = match (is_own, contender.library(), &atomics) {
                (true, Some(library), Some(atomics)) => {
                    keep(atomics::sites(library, &atomics.places), &mut failures)
                }
                _ => None,
            };
            let per = |count: u64, unit: f64| count as f64 * unit / blocks as f64;
            lines.push(Line {
                row: step.name(),
                contender: contender.name.clone(),
                blocks,
                atomics: workload
                    .beyond(atomics.map(|a| a.all), |outside| outside.atomics)
                    .map(|count| per(count, 1.0)),
                locks: sites.as_ref().map(|sites| per(locks(sites), 1e3)),
                waits: workload
                    .beyond(traced.map(|t| t.all.waits), |outside| outside.waits)
                    .map(|count| per(count, 1e6)),
                calls: workload
                    .beyond(traced.map(|t| t.all.all), |outside| outside.calls)
                    .map(|count| per(count, 1e6)),
                sites: by_place(sites.unwrap_or_default())
                    .into_iter()
                    .map(|(place, count)| (place, per(count, 1e3)))
                    .collect(),
                failures,
            });
        }
    }
    progress.finish_and_clear();
    lines
}

/// What a workload does by itself.
#[derive(Default)]
struct Outside {
    atomics: Option<u64>,
    waits: Option<u64>,
    calls: Option<u64>,
}

impl Outside {
    fn of(atomics: Option<&Atomics>, traced: Option<&Traced>) -> Self {
        Self {
            atomics: atomics.map(|atomics| atomics.all - atomics.own),
            waits: traced.map(|traced| traced.all.waits - traced.own.waits),
            calls: traced.map(|traced| traced.all.all - traced.own.all),
        }
    }

    fn beyond(&self, all: Option<u64>, own: fn(&Self) -> Option<u64>) -> Option<u64> {
        Some(all?.saturating_sub(own(self)?))
    }
}

fn keep<T>(counted: Outcome<T>, failures: &mut Vec<String>) -> Option<T> {
    counted.map_err(|failure| failures.push(failure)).ok()
}

fn locks(sites: &[Site]) -> u64 {
    let releases = sites.iter().filter(|site| site.is_release);
    releases.map(|site| site.executed).sum()
}

/// The busiest places: a lock's two steps are often in one.
fn by_place(sites: Vec<Site>) -> Vec<(String, u64)> {
    let mut places: Vec<(String, u64)> = Vec::new();
    for site in sites {
        match places.iter_mut().find(|(place, _)| *place == site.place) {
            Some((_, count)) => *count += site.executed,
            None => places.push((site.place, site.executed)),
        }
    }
    places.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    places.truncate(SITES);
    places
}

#[cfg(test)]
mod tests {
    use super::{Outside, Site, by_place, locks};

    #[test]
    fn a_lock_is_counted_once() {
        let site = |place: &str, is_release, executed| Site {
            place: place.to_owned(),
            is_release,
            executed,
        };
        let sites = vec![
            site("a", false, 10),
            site("a", true, 10),
            site("b", false, 15),
        ];
        assert_eq!(locks(&sites), 10);
        assert_eq!(
            by_place(sites),
            [("a".to_owned(), 20), ("b".to_owned(), 15)]
        );
    }

    #[test]
    fn a_peer_has_what_is_beyond_the_workload() {
        let outside = Outside {
            atomics: Some(40),
            waits: None,
            calls: Some(50),
        };
        assert_eq!(outside.beyond(Some(100), |o| o.atomics), Some(60));
        assert_eq!(outside.beyond(Some(30), |o| o.calls), Some(0));
        assert_eq!(outside.beyond(Some(30), |o| o.waits), None);
    }
}
