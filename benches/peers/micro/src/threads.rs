//! What takes two threads.

use std::alloc::Layout;
use std::mem;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use crate::Allocator;

/// How many blocks a thread allocates and frees that does nothing else.
pub const BIRTH_BLOCKS: usize = 20;

const SIZE: usize = 64;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a small size")
}

/// Blocks on their way to the thread that frees them.
struct Batch(Vec<*mut u8>);

// SAFETY: a block is plain memory, and the batch its one owner.
unsafe impl Send for Batch {}

impl Batch {
    /// Allocates until the vector, whose own memory is the program's, is full.
    fn fill(&mut self, allocator: &Allocator) {
        while self.0.len() < self.0.capacity() {
            // SAFETY: the layout is not empty.
            let block = unsafe { allocator.calls.alloc(layout(SIZE)) };
            assert!(!block.is_null(), "no memory");
            // SAFETY: the block is new, and has `SIZE` bytes.
            unsafe { block.write(1) };
            self.0.push(block);
        }
    }

    fn free(&mut self, allocator: &Allocator) {
        for block in self.0.drain(..) {
            // SAFETY: `fill` allocated it with this layout; it is freed once.
            unsafe { allocator.calls.dealloc(block, layout(SIZE)) };
        }
    }
}

/// Runs on a thread of its own that has entered the allocator.
fn thread_of<T: Send + 'static>(
    allocator: Allocator,
    work: impl FnOnce(&Allocator) -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || {
        (allocator.enter)();
        let result = work(&allocator);
        (allocator.leave)();
        result
    })
}

/// A thread that frees what this one allocates.
pub struct Remote {
    allocator: Allocator,
    batch: Batch,
    full: Sender<Batch>,
    empty: Receiver<Batch>,
    thread: Option<JoinHandle<()>>,
}

impl Remote {
    /// Starts the thread; each round hands over so many blocks.
    pub fn new(allocator: Allocator, blocks: usize) -> Self {
        let (full, work) = channel::<Batch>();
        let (done, empty) = channel();
        let thread = thread_of(allocator, move |allocator| {
            while let Ok(mut batch) = work.recv() {
                batch.free(allocator);
                if done.send(batch).is_err() {
                    break;
                }
            }
        });
        Self {
            allocator,
            batch: Batch(Vec::with_capacity(blocks)),
            full,
            empty,
            thread: Some(thread),
        }
    }

    /// Allocates a batch, and waits until the other thread has freed it.
    pub fn round(&mut self) {
        let mut batch = mem::replace(&mut self.batch, Batch(Vec::new()));
        batch.fill(&self.allocator);
        self.full.send(batch).expect("the thread waits for it");
        self.batch = self.empty.recv().expect("the thread sends it back");
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // Without a sender the thread ends.
        drop(mem::replace(&mut self.full, channel().0));
        let thread = self.thread.take().expect("it is joined once");
        thread.join().expect("the thread does not panic");
    }
}

/// Blocks that a living thread has allocated, for this one to free.
pub struct Held {
    allocator: Allocator,
    batch: Batch,
    done: Sender<()>,
    thread: JoinHandle<()>,
}

impl Held {
    /// Has a thread allocate so many blocks, and live on.
    pub fn new(allocator: Allocator, blocks: usize) -> Self {
        let (full, batch) = channel();
        let (done, end) = channel();
        let thread = thread_of(allocator, move |allocator| {
            let mut batch = Batch(Vec::with_capacity(blocks));
            batch.fill(allocator);
            full.send(batch).expect("the other thread waits for it");
            // An error says as well that the other thread has finished.
            let _ = end.recv();
        });
        let mut batch: Batch = batch.recv().expect("the thread sends it");
        // The first free sets a thread up, which is not what is counted.
        let one = batch.0.pop().expect("there is a block");
        Batch(vec![one]).free(&allocator);
        batch.fill(&allocator);
        let own = batch.0.pop().expect("there is a block");
        Batch(vec![own]).free(&allocator);
        Self {
            allocator,
            batch,
            done,
            thread,
        }
    }

    /// Frees them.
    pub fn free(&mut self) {
        self.batch.free(&self.allocator);
    }

    /// Ends the thread.
    pub fn end(self) {
        drop(self.done);
        self.thread.join().expect("the thread does not panic");
    }
}

/// Starts a thread that does what `few_blocks` does, and waits for its end.
pub fn birth(allocator: Allocator) {
    thread_of(allocator, few_blocks)
        .join()
        .expect("the thread does not panic");
}

/// Allocates 20 blocks of different sizes, and frees them.
#[inline(never)]
pub fn few_blocks(allocator: &Allocator) {
    let layouts: [Layout; BIRTH_BLOCKS] = std::array::from_fn(|k| layout(16 + 24 * k));
    let blocks = layouts.map(|layout| {
        // SAFETY: the layout is not empty.
        let block = unsafe { allocator.calls.alloc(layout) };
        assert!(!block.is_null(), "no memory");
        // SAFETY: the block is new, and not empty.
        unsafe { block.write(1) };
        block
    });
    for (block, layout) in blocks.into_iter().zip(layouts) {
        // SAFETY: it was allocated above with this layout.
        unsafe { allocator.calls.dealloc(block, layout) };
    }
}
