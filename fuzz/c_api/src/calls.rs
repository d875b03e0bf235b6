//! One call after the other, and what each must return.

mod aligned;
mod heaps;
mod whole;

use core::ffi::{c_int, c_void};
use std::ptr;

use bifold_fuzz_kit::{Input, MODEST, is_limited};
use libc::{EINVAL, ENOMEM};

use crate::api;
use crate::live::{Block, Live, Request};

const PAGE: usize = 4096;
const HEAPS: usize = 3;
/// What is live at most, in bytes and blocks.
const BYTES: usize = 32 << 20;
const BLOCKS: usize = 1000;
/// The longest of most requests, as an exponent.
const EXPONENT: usize = 22;
/// Calls that look at all there is: they are slow.
const REPORTS: u32 = 2;
/// What no function sets `errno` to.
const NONE: c_int = 4242;

fn errno() -> c_int {
    // SAFETY: the location is valid for the life of the thread.
    unsafe { *libc::__errno_location() }
}

fn set_errno(value: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value }
}

/// What a request is refused for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Refusal {
    /// The alignment is none.
    Alignment,
    /// There can't be so much.
    Size,
    /// The machine need not have so much, or the call says so in either way.
    Perhaps,
    Never,
}

pub struct Calls {
    live: Live,
    heaps: [*mut c_void; HEAPS],
    reports: u32,
    /// Whether the number of mappings is limited.
    few_mappings: bool,
    operations: u64,
}

impl Calls {
    pub fn new() -> Self {
        Self {
            live: Live::default(),
            heaps: [ptr::null_mut(); HEAPS],
            reports: 0,
            few_mappings: false,
            operations: 0,
        }
    }

    pub fn step(&mut self, input: &mut Input<'_>) {
        self.operations += 1;
        if self.live.bytes() > BYTES || self.live.len() >= BLOCKS {
            for _ in 0..self.live.len() / 2 {
                self.free(0, input);
            }
        }
        match input.byte() % 64 {
            0..8 => self.malloc(input),
            8..12 => self.calloc(input),
            12..15 => self.aligned_alloc(input),
            15..18 => self.memalign(input),
            18..21 => self.posix_memalign(input),
            21 => self.valloc(input),
            22..24 => self.pvalloc(input),
            24..32 => self.realloc(input),
            32..35 => self.reallocarray(input),
            35..50 => {
                let place = input.below(BLOCKS);
                self.free(place, input);
            }
            50..57 => self.in_heap(input),
            57 => self.create(input),
            58 => self.destroy(input),
            59..61 => self.mallopt(input),
            61 => self.null(input),
            62 => self.trim(input),
            _ => self.report(),
        }
    }

    /// Everything is freed, and the parameters as they were.
    pub fn end(mut self) -> u64 {
        let mut input = Input::new(&[]);
        while self.live.len() > 0 {
            self.free(0, &mut input);
        }
        for heap in self.heaps {
            // SAFETY: the heap has no blocks any more, or is null.
            unsafe { api::bifold_heap_destroy(heap) };
        }
        for (parameter, value) in [
            (libc::M_MMAP_THRESHOLD, 128 << 10),
            (libc::M_MMAP_MAX, 65536),
            (libc::M_TOP_PAD, 0),
            (libc::M_TRIM_THRESHOLD, 512 << 10),
            (libc::M_PERTURB, 0),
            (libc::M_ARENA_MAX, 0),
        ] {
            // SAFETY: no preconditions.
            unsafe { api::mallopt(parameter, value) };
        }
        self.operations
    }

    fn size(input: &mut Input<'_>) -> usize {
        match input.byte() {
            0..16 => input.hostile(),
            _ => input.size(EXPONENT),
        }
    }

    fn alignment(input: &mut Input<'_>) -> usize {
        match input.byte() {
            choice @ 0..16 => 1usize << (choice * 4 + input.byte() % 4),
            16..64 => input.hostile(),
            64..96 => usize::from(input.byte()),
            choice => 1 << (choice % 20),
        }
    }

    /// Whether a request must, may or must not be refused.
    fn refusal(&self, size: usize, alignment: usize) -> Refusal {
        if size > isize::MAX as usize {
            Refusal::Size
        } else if size > MODEST || alignment > MODEST || is_limited() || self.few_mappings {
            Refusal::Perhaps
        } else {
            Refusal::Never
        }
    }

    /// Holds a result against what it may be. `errno` was `NONE` before.
    fn result(&mut self, block: *mut c_void, request: Request, refusal: Refusal) {
        self.moved(block, request, refusal, None);
    }

