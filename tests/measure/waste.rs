//! How much larger than asked for the blocks are: usable/requested over sizes
//! from 65 B to 1 MiB, spaced log-uniformly, as `malloc_usable_size` tells it.

use super::memory::scenario;
use super::{Bar, Limit, Outcome, Rig};

pub fn bars(rig: &Rig<'_>) -> Outcome<Vec<Bar>> {
    let figures = scenario(rig, "mem_waste", &[])?;
    let worst = format!("worst for {} B", figures.get("worst_size")?);
    let bar = |name, figure, limit| Bar::new(name, figure, "x", Limit::AtMost(limit));
    Ok(vec![
        bar("usable/requested, mean", figures.get("mean")?, 1.08),
        bar("usable/requested, worst", figures.get("worst")?, 1.25).detail(worst),
        Bar::new(
            "sizes served short",
            figures.get("short")?,
            "",
            Limit::AtMost(0.0),
        ),
    ])
}
