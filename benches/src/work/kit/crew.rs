//! Threads that do the same work side by side.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Runs `work` for each index below `threads`, each on a thread of its own,
/// and returns the wrapping sum of what they return. A single one runs on the
/// calling thread, so that the process keeps to one.
pub fn crew(threads: usize, work: impl Fn(usize) -> u64 + Sync) -> u64 {
    if threads == 1 {
        return work(0);
    }
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        for index in 0..threads {
            let (sum, work) = (&sum, &work);
            scope.spawn(move || sum.fetch_add(work(index), Ordering::Relaxed));
        }
    });
    sum.into_inner()
}
