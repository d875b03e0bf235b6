//! A block with a pattern in it, which is written and read by plain accesses:
//! what the sanitizer compares.

use std::alloc::{GlobalAlloc, Layout};

use bifold::{Bifold, Heap};

static BIFOLD: Bifold = Bifold::new();

/// How many bytes of a block are looked at, at its start: the words that a free
/// block's links and marks lie in, and some behind them.
const LOOKED_AT: usize = 64;

/// A block that is somebody's.
pub struct Block {
    address: *mut u8,
    layout: Layout,
}

// SAFETY: a block is one thread's at a time, whoever has the value.
unsafe impl Send for Block {}

impl Block {
    pub fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size.max(1), 16).expect("sizes are small");
        // SAFETY: the layout has a size.
        let address = unsafe { BIFOLD.alloc(layout) };
        assert!(!address.is_null(), "no memory for {size} bytes");
        let mut block = Self { address, layout };
        block.fill();
        block
    }

    /// A block of a heap's; it may be freed like any other. `None`: no memory, or
    /// none that can be locked.
    pub fn of(heap: &Heap, size: usize) -> Option<Self> {
        let layout = Layout::from_size_align(size.max(1), 16).expect("sizes are small");
        let address = heap.allocate(layout).ok()?.as_ptr();
        let mut block = Self { address, layout };
        block.fill();
        Some(block)
    }

    /// The start and the end, which all the writes are to.
    fn parts(&mut self) -> [&mut [u8]; 2] {
        let size = self.layout.size();
        let length = size.min(LOOKED_AT);
        // SAFETY: both lie in the block, which is this value's; they are
        // distinct, or the second is empty.
        unsafe {
            let start = std::slice::from_raw_parts_mut(self.address, length);
            let rest = if size >= 2 * LOOKED_AT { LOOKED_AT } else { 0 };
            let end = std::slice::from_raw_parts_mut(self.address.add(size - rest), rest);
            [start, end]
        }
    }

    fn fill(&mut self) {
        let tag = self.layout.size() as u8;
        for part in self.parts() {
            for byte in part {
                *byte = tag;
            }
        }
    }

    fn check(&mut self) {
        let tag = self.layout.size() as u8;
        let wrong = |part: &[u8]| part.iter().any(|&byte| byte != tag);
        let [start, end] = self.parts();
        assert!(!wrong(start) && !wrong(end), "another's write in a block");
    }

    pub fn resized(mut self, size: usize) -> Self {
        self.check();
        // SAFETY: the block came from there with this layout, and the new size
        // is at least 1.
        self.address = unsafe { BIFOLD.realloc(self.address, self.layout, size.max(1)) };
        assert!(!self.address.is_null(), "no memory for {size} bytes");
        self.layout = Layout::from_size_align(size.max(1), 16).expect("sizes are small");
        self.fill();
        self
    }

    pub fn free(mut self) {
        self.check();
        self.fill();
        // SAFETY: the block came from there with this layout, and the value
        // goes with it.
        unsafe { BIFOLD.dealloc(self.address, self.layout) }
    }

    pub fn into_raw(self) -> (*mut u8, usize) {
        (self.address, self.layout.size())
    }

    /// # Safety
    ///
    /// Both came from [`Block::into_raw`], once.
    pub unsafe fn from_raw(address: *mut u8, size: usize) -> Self {
        Self {
            address,
            layout: Layout::from_size_align(size, 16).expect("it was a layout"),
        }
    }
}

/// A fixed sequence of numbers.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    /// Mostly small, some medium, few runs.
    pub fn size(&mut self) -> usize {
        let bits = match self.below(32) {
            0 => 16,
            1..6 => 13,
            _ => 9,
        };
        1 + self.below(1 << bits)
    }
}
