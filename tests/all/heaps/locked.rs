//! Locked heaps through the Rust API. What is promised of their memory is
//! tested in `crate::locked`.

use std::fs;
use std::ptr::NonNull;
use std::thread;

use bifold::{AllocError, Heap, HeapBuilder};

use super::{SIZES, Sent, alone, fill, holds, layout};

/// Both ways to lock.
const WAYS: [fn(HeapBuilder) -> HeapBuilder; 2] =
    [HeapBuilder::locked, HeapBuilder::locked_on_fault];

/// The bytes that the process has locked.
fn locked() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmLck:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<usize>().unwrap() << 10
}

/// Runs a test with each kind of locked heap, in a process of its own, if that
/// may lock enough.
fn with_heaps(test: &str, body: impl Fn(Heap)) {
    alone(test, || {
        for way in WAYS {
            let heap = way(Heap::builder()).build().unwrap();
            if heap.allocate(layout(32 << 20, 1)) == Err(AllocError) {
                eprintln!("skipped: too little may be locked");
                return;
            }
            drop(heap);
            assert_eq!(locked(), 0);
            body(way(Heap::builder()).build().unwrap());
            assert_eq!(locked(), 0);
        }
    });
}

#[test]
fn every_size_is_locked() {
    with_heaps("heaps::locked::every_size_is_locked", |heap| {
        for size in SIZES {
            for alignment in [1, 64, 4096, 65_536, 2 << 20] {
                let before = locked();
                let layout = layout(size, alignment);
                let blocks = [heap.allocate(layout), heap.allocate_zeroed(layout)];
                let [block, zeroed] = blocks.map(Result::unwrap);
                assert!(holds(zeroed, size, 0));
                assert!(block.addr().get().is_multiple_of(alignment));
                fill(block, size, 1);
                fill(zeroed, size, 1);
                assert!(locked() >= before);
                assert!(locked() >= size);
                // SAFETY: the blocks are the heap's, with that layout.
                unsafe {
                    heap.deallocate(block, layout);
                    heap.deallocate(zeroed, layout);
                }
            }
        }
    });
}

#[test]
fn reallocation_keeps_contents_and_leaves_none() {
    let test = "heaps::locked::reallocation_keeps_contents_and_leaves_none";
    with_heaps(test, |heap| {
        for from in SIZES {
            for to in SIZES {
                for (align, new_align) in [(1, 1), (8, 4096), (4096, 65_536)] {
                    let (old, new) = (layout(from, align), layout(to, new_align));
                    let block = heap.allocate(old).unwrap();
                    fill(block, from, 5);
                    // SAFETY: the block is the heap's, with that layout.
                    let moved = unsafe { heap.reallocate(block, old, new) }.unwrap();
                    assert!(holds(moved, from.min(to), 5), "{old:?} to {new:?}");
                    assert!(moved.addr().get().is_multiple_of(new_align));
                    // Longer blocks are unmapped; the heap's runs are not.
                    if moved == block && to < from {
                        // SAFETY: the block is as long as it was.
                        assert!(holds(unsafe { block.add(to) }, from - to, 0));
                    } else if moved != block && (17..100_000).contains(&from) {
                        // SAFETY: the slab is there, for the block has moved
                        // out of it a moment ago.
                        assert!(holds(unsafe { block.add(16) }, from - 16, 0));
                    }
                    // SAFETY: the block is the heap's, with that layout.
                    unsafe { heap.deallocate(moved, new) };
                }
            }
        }
    });
}

#[test]
fn threads_share_a_heap() {
    with_heaps("heaps::locked::threads_share_a_heap", |heap| {
        let blocks: Vec<(Sent, usize)> = thread::scope(|scope| {
            let allocate = |thread: u8| {
                let heap = &heap;
                move || {
                    let block = |round: usize| {
                        let size = SIZES[round % 7];
                        let block = heap.allocate(layout(size, 1)).unwrap();
                        fill(block, size, thread);
                        assert!(holds(block, size, thread));
                        (Sent(block), size)
                    };
                    (0..500).map(block).collect::<Vec<_>>()
                }
            };
            let threads = [1, 2, 3].map(|thread| scope.spawn(allocate(thread)));
            threads.map(|it| it.join().unwrap()).concat()
        });
        for (block, size) in blocks {
            let first: NonNull<u8> = block.get();
            // SAFETY: a thread has written to all of it.
            assert!(holds(first, size, unsafe { first.read() }));
            // SAFETY: the block is the heap's, with that layout.
            unsafe { heap.deallocate(first, layout(size, 1)) };
        }
    });
}

#[test]
fn the_last_word_counts() {
    alone("heaps::locked::the_last_word_counts", || {
        let heap = Heap::builder().locked_on_fault().locked().build().unwrap();
        if heap.allocate(layout(1, 1)).is_err() {
            eprintln!("skipped: nothing may be locked");
            return;
        }
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        assert!(smaps.contains(" lo ") && !smaps.contains(" lf "));
    });
}

/// Figures and trim know of guards.
#[test]
fn figures_add_up() {
    with_heaps("heaps::locked::figures_add_up", |heap| {
        bifold::trim();
        let before = bifold::stats().live.bytes;
        let blocks = SIZES.map(|size| (heap.allocate(layout(size, 1)).unwrap(), size));
        let asked: usize = SIZES.iter().sum();
        let between = bifold::stats().live.bytes - before;
        assert!((asked..asked + asked / 8).contains(&between), "{between}");
        for (block, size) in blocks {
            // SAFETY: the block is the heap's, with that layout.
            unsafe { heap.deallocate(block, layout(size, 1)) };
        }
        bifold::trim();
        assert_eq!(bifold::stats().live.bytes, before);
    });
}
