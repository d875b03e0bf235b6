//! One call after the other, and what each must return.

use core::ffi::{c_char, c_int, c_uint, c_void};
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

    fn aligned_alloc(&mut self, input: &mut Input<'_>) {
        let (alignment, size) = (Self::alignment(input), Self::size(input));
        set_errno(NONE);
        // SAFETY: no preconditions.
        let block = unsafe { api::aligned_alloc(alignment, size) };
        let refusal = match alignment.is_power_of_two() {
            true => self.refusal(size, alignment),
            false => Refusal::Alignment,
        };
        self.result(block, aligned(alignment, size), refusal);
    }

    /// What is no power of two counts as the next one.
    fn memalign(&mut self, input: &mut Input<'_>) {
        let (alignment, size) = (Self::alignment(input), Self::size(input));
        set_errno(NONE);
        // SAFETY: no preconditions.
        let block = unsafe { api::memalign(alignment, size) };
        let (rounded, refusal) = match alignment {
            0..=0x4000_0000_0000_0000 => {
                let rounded = alignment.next_power_of_two();
                (rounded, self.refusal(size, rounded))
            }
            _ => (1, Refusal::Alignment),
        };
        self.result(block, aligned(rounded, size), refusal);
    }

    fn posix_memalign(&mut self, input: &mut Input<'_>) {
        let (alignment, size) = (Self::alignment(input), Self::size(input));
        let mark: *mut c_void = (&raw mut self.operations).cast();
        let mut block = mark;
        set_errno(NONE);
        // SAFETY: the pointer is to a local.
        let result = unsafe { api::posix_memalign(&raw mut block, alignment, size) };
        assert_eq!(errno(), NONE, "posix_memalign keeps errno");
        let refusal = match alignment.is_power_of_two() && alignment >= 8 {
            true => self.refusal(size, alignment),
            false => Refusal::Alignment,
        };
        if result != 0 {
            assert_eq!(block, mark, "posix_memalign leaves its argument");
            block = ptr::null_mut();
            set_errno(result);
        }
        self.result(block, aligned(alignment, size), refusal);
    }

    fn valloc(&mut self, input: &mut Input<'_>) {
        let size = Self::size(input);
        set_errno(NONE);
        // SAFETY: no preconditions.
        let block = unsafe { api::valloc(size) };
        self.result(block, aligned(PAGE, size), self.refusal(size, PAGE));
    }

    /// All of the last page belongs to the block.
    fn pvalloc(&mut self, input: &mut Input<'_>) {
        let size = Self::size(input);
        set_errno(NONE);
        // SAFETY: no preconditions.
        let block = unsafe { api::pvalloc(size) };
        let (size, refusal) = match size.max(1).checked_next_multiple_of(PAGE) {
            Some(size) => (size, self.refusal(size, PAGE)),
            None => (size, Refusal::Size),
        };
        self.result(block, aligned(PAGE, size), refusal);
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

    fn is_locked(&self, heap: Option<usize>) -> bool {
        heap.is_some_and(|heap| heap > 0)
    }

    /// Heap 0 is an ordinary one, the others are locked.
    fn create(&mut self, input: &mut Input<'_>) {
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
    fn destroy(&mut self, input: &mut Input<'_>) {
        let number = input.below(HEAPS);
        self.live.forget(number);
        // SAFETY: nobody uses the heap's blocks any more; null is none.
        unsafe { api::bifold_heap_destroy(self.heaps[number]) };
        self.heaps[number] = ptr::null_mut();
    }

    fn in_heap(&mut self, input: &mut Input<'_>) {
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

    fn mallopt(&mut self, input: &mut Input<'_>) {
        let parameter = match input.byte() {
            choice @ 0..224 => c_int::from(choice % 12) - 9,
            _ => input.word() as c_int,
        };
        let value = match input.byte() {
            0..192 => input.size(EXPONENT) as c_int,
            _ => input.word() as c_int,
        };
        let expected = match parameter {
            // Nothing would go back to the kernel for the rest of the process.
            libc::M_TRIM_THRESHOLD if value < 0 => return,
            // With prefaulting, all of it would be resident.
            libc::M_TOP_PAD if !(0..1 << EXPONENT).contains(&value) => return,
            libc::M_MXFAST => c_int::from((0..=160).contains(&value)),
            libc::M_TRIM_THRESHOLD
            | libc::M_TOP_PAD
            | libc::M_MMAP_THRESHOLD
            | libc::M_MMAP_MAX
            | libc::M_PERTURB
            | libc::M_ARENA_TEST
            | libc::M_ARENA_MAX => 1,
            _ => 0,
        };
        // SAFETY: no preconditions.
        let result = unsafe { api::mallopt(parameter, value) };
        assert_eq!(result, expected, "mallopt({parameter}, {value})");
        self.few_mappings |= parameter == libc::M_MMAP_MAX;
    }

    /// Null is nothing to free and no block.
    fn null(&mut self, input: &mut Input<'_>) {
        let (size, alignment) = (Self::size(input), Self::alignment(input));
        set_errno(NONE);
        // SAFETY: null is allowed.
        unsafe {
            let null = ptr::null_mut();
            api::free(null);
            api::cfree(null);
            api::free_sized(null, size);
            api::free_aligned_sized(null, alignment, size);
            api::bifold_heap_free(self.heaps[0], null);
            api::bifold_heap_destroy(null);
            api::bifold_stats_json(None, null);
            assert_eq!(api::malloc_usable_size(null), 0);
        }
        assert_eq!(errno(), NONE);
    }

    fn trim(&mut self, input: &mut Input<'_>) {
        if input.byte() >= 64 {
            return;
        }
        // SAFETY: no preconditions.
        let (result, bytes) = unsafe { (api::malloc_trim(input.word()), api::bifold_trim()) };
        assert!(result == 0 || result == 1, "malloc_trim: {result}");
        assert!(bytes.is_multiple_of(PAGE), "bifold_trim: {bytes}");
    }

    fn report(&mut self) {
        self.reports += 1;
        if self.reports > REPORTS {
            return;
        }
        // SAFETY: no preconditions.
        let info = unsafe { api::mallinfo2() };
        assert_eq!(info.uordblks + info.fordblks, info.arena);
        assert!(info.uordblks <= info.arena, "{}", info.uordblks);
        assert!(info.uordblks + info.hblkhd >= self.live.bytes());
        let mut text = Vec::<u8>::new();
        // SAFETY: the function takes this context, and returns.
        unsafe { api::bifold_stats_json(Some(append), (&raw mut text).cast()) };
        assert!(text.starts_with(b"{") && text.trim_ascii_end().ends_with(b"}"));
        set_errno(NONE);
        // SAFETY: with options that are none the stream is not looked at.
        let result = unsafe { api::malloc_info(1, ptr::null_mut()) };
        assert!(result == -1 && errno() == EINVAL, "malloc_info: {result}");
    }
}

/// # Safety
///
/// The context is a vector, and the text is that long.
unsafe extern "C" fn append(context: *mut c_void, text: *const c_char, length: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        let piece = std::slice::from_raw_parts(text.cast::<u8>(), length);
        (*context.cast::<Vec<u8>>()).extend_from_slice(piece);
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