    fn moved(
        &mut self,
        block: *mut c_void,
        request: Request,
        refusal: Refusal,
        kept: Option<(Block, usize)>,
    ) {
        if block.is_null() {
            let expected = if refusal == Refusal::Alignment {
                EINVAL
            } else {
                ENOMEM
            };
            assert_ne!(refusal, Refusal::Never, "{request:?}");
            assert_eq!(errno(), expected, "{request:?}: {refusal:?}");
            return;
        }
        let may_be_served = matches!(refusal, Refusal::Never | Refusal::Perhaps);
        assert!(may_be_served, "{request:?}: {refusal:?}");
        self.live.insert(block, request, kept);
        if request.size > MODEST || request.alignment > MODEST {
            // It has no memory behind it yet, and shall not get it.
            let place = self.live.place_of(block);
            self.free(place, &mut Input::new(&[]));
        }
    }

    fn malloc(&mut self, input: &mut Input<'_>) {
        let size = Self::size(input);
        set_errno(NONE);
        // SAFETY: no preconditions.
        let block = unsafe { api::malloc(size) };
        self.result(block, plain(size), self.refusal(size, 1));
    }

    fn calloc(&mut self, input: &mut Input<'_>) {
        let (count, size) = product(input);
        set_errno(NONE);
        // SAFETY: no preconditions.
        let block = unsafe { api::calloc(count, size) };
        let (size, refusal) = self.of_product(count, size);
        let request = Request {
            zeroed: true,
            ..plain(size)
        };
        self.result(block, request, refusal);
    }

    fn of_product(&self, count: usize, size: usize) -> (usize, Refusal) {
        match count.checked_mul(size) {
            Some(size) => (size, self.refusal(size, 1)),
            None => (usize::MAX, Refusal::Size),
        }
    }

    fn realloc(&mut self, input: &mut Input<'_>) {
        let old = self.live.take(input.below(BLOCKS));
        let size = Self::new_size(old, input);
        let address = old.map_or(ptr::null_mut(), |old| old.address);
        set_errno(NONE);
        // SAFETY: the block is live, or null.
        let block = unsafe { api::realloc(address, size) };
        self.resized(old, block, size, self.refusal(size, 1));
    }

    fn reallocarray(&mut self, input: &mut Input<'_>) {
        let old = self.live.take(input.below(BLOCKS));
        let (count, size) = product(input);
        let address = old.map_or(ptr::null_mut(), |old| old.address);
        set_errno(NONE);
        // SAFETY: the block is live, or null.
        let block = unsafe { api::reallocarray(address, count, size) };
        let (size, refusal) = self.of_product(count, size);
        self.resized(old, block, size, refusal);
    }

    /// Mostly about as long as it is.
    fn new_size(old: Option<Block>, input: &mut Input<'_>) -> usize {
        match (old, input.byte()) {
            (Some(old), choice @ 0..128) => {
                old.size / 2 + (old.size + 2) * usize::from(choice) / 96
            }
            _ => Self::size(input),
        }
    }

    /// A reallocation's result: to 0 bytes a block is freed; one that can't be
    /// served leaves the block as it was.
    fn resized(&mut self, old: Option<Block>, block: *mut c_void, size: usize, refusal: Refusal) {
        let Some(old) = old else {
            return self.result(block, plain(size), refusal);
        };
        if size == 0 {
            assert!(block.is_null(), "realloc to 0 bytes returns null");
            return;
        }
        let refusal = match refusal {
            // Those are for the limit on locked memory, too.
            Refusal::Never if self.is_locked(old.heap) => Refusal::Perhaps,
            refusal => refusal,
        };
        if block.is_null() {
            self.live.put_back(old);
        }
        let request = Request {
            heap: old.heap,
            ..plain(size)
        };
        let kept = old.size.min(size);
        self.moved(block, request, refusal, Some((old, kept)));
    }

    /// By one of the functions that free; `errno` stays.
    fn free(&mut self, place: usize, input: &mut Input<'_>) {
        let Some(block) = self.live.take(place) else {
            return;
        };
        let Block {
            address,
            size,
            alignment,
            heap,
            ..
        } = block;
        let heap = heap.map_or(ptr::null_mut(), |heap| self.heaps[heap]);
        set_errno(NONE);
        // SAFETY: the block is live, and of this length, alignment and heap.
        unsafe {
            match input.byte() % 8 {
                0 => api::cfree(address),
                1 => api::free_sized(address, size),
                2 => api::free_aligned_sized(address, alignment, size),
                3 if !heap.is_null() => api::bifold_heap_free(heap, address),
                _ => api::free(address),
            }
        }
        assert_eq!(errno(), NONE, "free keeps errno");
    }
}

fn plain(size: usize) -> Request {
    aligned(1, size)
}

fn aligned(alignment: usize, size: usize) -> Request {
    Request {
        size,
        alignment,
        zeroed: false,
        heap: None,
    }
}

/// Two factors: of a modest length, or any numbers.
fn product(input: &mut Input<'_>) -> (usize, usize) {
    match input.byte() {
        0..32 => (input.hostile(), input.hostile()),
        32..48 => (input.hostile(), usize::from(input.byte())),
        choice => {
            let count = 1 + usize::from(choice % 16);
            (input.size(EXPONENT) / count, count)
        }
    }
}
