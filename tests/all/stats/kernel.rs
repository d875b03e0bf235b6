//! What the kernel says is what smaps says of bifold's memory, and of no other.

use std::alloc::Layout;
use std::fs;
use std::ops::Range;
use std::ptr::NonNull;

use bifold::{Heap, Stats};

use super::{checked_stats, filled, free, usable};
use crate::support::alone;

/// Under a limit on address space free units of the window are unmapped, and
/// mapped again.
#[test]
fn a_window_with_holes_adds_up() {
    alone("stats::kernel::a_window_with_holes_adds_up", || {
        const MIB: usize = 1 << 20;
        let heap = Heap::new().unwrap();
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
        // SAFETY: it only reads.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let limit = (pages * page + 400 * MIB) as libc::rlim_t;
        let limit = libc::rlimit {
            rlim_cur: limit,
            rlim_max: limit,
        };
        // SAFETY: the value is valid for the read.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        // SAFETY: a new mapping disturbs nothing, and is left.
        let beyond = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(
                std::ptr::null_mut(),
                800 * MIB,
                libc::PROT_READ,
                flags,
                -1,
                0,
            )
        };
        if beyond != libc::MAP_FAILED {
            return eprintln!("skipped: the address space cannot be limited");
        }

        let blocks = filled(&heap, 100_000, 2500);
        let (kept, freed): (Vec<_>, Vec<_>) = (0..).zip(blocks).partition(|(n, _)| n % 500 == 0);
        free(&heap, freed.into_iter().map(|(_, block)| block), 100_000);
        let full = checked_stats();
        let long = filled(&heap, 300 * MIB, 1);
        let holed = checked_stats();
        assert!(
            holed.window.reserved < full.window.reserved - 50 * MIB,
            "{holed}"
        );
        let addresses = window_around(kept[0].1);
        assert_eq!(
            holed.window.resident,
            Some(of_smaps("Rss", addresses.clone()))
        );
        assert_eq!(holed.in_runs.number, kept.len());
        free(&heap, long, 300 * MIB);
        bifold::trim();
        filled(&heap, 100_000, 2000);
        let filled_again = checked_stats();
        assert_eq!(filled_again.in_runs.number, kept.len() + 2000);
        assert_eq!(
            filled_again.window.resident,
            Some(of_smaps("Rss", addresses))
        );
    });
}

/// A line of smaps, in bytes, for each mapping in a range of addresses.
fn of_smaps(field: &str, addresses: Range<usize>) -> usize {
    let text = fs::read_to_string("/proc/self/smaps").unwrap();
    let (mut inside, mut sum) = (false, 0);
    for line in text.lines() {
        let first = line.split(' ').next().unwrap();
        if let Some((start, end)) = first.split_once('-')
            && let (Ok(start), Ok(end)) = (
                usize::from_str_radix(start, 16),
                usize::from_str_radix(end, 16),
            )
        {
            inside = start < addresses.end && end > addresses.start;
        } else if inside && first.strip_suffix(':') == Some(field) {
            let kib = line[first.len()..].trim().strip_suffix(" kB").unwrap();
            sum += kib.parse::<usize>().unwrap() * 1024;
        }
    }
    sum
}

const GIB: usize = 1 << 30;

/// Where the window is: it starts at a multiple of a GiB, and its spans are far
/// from all else.
fn window_around(block: NonNull<u8>) -> Range<usize> {
    let base = block.addr().get() / GIB * GIB;
    base..base + GIB
}

