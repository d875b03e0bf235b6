//! Explicit heaps.

use core::ffi::c_uint;
use std::ptr;

use bifold_fuzz_kit::{Input, is_limited};
use libc::{EINVAL, ENOMEM};

use super::{BLOCKS, Calls, HEAPS, NONE, Refusal, errno, plain, product, set_errno};
use crate::api;
use crate::live::Request;

impl Calls {
    pub(super) fn is_locked(&self, heap: Option<usize>) -> bool {
        heap.is_some_and(|heap| heap > 0)
    }

    /// Heap 0 is an ordinary one, the others are locked.
    pub(super) fn create(&mut self, input: &mut Input<'_>) {
        let flags = match input.byte() {
            choice @ 0..192 => c_uint::from(choice) % 3,
            _ => input.word() as c_uint,
        };
        set_errno(NONE);
        // SAFETY: no preconditions.
        let heap = unsafe { api::bifold_heap_create(flags) };
        if flags > 2 {
            assert!(heap.is_null() && errno() == EINVAL, "flags {flags:#x}");
            return;
        }
        if heap.is_null() {
            assert_eq!(errno(), ENOMEM);
            assert!(is_limited(), "a heap is some KiB");
            return;
        }
        let number = flags as usize;
        if self.heaps[number].is_null() {
            self.heaps[number] = heap;
        } else {
            // SAFETY: the heap has no blocks.
            unsafe { api::bifold_heap_destroy(heap) };
        }
    }

    /// A heap goes with its blocks.
    pub(super) fn destroy(&mut self, input: &mut Input<'_>) {
        let number = input.below(HEAPS);
        self.live.forget(number);
        // SAFETY: nobody uses the heap's blocks any more; null is none.
        unsafe { api::bifold_heap_destroy(self.heaps[number]) };
        self.heaps[number] = ptr::null_mut();
    }

    pub(super) fn in_heap(&mut self, input: &mut Input<'_>) {
        let number = input.below(HEAPS);
        let heap = self.heaps[number];
        if heap.is_null() {
            return self.create(input);
        }
        let request = Request {
            heap: Some(number),
            ..plain(0)
        };
        let locked = |refusal| match refusal {
            Refusal::Never if number > 0 => Refusal::Perhaps,
            refusal => refusal,
        };
        match input.byte() % 4 {
            0 => {
                let size = Self::size(input);
                set_errno(NONE);
                // SAFETY: the heap is there.
                let block = unsafe { api::bifold_heap_malloc(heap, size) };
                let refusal = locked(self.refusal(size, 1));
                self.result(block, Request { size, ..request }, refusal);
            }
            1 => {
                let (count, size) = product(input);
                set_errno(NONE);
                // SAFETY: the heap is there.
                let block = unsafe { api::bifold_heap_calloc(heap, count, size) };
                let (size, refusal) = self.of_product(count, size);
                let zeroed = true;
                let request = Request {
                    size,
                    zeroed,
                    ..request
                };
                self.result(block, request, locked(refusal));
            }
            2 => {
                let (alignment, size) = (Self::alignment(input), Self::size(input));
                set_errno(NONE);
                // SAFETY: the heap is there.
                let block = unsafe { api::bifold_heap_aligned_alloc(heap, alignment, size) };
                let refusal = match alignment.is_power_of_two() {
                    true => locked(self.refusal(size, alignment)),
                    false => Refusal::Alignment,
                };
                let request = Request {
                    size,
                    alignment,
                    ..request
                };
                self.result(block, request, refusal);
            }
            _ => self.realloc_in_heap(number, input),
        }
    }

    fn realloc_in_heap(&mut self, number: usize, input: &mut Input<'_>) {
        let mut old = self.live.take(input.below(BLOCKS));
        if let Some(other) = old.take_if(|old| old.heap != Some(number)) {
            self.live.put_back(other);
        }
        let size = Self::new_size(old, input);
        let address = old.map_or(ptr::null_mut(), |old| old.address);
        set_errno(NONE);
        // SAFETY: the heap is there, and the block is its own, or null.
        let block = unsafe { api::bifold_heap_realloc(self.heaps[number], address, size) };
        let refusal = match self.refusal(size, 1) {
            Refusal::Never if number > 0 => Refusal::Perhaps,
            refusal => refusal,
        };
        match old {
            Some(_) => self.resized(old, block, size, refusal),
            None => {
                let heap = Some(number);
                self.result(
                    block,
                    Request {
                        heap,
                        ..plain(size)
                    },
                    refusal,
                );
            }
        }
    }
}
