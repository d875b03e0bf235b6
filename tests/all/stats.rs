//! The figures: that they add up, that they are the program's and the kernel's,
//! and that all renderings say the same.

mod kernel;
mod renderings;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bifold::internals::usable_size;
use bifold::{Bifold, Heap, Stats};

use crate::support::{alone, cases};

cases! { api_stats:
    the_json_is_whole
    a_null_function_gets_nothing
    the_function_may_allocate
    errno_stays
    standard_error_may_be_closed
    no_descriptor_is_left
    the_first_thread_has_ended
    after_a_fork
    mallinfo_has_the_same_figures
    many_threads_ask_while_others_allocate
    a_thread_with_a_small_stack
}

const PAGE: usize = 4096;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

/// Blocks of one size, of which every byte is written.
fn filled(heap: &Heap, size: usize, number: usize) -> Vec<NonNull<u8>> {
    let fill = |_| {
        let block = heap.allocate(layout(size)).unwrap();
        // SAFETY: the block is that long.
        unsafe { block.write_bytes(1, size) };
        block
    };
    (0..number).map(fill).collect()
}

fn free(heap: &Heap, blocks: impl IntoIterator<Item = NonNull<u8>>, size: usize) {
    for block in blocks {
        // SAFETY: the block is one of the heap's, of that size, and not used.
        unsafe { heap.deallocate(block, layout(size)) };
    }
}

fn usable(blocks: &[NonNull<u8>]) -> usize {
    blocks.iter().map(|block| usable_size(block.as_ptr())).sum()
}

/// What holds where no other thread is at it: see [`Stats`].
fn assert_adds_up(stats: &Stats) {
    let kinds = [stats.in_slabs, stats.in_runs, stats.in_large];
    assert_eq!(
        stats.live.number,
        kinds.iter().map(|kind| kind.number).sum()
    );
    assert_eq!(stats.live.bytes, kinds.iter().map(|kind| kind.bytes).sum());

    let sum =
        |of: fn(&bifold::stats::Class) -> usize| stats.classes().iter().map(of).sum::<usize>();
    assert_eq!(stats.in_slabs.number, sum(|class| class.live));
    assert_eq!(
        stats.in_slabs.bytes,
        sum(|class| class.live * class.block_size)
    );
    let slab_bytes = sum(|class| class.slab_bytes);
    for class in stats.classes() {
        assert!((class.live + class.free) * class.block_size <= class.slab_bytes);
        assert_eq!(class.slabs == 0, class.slab_bytes == 0);
    }

    let all = stats.total();
    assert_eq!(all.live, stats.live.bytes);
    assert_eq!(
        all.reserved,
        stats.areas().iter().map(|(_, area)| area.reserved).sum()
    );
    for (name, area) in stats.areas().into_iter().chain([("all", all)]) {
        let parts = area.live + area.cached + area.clean + area.other;
        assert_eq!(area.reserved, parts, "{name}");
        assert_eq!(area.committed, area.reserved - area.clean, "{name}");
        assert!(
            area.resident.is_none_or(|bytes| bytes <= area.reserved),
            "{name}"
        );
    }
    let window = &stats.window;
    let first_page = if window.reserved > 0 { PAGE } else { 0 };
    assert_eq!(
        window.reserved,
        slab_bytes + stats.in_runs.bytes + stats.dirty + window.clean + first_page
    );
    assert_eq!(window.live, stats.in_slabs.bytes + stats.in_runs.bytes);
    assert_eq!(
        window.cached,
        stats.dirty + sum(|class| class.free * class.block_size)
    );
    assert_eq!(stats.large.live, stats.in_large.bytes);
    assert!(stats.most_window >= window.reserved);
    assert!(stats.most_large >= stats.large.live);
}

fn checked_stats() -> Stats {
    let stats = bifold::stats();
    assert_adds_up(&stats);
    stats
}

#[test]
fn nothing_is_nothing() {
    alone("stats::nothing_is_nothing", || {
        let stats = checked_stats();
        assert_eq!((stats.live.number, stats.heaps), (0, 0));
        assert_eq!(stats.window.reserved, 0);
        assert_eq!(stats.window.resident, Some(0));
        assert_eq!(stats.metadata.reserved, 0);
    });
}

#[test]
fn live_is_what_the_program_has() {
    alone("stats::live_is_what_the_program_has", || {
        let heap = Heap::new().unwrap();
        let small = filled(&heap, 100, 5000);
        let medium = filled(&heap, 20_000, 50);
        let runs = filled(&heap, 100_000, 30);
        let large = filled(&heap, 3_000_000, 7);
        let stats = checked_stats();
        assert_eq!(stats.heaps, 1);
        assert_eq!(stats.in_slabs.number, 5050);
        assert_eq!(stats.in_slabs.bytes, usable(&small) + usable(&medium));
        assert_eq!(stats.in_runs.number, 30);
        assert_eq!(stats.in_runs.bytes, usable(&runs));
        assert_eq!(stats.in_large.number, 7);
        assert_eq!(stats.in_large.bytes, usable(&large));
        for (size, number) in [(112, 5000), (20_480, 50)] {
            let class = stats
                .classes()
                .iter()
                .find(|class| class.block_size == size);
            assert_eq!(class.map(|class| class.live), Some(number));
        }

        // Half of it, and then all, is free again.
        let halves = [
            (100, small),
            (20_000, medium),
            (100_000, runs),
            (3_000_000, large),
        ];
        let mut left = Vec::new();
        for (size, mut blocks) in halves {
            let kept = blocks.split_off(blocks.len() / 2);
            free(&heap, blocks, size);
            left.push((size, kept));
        }
        let stats = checked_stats();
        assert_eq!(stats.live.number, 2525 + 15 + 4);
        assert_eq!(
            stats.live.bytes,
            left.iter().map(|(_, kept)| usable(kept)).sum()
        );
        assert!(stats.window.cached > 0);
        for (size, kept) in left {
            free(&heap, kept, size);
        }
        let stats = checked_stats();
        assert_eq!((stats.live.number, stats.live.bytes), (0, 0));
        assert_eq!(stats.most_large, 7 * 3_000_000usize.next_multiple_of(PAGE));
        bifold::trim();
        let stats = checked_stats();
        assert_eq!((stats.dirty, stats.large.cached), (0, 0));
        assert_eq!(stats.window.committed, PAGE);
        drop(heap);
        assert_eq!(checked_stats().heaps, 0);
    });
}

