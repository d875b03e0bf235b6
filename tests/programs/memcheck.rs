//! A Rust program on bifold with one mistake, or none, for memcheck to find.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::hint::black_box;
use std::thread;

use bifold::{Bifold, Heap};

#[global_allocator]
static ALLOCATOR: Bifold = Bifold::new();

/// What programs do, in several threads, with all kinds of blocks.
fn clean() {
    let work = |seed: usize| {
        let mut words = HashMap::new();
        for n in 0..2000 {
            words.insert(n * seed, vec![n as u8; n * 7 % 3000]);
            words.remove(&(n / 2 * seed));
        }
        let mut grown = Vec::new();
        grown.extend(0..100_000u32);
        grown.shrink_to(10);
        words.values().map(Vec::len).sum::<usize>() + grown.len()
    };
    let threads: Vec<_> = (1..4)
        .map(|seed| thread::spawn(move || work(seed)))
        .collect();
    for thread in threads {
        assert!(thread.join().expect("it does not panic") > 0);
    }
    let heap = Heap::new().expect("there is memory");
    for size in [1, 100, 5000, 50_000, 1 << 20] {
        let layout = Layout::from_size_align(size, 16).expect("small");
        let block = heap.allocate_zeroed(layout).expect("there is memory");
        // SAFETY: the block is that long, and read as zeros.
        assert_eq!(unsafe { block.add(size - 1).read() }, 0);
    }
    drop(heap);
    bifold::trim();
    assert!(bifold::stats().window.live > 0);
}

#[inline(never)]
fn lose() {
    black_box(Box::leak(vec![1u8; 777].into_boxed_slice()));
}

fn main() {
    let layout = Layout::from_size_align(100, 1).expect("small");
    let case = std::env::args().nth(1).expect("a case");
    // SAFETY: there is none, on purpose, but in the first two.
    unsafe {
        match case.as_str() {
            "clean" => clean(),
            "leak" => lose(),
            "overrun" => black_box(alloc(layout)).add(100).write_volatile(1),
            "read_after_free" => {
                let block = black_box(alloc(layout));
                dealloc(block, layout);
                black_box(block.read_volatile());
            }
            "uninitialised" => {
                let block = black_box(alloc(layout));
                if block.add(50).read_volatile() == 7 {
                    println!("seven");
                }
                dealloc(block, layout);
            }
            other => panic!("no case {other}"),
        }
    }
}
