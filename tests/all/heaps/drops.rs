//! What a drop gives back, seen from a process in which nothing else happens.

use std::fs;

use bifold::Heap;

use super::{SIZES, alone, fill, layout};

/// The bytes that are resident.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * page_size()
}

fn page_size() -> usize {
    // SAFETY: it only reads.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// A thousand heaps of a MiB each, one after another, take no more than the
/// first few.
#[test]
fn a_drop_frees_everything() {
    alone("heaps::drops::a_drop_frees_everything", || {
        let fill_a_heap = |number: usize| {
            let heap = Heap::new().unwrap();
            let mut bytes = 0;
            for size in SIZES
                .iter()
                .cycle()
                .skip(number)
                .filter(|&&size| size < 1 << 20)
            {
                let block = heap.allocate(layout(*size, 1)).unwrap();
                fill(block, *size, 1);
                bytes += size;
                if bytes >= 1 << 20 {
                    return;
                }
            }
        };
        (0..20).for_each(fill_a_heap);
        let (before, mapped) = (resident(), bifold::internals::figures().zone.mapped);
        (0..1000).for_each(fill_a_heap);
        let (after, mapped_after) = (resident(), bifold::internals::figures().zone.mapped);
        assert!(after < before + (4 << 20), "{before} before, {after} after");
        assert!(
            mapped_after <= mapped + (4 << 20),
            "{mapped}, {mapped_after}"
        );
        bifold::trim();
        let figures = bifold::internals::figures();
        assert_eq!((figures.slab_live, figures.run_live), (0, 0));
        assert_eq!((figures.large.blocks, figures.large.kept), (0, 0));
    });
}

#[test]
fn a_drop_unmaps_large_blocks() {
    alone("heaps::drops::a_drop_unmaps_large_blocks", || {
        let before = resident();
        for _ in 0..20 {
            let heap = Heap::new().unwrap();
            for _ in 0..10 {
                let block = heap.allocate(layout(8 << 20, 1)).unwrap();
                fill(block, 8 << 20, 1);
            }
        }
        assert_eq!(bifold::internals::figures().large.blocks, 0);
        bifold::trim();
        let after = resident();
        assert!(after < before + (4 << 20), "{before} before, {after} after");
    });
}

/// Nothing is kept back of what is freed into a heap that stays.
#[test]
fn trim_gives_back_what_is_free_in_a_heap() {
    alone(
        "heaps::drops::trim_gives_back_what_is_free_in_a_heap",
        || {
            let heap = Heap::new().unwrap();
            for size in SIZES {
                let number = (4 << 20) / size;
                let blocks: Vec<_> = (0..number.clamp(1, 10_000))
                    .map(|_| heap.allocate(layout(size, 1)).unwrap())
                    .collect();
                for block in blocks {
                    fill(block, size, 1);
                    // SAFETY: the block is the heap's, and not used.
                    unsafe { heap.deallocate(block, layout(size, 1)) };
                }
            }
            bifold::trim();
            let figures = bifold::internals::figures();
            assert_eq!(figures.in_use(), 0);
            assert_eq!(figures.zone.clean, figures.zone.free);
            assert_eq!(figures.slab_bytes, 0);
            drop(heap);
        },
    );
}