#[test]
fn resident_is_what_smaps_says() {
    alone("stats::kernel::resident_is_what_smaps_says", || {
        let heap = Heap::new().unwrap();
        let small = filled(&heap, 100, 50_000);
        let medium = filled(&heap, 40_000, 100);
        let runs = filled(&heap, 100_000, 100);
        let large = filled(&heap, 3_000_000, 5);
        let check = |heap: &Heap| {
            let stats = checked_stats();
            let window = window_around(small[1]);
            let found = stats.window.resident.unwrap();
            let told = of_smaps("Rss", window.clone());
            assert_eq!(found, told, "{heap:?}");
            // The heap itself lies elsewhere, in less than 64 KiB.
            let metadata = stats.metadata.resident.unwrap();
            let below = of_smaps("Rss", window.start - 2 * GIB..window.start);
            assert!(
                (below..=below + (64 << 10)).contains(&metadata),
                "{metadata}, {below}"
            );
            assert!(stats.kernel.process_resident.unwrap() > found + metadata);
            stats
        };
        let full = check(&heap);
        assert!(full.window.resident.unwrap() >= full.window.live);
        assert_eq!(full.large.resident, Some(full.large.live));

        let (blocks, kept) = small.split_at(10);
        free(&heap, kept.iter().copied(), 100);
        free(&heap, medium, 40_000);
        free(&heap, runs, 100_000);
        bifold::trim();
        let trimmed = check(&heap);
        assert!(trimmed.window.resident.unwrap() < full.window.resident.unwrap() / 10);
        assert_eq!(trimmed.window.live, usable(blocks));
        free(&heap, large, 3_000_000);
        assert_eq!(checked_stats().large.live, 0);
    });
}

#[test]
fn locked_and_huge_pages_are_told() {
    alone("stats::kernel::locked_and_huge_pages_are_told", || {
        let heap = Heap::new().unwrap();
        let size = 8 << 20;
        let layout = Layout::from_size_align(size, 2 << 20).unwrap();
        let block = heap.allocate(layout).unwrap();
        let start = block.as_ptr().cast::<libc::c_void>();
        let here = block.addr().get()..block.addr().get() + size;
        // SAFETY: the block is that long, aligned to pages, and dead.
        let advised = unsafe { libc::madvise(start, size, libc::MADV_HUGEPAGE) } == 0;
        // SAFETY: the block is that long.
        unsafe { block.write_bytes(1, size) };
        let stats = checked_stats();
        assert_eq!(
            stats.kernel.huge,
            Some(of_smaps("AnonHugePages", here.clone()))
        );
        if !advised || stats.kernel.huge == Some(0) {
            eprintln!("skipped in part: the kernel gives no huge pages");
        }
        assert_eq!(stats.kernel.hugetlb, Some(0));
        assert_eq!(stats.kernel.locked, Some(0));
        // SAFETY: locking changes no byte.
        if unsafe { libc::mlock(start, size / 2) } == 0 {
            assert_eq!(checked_stats().kernel.locked, Some(size / 2));
            // SAFETY: as above.
            assert_eq!(unsafe { libc::munlock(start, size) }, 0);
            assert_eq!(checked_stats().kernel.locked, Some(0));
        } else {
            eprintln!("skipped in part: the process may not lock memory");
        }
        assert!(stats.kernel.minor_faults > 0);
    });
}

/// Nobody owns the process's other mappings but the process.
#[test]
fn memory_that_is_not_bifolds_is_not_counted() {
    alone(
        "stats::kernel::memory_that_is_not_bifolds_is_not_counted",
        || {
            let heap = Heap::new().unwrap();
            let large = filled(&heap, 1 << 20, 1);
            let size = 16 << 20;
            // SAFETY: a mapping at no particular address.
            let other = unsafe {
                let rights = libc::PROT_READ | libc::PROT_WRITE;
                let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                libc::mmap(std::ptr::null_mut(), size, rights, kind, -1, 0)
            };
            assert_ne!(other, libc::MAP_FAILED);
            let before = checked_stats();
            // SAFETY: the mapping is that long.
            unsafe { other.cast::<u8>().write_bytes(1, size) };
            let after = checked_stats();
            let grown =
                |of: fn(&Stats) -> Option<usize>| of(&after).unwrap() - of(&before).unwrap();
            assert!(grown(|stats| stats.kernel.process_resident) >= size);
            assert_eq!(grown(|stats| stats.large.resident), 0);
            assert_eq!(grown(|stats| stats.window.resident), 0);
            // SAFETY: locking changes no byte.
            if unsafe { libc::mlock(other, size) } == 0 {
                // The kernel may have joined it with the large block's mapping.
                assert!(checked_stats().kernel.locked.unwrap() <= 1 << 20);
            }
            assert_eq!(usable(&large), 1 << 20);
        },
    );
}
