//! A block, what it must hold, and where it came from.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::sync::Arc;

use bifold::{Bifold, Heap};

use super::pattern;

/// Who serves a request.
#[derive(Clone, Debug)]
pub enum Source {
    Process,
    Heap(Arc<Heap>),
}

impl Source {
    fn allocate(&self, layout: Layout, zeroed: bool) -> NonNull<u8> {
        let bifold = Bifold::new();
        let block = match self {
            // SAFETY: no layout here is empty.
            Self::Process if zeroed => NonNull::new(unsafe { bifold.alloc_zeroed(layout) }),
            // SAFETY: as above.
            Self::Process => NonNull::new(unsafe { bifold.alloc(layout) }),
            Self::Heap(heap) if zeroed => heap.allocate_zeroed(layout).ok(),
            Self::Heap(heap) => heap.allocate(layout).ok(),
        };
        block.unwrap_or_else(|| panic!("no memory for {layout:?} from {self:?}"))
    }
}

/// A block that holds a pattern of its own, live until it is freed or its heap
/// is dropped.
#[derive(Debug)]
pub struct Block {
    pointer: NonNull<u8>,
    layout: Layout,
    source: Source,
    /// Tells its pattern from those of all other blocks.
    id: u64,
}

// SAFETY: the block is this value's, and any thread may free it.
unsafe impl Send for Block {}

impl Block {
    pub fn new(source: Source, layout: Layout, zeroed: bool, id: u64) -> Self {
        let pointer = source.allocate(layout, zeroed);
        let block = Self {
            pointer,
            layout,
            source,
            id,
        };
        assert!(block.address().is_multiple_of(layout.align()), "{block:?}");
        if zeroed {
            block.check_zeros();
        }
        block.fill();
        block
    }

    pub fn address(&self) -> usize {
        self.pointer.addr().get()
    }

    pub fn end(&self) -> usize {
        self.address() + self.layout.size()
    }

    pub fn size(&self) -> usize {
        self.layout.size()
    }

    pub fn is_of(&self, heap: &Arc<Heap>) -> bool {
        matches!(&self.source, Source::Heap(own) if Arc::ptr_eq(own, heap))
    }

    fn check_zeros(&self) {
        // SAFETY: the block is that long, and was allocated with zeros.
        let bytes = unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.size()) };
        // SAFETY: every byte pattern is a word.
        let (before, words, behind) = unsafe { bytes.align_to::<u64>() };
        let zero = before.iter().chain(behind).all(|&byte| byte == 0);
        assert!(
            zero && words.iter().all(|&word| word == 0),
            "{self:?} is not zero"
        );
    }

    fn fill(&self) {
        for offset in pattern::offsets(self.size()) {
            // SAFETY: the offset lies in the block.
            unsafe {
                self.pointer
                    .add(offset)
                    .write(pattern::byte(self.id, offset))
            };
        }
    }

    /// Panics unless the block holds what was written to it.
    pub fn check(&self) {
        self.check_up_to(self.size());
    }

    fn check_up_to(&self, size: usize) {
        for offset in pattern::offsets(self.size()).filter(|&offset| offset < size) {
            // SAFETY: the offset lies in the block, and was written to.
            let byte = unsafe { self.pointer.add(offset).read() };
            assert_eq!(byte, pattern::byte(self.id, offset), "{self:?} at {offset}");
        }
    }

    pub fn free(self) {
        self.check();
        // SAFETY: the block is live, of this source and with this layout.
        unsafe {
            match &self.source {
                Source::Process => Bifold::new().dealloc(self.pointer.as_ptr(), self.layout),
                Source::Heap(heap) => heap.deallocate(self.pointer, self.layout),
            }
        }
    }

    /// The block with another length.
    pub fn resized(mut self, size: usize) -> Self {
        self.check();
        let layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        // SAFETY: the block is live, of this source and with this layout.
        let moved = unsafe {
            match &self.source {
                Source::Process => {
                    let bifold = Bifold::new();
                    NonNull::new(bifold.realloc(self.pointer.as_ptr(), self.layout, size))
                }
                Source::Heap(heap) => heap.reallocate(self.pointer, self.layout, layout).ok(),
            }
        };
        self.pointer = moved.unwrap_or_else(|| panic!("no memory for {layout:?}"));
        self.check_up_to(size);
        self.layout = layout;
        assert!(self.address().is_multiple_of(layout.align()), "{self:?}");
        self.fill();
        self
    }
}
