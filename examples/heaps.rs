//! Heaps as values: two that share no page, one of which goes all at once.
//!
//! ```text
//! cargo run --release --example heaps
//! ```

use std::alloc::Layout;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::{error, fs, io, thread};

use bifold::{AllocError, Heap};

const PAGE: usize = 4096;

/// The KiB that have memory behind them, from /proc/self/status.
fn resident() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let figure = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    Ok(figure.and_then(|kib| kib.parse().ok()).unwrap_or(0))
}

/// A node of a list that lives in a heap. Nothing frees it but the heap's drop.
struct Node {
    value: u64,
    next: Option<NonNull<Node>>,
}

/// Makes a list of so many nodes; returns its head.
fn list(heap: &Heap, nodes: u64) -> Result<Option<NonNull<Node>>, AllocError> {
    let mut head = None;
    for value in 0..nodes {
        let node = heap.allocate(Layout::new::<Node>())?.cast::<Node>();
        // SAFETY: the block is new, and a node's in length and alignment.
        unsafe { node.write(Node { value, next: head }) };
        head = Some(node);
    }
    Ok(head)
}

/// Calls `each` with the nodes of a list.
///
/// # Safety
///
/// The list's heap is there, and nobody changes the list.
unsafe fn for_each(head: Option<NonNull<Node>>, mut each: impl FnMut(&Node)) {
    let mut at = head;
    while let Some(node) = at {
        // SAFETY: lists hold nodes of a heap that is there.
        let node = unsafe { node.as_ref() };
        each(node);
        at = node.next;
    }
}

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("at the start:        {:>7} KiB resident", resident()?);
    let (short_lived, lasting) = (Heap::new()?, Heap::new()?);
    let requests = list(&short_lived, 2_000_000)?;
    let settings = list(&lasting, 1000)?;
    println!("two lists are made:  {:>7} KiB resident", resident()?);

    let [some, others] = [requests, settings].map(|head| {
        let mut pages = BTreeSet::new();
        // SAFETY: both heaps are there.
        unsafe {
            for_each(head, |node| {
                _ = pages.insert(&raw const *node as usize / PAGE)
            })
        };
        pages
    });
    println!(
        "they lie on {} and {} pages, of which they share {}",
        some.len(),
        others.len(),
        some.intersection(&others).count()
    );

    // One drop, from another thread, instead of two million frees.
    thread::spawn(move || drop(short_lived))
        .join()
        .expect("a drop does not panic");
    println!("one heap is dropped: {:>7} KiB resident", resident()?);

    let bytes = bifold::trim();
    println!(
        "trim gives back {} KiB: {:>4} KiB resident",
        bytes >> 10,
        resident()?
    );
    let mut sum = 0;
    // SAFETY: the lasting heap is there.
    unsafe { for_each(settings, |node| sum += node.value) };
    println!("the other list is whole: its values add up to {sum}");
    Ok(())
}
