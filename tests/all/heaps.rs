//! `Heap`: a heap as a value.

#[cfg(feature = "allocator-api2")]
mod collections;
mod drops;
mod locked;

use std::alloc::Layout;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::thread;

use bifold::{AllocError, Heap};

use crate::support::alone;

const PAGE: usize = 4096;

fn layout(size: usize, alignment: usize) -> Layout {
    Layout::from_size_align(size, alignment).unwrap()
}

/// A block's address that may go to another thread.
#[derive(Clone, Copy)]
struct Sent(NonNull<u8>);

// SAFETY: it is an address; what is done with it is stated there.
unsafe impl Send for Sent {}

impl Sent {
    fn get(self) -> NonNull<u8> {
        self.0
    }
}

/// Fills a block with bytes.
fn fill(block: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: the tests' blocks are that long.
    unsafe { block.write_bytes(byte, size) }
}

fn holds(block: NonNull<u8>, size: usize, byte: u8) -> bool {
    // SAFETY: as above, and the bytes were written.
    let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), size) };
    bytes.iter().all(|&found| found == byte)
}

/// Sizes of all kinds: slabs of both lengths, runs, and mappings.
const SIZES: [usize; 12] = [
    1,
    16,
    100,
    1000,
    1024,
    5000,
    9000,
    40_000,
    65_536,
    100_000,
    300_000,
    3 << 20,
];

#[test]
fn heaps_go_to_other_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Heap>();
    is_send_and_sync::<AllocError>();
}

#[test]
fn many_heaps_live_at_once_and_go_in_any_order() {
    for round in 0..5 {
        let mut heaps: Vec<_> = (0..200).map(|_| Heap::new().unwrap()).collect();
        let blocks: Vec<_> = heaps
            .iter()
            .enumerate()
            .map(|(number, heap)| {
                let block = heap.allocate(layout(200, 8)).unwrap();
                fill(block, 200, number as u8);
                block
            })
            .collect();
        for (number, &block) in blocks.iter().enumerate() {
            assert!(holds(block, 200, number as u8));
        }
        while !heaps.is_empty() {
            heaps.swap_remove((round * 7) % heaps.len());
        }
    }
}

#[test]
fn two_heaps_share_no_page() {
    let heaps = [Heap::new().unwrap(), Heap::new().unwrap()];
    let [one, other] = heaps.each_ref().map(|heap| {
        let mut pages = BTreeSet::new();
        for size in SIZES {
            for _ in 0..20 {
                let first = heap.allocate(layout(size, 1)).unwrap().addr().get();
                pages.extend(first / PAGE..=(first + size - 1) / PAGE);
            }
        }
        pages
    });
    assert!(one.is_disjoint(&other));
}

#[test]
fn blocks_are_freed_by_other_threads() {
    let heap = Heap::new().unwrap();
    for round in 0..20 {
        let blocks: Vec<_> = SIZES
            .iter()
            .flat_map(|&size| {
                (0..50)
                    .map(move |_| size)
                    .take(if size > 9000 { 3 } else { 50 })
            })
            .map(|size| {
                let block = heap.allocate(layout(size, 1)).unwrap();
                fill(block, size, round);
                (Sent(block), size)
            })
            .collect();
        thread::scope(|scope| {
            for part in blocks.chunks(blocks.len() / 3 + 1) {
                let (part, heap) = (part.to_vec(), &heap);
                scope.spawn(move || {
                    for (block, size) in part {
                        assert!(holds(block.get(), size, round));
                        // SAFETY: the block is the heap's, and this thread's.
                        unsafe { heap.deallocate(block.get(), layout(size, 1)) };
                    }
                });
            }
        });
    }
}

