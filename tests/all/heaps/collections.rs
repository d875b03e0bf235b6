//! `allocator-api2`: collections in a heap.

use std::alloc::Layout;
use std::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use bifold::{Bifold, Heap};

use super::{fill, holds, layout};

#[test]
fn a_vector_grows_in_a_heap() {
    let heap = Heap::new().unwrap();
    let mut numbers = Vec::new_in(&heap);
    for number in 0..500_000u32 {
        numbers.push(number);
    }
    assert!(numbers.iter().copied().eq(0..500_000));
    numbers.truncate(1000);
    numbers.shrink_to_fit();
    assert!(numbers.iter().copied().eq(0..1000));
    let nested: Vec<Vec<u8, _>, _> = {
        let mut nested = Vec::new_in(&heap);
        nested.extend((0..100).map(|n| {
            let mut inner = Vec::new_in(&heap);
            inner.resize(n, n as u8);
            inner
        }));
        nested
    };
    assert!(
        nested
            .iter()
            .enumerate()
            .all(|(n, inner)| inner.iter().all(|&b| usize::from(b) == n))
    );
}

#[test]
fn a_collection_may_own_its_heap() {
    let mut words: Vec<Box<str, Bifold>, Heap> = Vec::new_in(Heap::new().unwrap());
    for word in ["one", "two", "three"] {
        words.push(boxed(word));
    }
    let moved = words;
    assert_eq!(moved.iter().map(|word| word.len()).sum::<usize>(), 11);
}

fn boxed(word: &str) -> Box<str, Bifold> {
    let mut bytes = Vec::new_in(Bifold::new());
    bytes.extend_from_slice(word.as_bytes());
    let (pointer, bifold) = Box::into_raw_with_allocator(bytes.into_boxed_slice());
    // SAFETY: the bytes are a string's, in a box of that allocator.
    unsafe { Box::from_raw_in(pointer as *mut str, bifold) }
}

#[test]
fn types_without_a_size_need_no_block() {
    let heap = Heap::new().unwrap();
    let unit = Box::new_in((), &heap);
    let mut units = Vec::new_in(&heap);
    units.resize(1000, ());
    assert_eq!((*unit, units.len()), ((), 1000));
}

/// What both allocators must do with blocks that grow and shrink.
fn check_contract(allocator: &impl Allocator) {
    let sizes = [0, 1, 16, 100, 3000, 9000, 70_000, 200_000, 5 << 20];
    let check = |block: NonNull<[u8]>, layout: Layout, kept: usize, byte: u8| {
        assert_eq!(block.len(), layout.size());
        let block = block.cast::<u8>();
        assert!(block.addr().get().is_multiple_of(layout.align()));
        assert!(holds(block, kept, byte));
        block
    };
    for (at, &small) in sizes.iter().enumerate() {
        for &big in &sizes[at..] {
            for (low, high) in [(1, 1), (8, 8), (1, 256), (256, 1), (8, 65_536)] {
                let (small, big) = (layout(small, low), layout(big, high));
                let block = check(allocator.allocate(small).unwrap(), small, 0, 0);
                fill(block, small.size(), 9);
                // SAFETY: the block is the allocator's, with the layout that it
                // got last, and the new layouts are longer and then shorter.
                unsafe {
                    let block = allocator.grow(block, small, big).unwrap();
                    let block = check(block, big, small.size(), 9);
                    fill(block, big.size(), 8);
                    let block = allocator.shrink(block, big, small).unwrap();
                    let block = check(block, small, small.size(), 8);
                    fill(block, small.size(), 7);
                    let block = allocator.grow_zeroed(block, small, big).unwrap();
                    let block = check(block, big, small.size(), 7);
                    assert!(holds(block.add(small.size()), big.size() - small.size(), 0));
                    fill(block, big.size(), 6);
                    allocator.deallocate(block, big);
                }
                let block = check(allocator.allocate_zeroed(big).unwrap(), big, big.size(), 0);
                fill(block, big.size(), 5);
                // SAFETY: the block is the allocator's, with that layout.
                unsafe { allocator.deallocate(block, big) };
            }
        }
    }
    assert!(allocator.allocate(layout(1 << 62, 1)).is_err());
}

#[test]
fn a_heap_keeps_the_contract() {
    check_contract(&Heap::new().unwrap());
}

#[test]
fn bifold_keeps_the_contract() {
    check_contract(&Bifold::new());
}
