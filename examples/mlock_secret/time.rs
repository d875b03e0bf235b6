//! What a key costs.

use std::time::Instant;

use bifold::AllocError;

use crate::common::table::Table;
use crate::common::{Outcome, children, skip};
use crate::{KEY, Way, layout, put, run};

/// How many keys the heap has that is made and dropped. They fit in the least
/// limit that kernels have had, 64 KiB.
const KEYS: u32 = 1024;

/// The child that takes the time, in nanoseconds, the least of five; without a
/// row where the kernel locks nothing.
pub fn child(way: Way, rounds: u32) -> Outcome<()> {
    let layout = layout(KEY.len())?;
    let pair = || {
        let heap = way.heap()?;
        let start = Instant::now();
        for _ in 0..rounds {
            let key = put(&heap, layout)?;
            // SAFETY: the block is the heap's, with that layout.
            unsafe { heap.deallocate(key, layout) };
        }
        Ok(start.elapsed().as_nanos() as f64 / f64::from(rounds))
    };
    let whole = || {
        let mut keys = Vec::with_capacity(KEYS as usize);
        let start = Instant::now();
        let heap = way.heap()?;
        for _ in 0..KEYS {
            keys.push(put(&heap, layout)?);
        }
        for key in keys {
            // SAFETY: the block is the heap's, with that layout.
            unsafe { heap.deallocate(key, layout) };
        }
        drop(heap);
        Ok(start.elapsed().as_nanos() as f64 / f64::from(KEYS))
    };
    if let (Ok(pair), Ok(whole)) = (least(pair), least(whole)) {
        println!("pair {pair} whole {whole}");
    }
    Ok(())
}

fn least(run: impl Fn() -> Result<f64, AllocError>) -> Result<f64, AllocError> {
    (0..5).try_fold(f64::MAX, |least, _| Ok(least.min(run()?)))
}

/// Prints the time of a key in each kind of heap.
pub fn experiment(rounds: u32) -> Outcome<()> {
    let whole = format!("ns, in a heap of {KEYS}");
    let mut table = Table::new(["a key's heap", "ns, alone", &whole]);
    for way in [Way::Ordinary, Way::AtOnce, Way::OnFault] {
        let (text, complaint) = run(&["time", way.argument(), &rounds.to_string()])?;
        let Some(row) = children::rows_in(&text)?.pop() else {
            skip(&way.name(), &complaint);
            continue;
        };
        let figure = |name| format!("{:.1}", row.get(name));
        table.row(vec![way.name(), figure("pair"), figure("whole")]);
    }
    table.print("The time of allocate, a copy of the key, and deallocate");
    Ok(())
}