#[test]
fn threads_allocate_from_one_heap() {
    let heap = Heap::new().unwrap();
    let starts = thread::scope(|scope| {
        let threads: Vec<_> = (0..4u8)
            .map(|thread| {
                let heap = &heap;
                scope.spawn(move || {
                    let mut blocks = Vec::new();
                    for round in 0..2000usize {
                        let size = SIZES[round % 6];
                        let block = heap.allocate(layout(size, 1)).unwrap();
                        fill(block, size, thread);
                        blocks.push((block, size));
                        if round % 3 == 0 {
                            let (block, size) = blocks.swap_remove(round % blocks.len());
                            assert!(holds(block, size, thread));
                            // SAFETY: the block is the heap's, and this thread's.
                            unsafe { heap.deallocate(block, layout(size, 1)) };
                        }
                    }
                    assert!(
                        blocks
                            .iter()
                            .all(|&(block, size)| holds(block, size, thread))
                    );
                    blocks
                        .iter()
                        .map(|(block, _)| block.addr())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|it| it.join().unwrap())
            .collect::<Vec<_>>()
    });
    let distinct: BTreeSet<_> = starts.iter().collect();
    assert_eq!(distinct.len(), starts.len());
}

/// The heap goes to another thread, which drops it when the one that filled it
/// is gone.
#[test]
fn a_heap_outlives_the_thread_that_filled_it() {
    let (heap, block) = thread::spawn(|| {
        let heap = Heap::new().unwrap();
        let block = heap.allocate(layout(1000, 1)).unwrap();
        fill(block, 1000, 7);
        (heap, Sent(block))
    })
    .join()
    .unwrap();
    assert!(holds(block.get(), 1000, 7));
    let other = heap.allocate(layout(1000, 1)).unwrap();
    assert_ne!(other, block.get());
    thread::spawn(move || drop(heap)).join().unwrap();
}

#[test]
fn zeroed_blocks_are_zero() {
    let heap = Heap::new().unwrap();
    for size in SIZES {
        for round in 0..8 {
            let blocks: Vec<_> = (0..6)
                .map(|_| heap.allocate_zeroed(layout(size, 1)).unwrap())
                .collect();
            for block in blocks {
                assert!(holds(block, size, 0), "{size} bytes, round {round}");
                fill(block, size, 0xff);
                // SAFETY: the block is the heap's, and not used.
                unsafe { heap.deallocate(block, layout(size, 1)) };
            }
        }
    }
}

#[test]
fn blocks_are_aligned() {
    let heap = Heap::new().unwrap();
    for shift in 0..=22 {
        for size in SIZES {
            let layout = layout(size, 1 << shift);
            let blocks = [heap.allocate(layout), heap.allocate_zeroed(layout)].map(Result::unwrap);
            for block in blocks {
                assert!(block.addr().get().is_multiple_of(1 << shift), "{layout:?}");
                fill(block, size, 1);
                // SAFETY: the block is the heap's, and not used.
                unsafe { heap.deallocate(block, layout) };
            }
        }
    }
}

#[test]
fn requests_of_no_bytes_get_blocks() {
    let heap = Heap::new().unwrap();
    let nothing = layout(0, 1);
    let [one, other] = [
        heap.allocate(nothing).unwrap(),
        heap.allocate(nothing).unwrap(),
    ];
    assert_ne!(one, other);
    // SAFETY: the blocks are the heap's, and not used.
    unsafe {
        heap.deallocate(one, nothing);
        let longer = heap.reallocate(other, nothing, layout(100, 1)).unwrap();
        heap.deallocate(longer, layout(100, 1));
    }
}

#[test]
fn reallocation_keeps_contents_and_alignment() {
    let heap = Heap::new().unwrap();
    for from in SIZES {
        for to in SIZES {
            for (align, new_align) in [(1, 1), (64, 64), (8, 4096), (4096, 8)] {
                let (old, new) = (layout(from, align), layout(to, new_align));
                let block = heap.allocate(old).unwrap();
                fill(block, from, 5);
                // SAFETY: the block is the heap's, with that layout.
                let block = unsafe { heap.reallocate(block, old, new) }.unwrap();
                assert!(holds(block, from.min(to), 5), "{old:?} to {new:?}");
                assert!(block.addr().get().is_multiple_of(new_align));
                fill(block, to, 6);
                // SAFETY: the block is the heap's, and not used.
                unsafe { heap.deallocate(block, new) };
            }
        }
    }
}

#[test]
fn reallocation_stays_in_place_where_there_is_room() {
    let heap = Heap::new().unwrap();
    let block = heap.allocate(layout(1000, 1)).unwrap();
    // SAFETY: the block is the heap's, with those layouts.
    unsafe {
        let longer = heap
            .reallocate(block, layout(1000, 1), layout(1010, 1))
            .unwrap();
        let shorter = heap
            .reallocate(longer, layout(1010, 1), layout(600, 1))
            .unwrap();
        assert_eq!((longer, shorter), (block, block));
        let short = heap
            .reallocate(shorter, layout(600, 1), layout(10, 1))
            .unwrap();
        assert_ne!(short, block);
    }
}

#[test]
fn large_blocks_and_sizes_that_no_memory_can_hold() {
    let heap = Heap::new().unwrap();
    for size in [64 << 20, 256 << 20] {
        let block = heap.allocate_zeroed(layout(size, 1)).unwrap();
        for offset in (0..size).step_by(1 << 20) {
            // SAFETY: the offset lies in the block.
            unsafe {
                assert_eq!(block.add(offset).read(), 0);
                block.add(offset).write(1);
            }
        }
        // SAFETY: the block is the heap's, with that layout.
        let block = unsafe { heap.reallocate(block, layout(size, 1), layout(size / 4, 1)) };
        // SAFETY: the first byte was written.
        assert_eq!(unsafe { block.unwrap().read() }, 1);
    }
    for size in [isize::MAX as usize, 1 << 62, 1 << 55] {
        assert_eq!(heap.allocate(layout(size, 1)), Err(AllocError));
        assert_eq!(heap.allocate_zeroed(layout(size, 1)), Err(AllocError));
    }
    let block = heap.allocate(layout(100, 1)).unwrap();
    fill(block, 100, 3);
    // SAFETY: the block is the heap's; when it fails it stays.
    let moved = unsafe { heap.reallocate(block, layout(100, 1), layout(1 << 62, 1)) };
    assert_eq!(moved, Err(AllocError));
    assert!(holds(block, 100, 3));
}

/// The page faults of this thread so far that needed no reading from disk.
fn faults() -> i64 {
    // SAFETY: all zeros is a valid `rusage`, and it is valid for the write.
    unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &mut usage), 0);
        usage.ru_minflt
    }
}