/// Blocks of threads that live, of ones that have died, and freed by others.
#[test]
fn the_figures_of_all_threads_add_up() {
    alone("stats::the_figures_of_all_threads_add_up", || {
        const EACH: usize = 3000;
        let sizes = [24, 400, 5000, 30_000];
        let fill = move || -> Vec<(usize, usize)> {
            let allocate = |n: usize| {
                let size = sizes[n % sizes.len()];
                // SAFETY: the size is not 0.
                (unsafe { Bifold::new().alloc(layout(size)) } as usize, size)
            };
            (0..EACH).map(allocate).collect()
        };
        let free = |blocks: &[(usize, usize)]| {
            for &(block, size) in blocks {
                // SAFETY: the block has that size and is not used.
                unsafe { Bifold::new().dealloc(block as *mut u8, layout(size)) };
            }
        };
        let mut held = Vec::new();
        for round in 0..4 {
            held.push(thread::spawn(fill).join().unwrap());
            let mine = fill();
            let stats = checked_stats();
            assert_eq!(stats.in_slabs.number, (held.len() + 1) * EACH);
            free(&mine);
            if round == 2 {
                free(&held.swap_remove(0));
            }
            assert_eq!(checked_stats().in_slabs.number, held.len() * EACH);
        }
        held.iter().for_each(|blocks| free(blocks));
        assert_eq!(checked_stats().live.number, 0);
        bifold::trim();
        assert_eq!(checked_stats().live.number, 0);
    });
}

/// Trim takes the pages of slabs that another thread has as its current ones.
#[test]
fn slabs_that_trim_has_emptied_add_up() {
    alone("stats::slabs_that_trim_has_emptied_add_up", || {
        const BLOCKS: usize = 2000;
        let use_some = || {
            let blocks: Vec<_> = (0..BLOCKS)
                // SAFETY: the size is not 0.
                .map(|_| unsafe { Bifold::new().alloc(layout(64)) })
                .collect();
            for &block in &blocks[1..] {
                // SAFETY: the block has that size and is not used.
                unsafe { Bifold::new().dealloc(block, layout(64)) };
            }
            blocks[0] as usize
        };
        let (freed, trimmed) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                // SAFETY: as above.
                let free = |block| unsafe { Bifold::new().dealloc(block as *mut u8, layout(64)) };
                free(use_some());
                freed.wait();
                trimmed.wait();
                let block = use_some();
                freed.wait();
                trimmed.wait();
                free(block);
            });
            freed.wait();
            let before = checked_stats();
            bifold::trim();
            let after = checked_stats();
            assert_eq!((before.live.number, after.live.number), (0, 0));
            let free = |stats: &Stats| {
                stats
                    .classes()
                    .iter()
                    .map(|class| class.free)
                    .sum::<usize>()
            };
            assert!(free(&after) < free(&before), "{after}");
            assert!(after.window.cached < before.window.cached);
            trimmed.wait();
            freed.wait();
            assert_eq!(checked_stats().live.number, 1);
            trimmed.wait();
        });
        assert_eq!(checked_stats().live.number, 0);
    });
}

#[test]
fn figures_are_plausible_while_others_allocate() {
    alone("stats::figures_are_plausible_while_others_allocate", || {
        static DONE: AtomicBool = AtomicBool::new(false);
        const MOST: usize = 64 << 20;
        let churn = |seed: usize| {
            let heap = Heap::new().unwrap();
            let sizes = [16, 900, 9000, 70_000, 400_000];
            let mut n = seed;
            while !DONE.load(Ordering::Relaxed) {
                n += 1;
                let size = sizes[n % sizes.len()];
                let number = n * 7 % 50;
                let blocks = filled(&heap, size, number);
                free(&heap, blocks, size);
                // SAFETY: the block has that size, and is not used.
                unsafe {
                    let block = Bifold::new().alloc(layout(size));
                    Bifold::new().dealloc(block, layout(size));
                }
            }
        };
        let plausible = || {
            for _ in 0..200 {
                let stats = bifold::stats();
                assert!(stats.live.bytes < MOST, "{stats}");
                for (name, area) in stats.areas() {
                    assert!(
                        area.live < MOST && area.resident.unwrap() < 4 * MOST,
                        "{name}: {stats}"
                    );
                }
                assert!(stats.classes().iter().all(|class| class.free < 1 << 24));
            }
        };
        thread::scope(|scope| {
            let churning: Vec<_> = (0..3).map(|n| scope.spawn(move || churn(n))).collect();
            let asking: Vec<_> = (0..2).map(|_| scope.spawn(plausible)).collect();
            let results: Vec<_> = asking.into_iter().map(|thread| thread.join()).collect();
            DONE.store(true, Ordering::Relaxed);
            churning
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            results.into_iter().for_each(|result| result.unwrap());
        });
        assert_eq!(checked_stats().live.number, 0);
    });
}
