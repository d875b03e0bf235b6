//! What is run: workloads of `work`, with more and more threads. The work of all
//! threads together stays about the same, so that a row's time says how well it
//! is shared out.

use crate::compare::{Group, Row, Task};
use crate::measure::Outcome;
use crate::work::{self, WORKLOADS, larson, live, xmalloc};

const THREADS: [u16; 7] = [1, 2, 4, 8, 16, 32, 64];
/// In a first look.
const FEW: [u16; 5] = [1, 2, 4, 8, 16];
/// The numbers of threads whose steps are counted.
const COUNTED: [usize; 3] = [1, 4, 16];
/// How much less work is counted than a first look does: valgrind is slow.
const LESS: u32 = 20;

/// A workload, and how many blocks it makes.
struct Kind {
    name: &'static str,
    blocks: fn(threads: usize, scale: u32) -> u64,
    /// The fewest threads with which it is what it is.
    least: usize,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "larson",
        blocks: larson::blocks,
        least: 1,
    },
    Kind {
        name: "xmalloc",
        blocks: xmalloc::blocks,
        least: 2,
    },
    Kind {
        name: "alloc-test",
        blocks: live::blocks,
        least: 1,
    },
];

/// A workload with a number of threads.
pub struct Step {
    pub workload: &'static work::Workload,
    pub threads: usize,
    pub scale: u32,
    kind: &'static Kind,
}

impl Step {
    /// As `compare` runs it.
    pub fn row(&self) -> Row {
        Row {
            name: self.name(),
            about: self.workload.about.to_owned(),
            group: Group::Classic,
            task: Task::Work {
                workload: self.workload,
                threads: self.threads,
                scale: self.scale,
            },
        }
    }

    pub fn name(&self) -> String {
        format!("{} x{}", self.workload.name, self.threads)
    }

    /// The blocks that are made in a run.
    pub fn blocks(&self) -> u64 {
        (self.kind.blocks)(self.threads, self.scale)
    }

    /// The scale for counting, if this number of threads is counted, and the blocks
    /// made at it.
    pub fn counted(&self) -> Option<(u32, u64)> {
        let scale = share(self.workload.quick / LESS, self.threads);
        let blocks = (self.kind.blocks)(self.threads, scale);
        let is_first = self.threads == self.kind.least;
        (is_first || COUNTED.contains(&self.threads)).then_some((scale, blocks))
    }
}

/// The workloads wanted, each with all numbers of threads.
pub fn plan(only: &[String], threads: &[u16], is_quick: bool) -> Outcome<Vec<Step>> {
    let names = KINDS.each_ref().map(|kind| kind.name);
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("{unknown}: not one of {}", names.join(", ")));
    }
    let threads = match threads {
        [] if is_quick => &FEW[..],
        [] => &THREADS[..],
        chosen => chosen,
    };
    let mut plan = Vec::new();
    for kind in &KINDS {
        if !only.is_empty() && !only.iter().any(|name| name == kind.name) {
            continue;
        }
        let workload = WORKLOADS
            .iter()
            .find(|workload| workload.name == kind.name)
            .ok_or_else(|| format!("there is no workload {}", kind.name))?;
        let total = if is_quick {
            workload.quick
        } else {
            workload.full
        };
        let numbers = threads.iter().copied().map(usize::from);
        plan.extend(
            numbers
                .filter(|threads| *threads >= kind.least)
                .map(|threads| Step {
                    workload,
                    threads,
                    scale: share(total, threads),
                    kind,
                }),
        );
    }
    if plan.is_empty() {
        return Err("nothing to run: xmalloc takes two threads".to_owned());
    }
    Ok(plan)
}

/// A thread's share of the work.
fn share(total: u32, threads: usize) -> u32 {
    (total / threads as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::plan;

    #[test]
    fn all_threads_together_do_the_same_work() {
        let plan = plan(&["larson".to_owned()], &[], false).expect("a workload");
        assert_eq!(plan.len(), 7);
        let blocks: Vec<u64> = plan.iter().map(super::Step::blocks).collect();
        let (least, most) = (blocks.iter().min(), blocks.iter().max());
        assert!(least.zip(most).is_some_and(|(a, b)| 10 * b <= 12 * a));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let failure = plan(&["lars".to_owned()], &[], true).err();
        assert!(failure.is_some_and(|text| text.starts_with("lars: ")));
        assert!(plan(&["xmalloc".to_owned()], &[1], true).is_err());
    }
}