/// The page faults that the machine takes to let a mapping grow to 100 MiB, step by
/// step and untouched. An emulator has tables of its own for that.
fn faults_of_moving() -> i64 {
    const STEP: usize = 1 << 20;
    let before = faults();
    // SAFETY: a mapping that nobody else knows, and that nobody touches.
    unsafe {
        let mut mapping = libc::mmap(
            std::ptr::null_mut(),
            STEP,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        for length in (1..100).map(|steps| steps * STEP) {
            assert_ne!(mapping, libc::MAP_FAILED);
            mapping = libc::mremap(mapping, length, length + STEP, libc::MREMAP_MAYMOVE);
        }
        libc::munmap(mapping, 100 * STEP);
    }
    faults() - before
}

#[test]
fn a_long_block_grows_by_moving_pages_and_not_bytes() {
    const MOST: i64 = 5000;
    let own = faults_of_moving();
    if own >= MOST {
        return eprintln!("skipped: {own} faults where nothing but mappings move");
    }
    let heap = Heap::new().unwrap();
    let layout = |mebibytes: usize| Layout::from_size_align(mebibytes << 20, 16).unwrap();
    let mut block = heap.allocate(layout(1)).unwrap();
    let before = faults();
    for mebibytes in 1..100 {
        // SAFETY: the block is live, of this heap and of this layout.
        block =
            unsafe { heap.reallocate(block, layout(mebibytes), layout(mebibytes + 1)) }.unwrap();
    }
    // Copies would touch some 5,000 MiB.
    assert!(faults() - before < MOST, "{} faults", faults() - before);
}
