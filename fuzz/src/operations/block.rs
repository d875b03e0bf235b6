//! A block, what it must hold, and where it came from.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::sync::Arc;

use bifold::internals::usable_size;
use bifold::{Bifold, Heap};
use bifold_fuzz_kit::{MODEST, is_limited, offsets, pattern};

/// Who serves a request.
#[derive(Clone, Debug)]
pub enum Home {
    Process,
    Heap(Arc<Heap>),
    Locked(Arc<Heap>),
}

impl Home {
    fn heap(&self) -> Option<&Heap> {
        match self {
            Self::Process => None,
            Self::Heap(heap) | Self::Locked(heap) => Some(heap),
        }
    }

    /// Whether a request of that length may fail.
    fn may_fail(&self, size: usize) -> bool {
        size > MODEST || is_limited() || matches!(self, Self::Locked(_))
    }
}

#[derive(Debug)]
pub struct Block {
    pointer: NonNull<u8>,
    layout: Layout,
    home: Home,
    id: u64,
    /// How far its pattern goes: its length, or all that is usable.
    filled: usize,
}

// SAFETY: the block is this value's, and any thread may free it.
unsafe impl Send for Block {}

impl Block {
    /// A block of the layout; `None` where the request may fail and does.
    pub fn new(home: &Home, layout: Layout, zeroed: bool, id: u64) -> Option<Self> {
        let bifold = Bifold::new();
        let pointer = match home.heap() {
            // SAFETY: bifold takes requests of 0 bytes, too.
            None if zeroed => NonNull::new(unsafe { bifold.alloc_zeroed(layout) }),
            // SAFETY: as above.
            None => NonNull::new(unsafe { bifold.alloc(layout) }),
            Some(heap) if zeroed => heap.allocate_zeroed(layout).ok(),
            Some(heap) => heap.allocate(layout).ok(),
        };
        let Some(pointer) = pointer else {
            assert!(home.may_fail(layout.size()), "no memory for {layout:?}");
            return None;
        };
        let mut block = Self {
            pointer,
            layout,
            home: home.clone(),
            id,
            filled: layout.size(),
        };
        block.check_place();
        if zeroed {
            block.check_zeros();
        }
        block.fill();
        Some(block)
    }

    pub fn size(&self) -> usize {
        self.layout.size()
    }

    pub fn is_locked(&self) -> bool {
        matches!(self.home, Home::Locked(_))
    }

    fn address(&self) -> usize {
        self.pointer.addr().get()
    }

    fn usable(&self) -> usize {
        usable_size(self.pointer.as_ptr())
    }

    fn check_place(&self) {
        let alignment = self.layout.align().max(16);
        assert!(self.address().is_multiple_of(alignment), "{self:?}");
        assert!(self.usable() >= self.size(), "{self:?}: {}", self.usable());
    }

    fn check_zeros(&self) {
        if self.size() > MODEST {
            return;
        }
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

    fn fill(&mut self) {
        self.filled = self.size();
        self.write();
    }

    fn write(&self) {
        for offset in offsets(self.filled) {
            // SAFETY: the offset lies in the block.
            unsafe {
                self.pointer
                    .add(offset)
                    .write(pattern::byte(self.id, offset))
            };
        }
    }

    /// Writes to all that is usable.
    pub fn fill_usable(&mut self) {
        self.check();
        let usable = self.usable();
        assert!(usable >= self.filled, "{self:?}: {usable}");
        self.filled = usable;
        self.write();
    }

    /// Panics unless the block holds what was written to it.
    pub fn check(&self) {
        self.check_up_to(self.filled);
    }

    fn check_up_to(&self, end: usize) {
        for offset in offsets(self.filled).filter(|&offset| offset < end) {
            // SAFETY: the offset lies in the block, and was written to.
            let byte = unsafe { self.pointer.add(offset).read() };
            assert_eq!(byte, pattern::byte(self.id, offset), "{self:?} at {offset}");
        }
    }

    pub fn free(self) {
        self.check();
        self.free_unchecked();
    }

    pub fn free_unchecked(self) {
        // SAFETY: the block is live, of this home and with this layout.
        unsafe {
            match self.home.heap() {
                None => Bifold::new().dealloc(self.pointer.as_ptr(), self.layout),
                Some(heap) => heap.deallocate(self.pointer, self.layout),
            }
        }
    }

    /// The block with another length and, in a heap, another alignment; as it
    /// was where the request may fail and does.
    pub fn resized(mut self, layout: Layout) -> Self {
        self.check();
        // SAFETY: the block is live, of this home and with this layout.
        let (moved, layout) = unsafe {
            match self.home.heap() {
                None => {
                    let size = layout.size();
                    let Ok(layout) = Layout::from_size_align(size, self.layout.align()) else {
                        return self;
                    };
                    let moved = Bifold::new().realloc(self.pointer.as_ptr(), self.layout, size);
                    (NonNull::new(moved), layout)
                }
                Some(heap) => {
                    let moved = heap.reallocate(self.pointer, self.layout, layout);
                    (moved.ok(), layout)
                }
            }
        };
        let Some(moved) = moved else {
            assert!(
                self.home.may_fail(layout.size()),
                "no memory for {layout:?} of {self:?}"
            );
            self.check();
            return self;
        };
        let kept = self.size().min(layout.size());
        self.pointer = moved;
        self.check_up_to(kept);
        self.layout = layout;
        self.check_place();
        self.fill();
        self
    }
}

/// Panics where two blocks overlap, usable bytes included.
pub fn assert_apart(blocks: &mut [Block]) {
    blocks.sort_unstable_by_key(Block::address);
    for pair in blocks.windows(2) {
        let end = pair[0].address() + pair[0].usable();
        assert!(
            end <= pair[1].address(),
            "{:?} overlaps {:?}",
            pair[0],
            pair[1]
        );
    }
}
