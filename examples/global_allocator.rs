//! A whole program on bifold: its collections, its threads, its strings.
//!
//! ```text
//! cargo run --release --example global_allocator
//! ```
//!
//! It prints how much memory is resident while a program grows, after it has
//! freed most, and after what is wholly free has been given back.

use std::collections::BTreeMap;
use std::{fs, io, thread};

#[global_allocator]
static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();

/// The KiB that have memory behind them, from /proc/self/status.
fn resident() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let figure = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    Ok(figure.and_then(|kib| kib.parse().ok()).unwrap_or(0))
}

fn show(when: &str) -> io::Result<()> {
    println!("{when:<44} {:>7} KiB resident", resident()?);
    Ok(())
}

/// Words and where they occur: many short blocks of many lengths.
fn index(thread: usize) -> BTreeMap<String, Vec<usize>> {
    let mut index: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for place in 0..200_000 {
        let word = format!("word {} of thread {thread}", place * 7919 % 50_000);
        index.entry(word).or_default().push(place);
    }
    index
}

fn main() -> io::Result<()> {
    show("at the start")?;
    let threads: Vec<_> = (0..4)
        .map(|thread| thread::spawn(move || index(thread)))
        .collect();
    let indices: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("no thread panics"))
        .collect();
    let words: usize = indices.iter().map(BTreeMap::len).sum();
    show(&format!("four threads have indexed {words} words"))?;
    // The blocks are those of threads that have ended.
    drop(indices);
    show("the indices are dropped, by another thread")?;
    let bytes = bifold::trim();
    show(&format!("trim has given {} KiB back", bytes >> 10))
}
