//! Four threads at once, which pass blocks to one another and free what others
//! have allocated. Threads end and others take their places and their blocks.
//! Heaps come and go, some with their blocks; now and then somebody trims.
//!
//! Blocks that overlap show by their contents: each has a pattern of its own.

use std::alloc::Layout;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bifold::Heap;

use super::block::{Block, Source};
use super::{ALIGNMENT_EXPONENT, SIZE_EXPONENT};

const THREADS: usize = 4;
/// How many threads follow one another in each place, and how much each does.
const GENERATIONS: u64 = 12;
const STEPS: u64 = 1500;
/// Bytes that a thread has at most before it frees rather than allocates.
const BYTES: usize = 8 << 20;
const SEED: u64 = 0x5eed_0b1f_01d0;

/// SplitMix64: a failure comes again with the same seed, as far as the threads'
/// order allows.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn size(&mut self, exponents: u32) -> usize {
        let least = 1 << self.below(exponents as usize);
        least + self.below(least + 1)
    }

    /// Alignments above 16 are rare.
    fn layout(&mut self, exponents: u32) -> Layout {
        let exponent = match self.below(8) {
            0 => self.below(ALIGNMENT_EXPONENT as usize + 1),
            _ => self.below(5),
        };
        Layout::from_size_align(self.size(exponents), 1 << exponent).unwrap()
    }
}

/// What a thread has, and leaves to the next in its place.
struct Worker {
    random: Random,
    blocks: Vec<Block>,
    bytes: usize,
    heap: Arc<Heap>,
    others: Vec<Sender<Block>>,
    inbox: Receiver<Block>,
    /// Ids are of this place alone, apart by the number of places.
    next_id: u64,
}

fn new_heap() -> Arc<Heap> {
    Arc::new(Heap::new().unwrap())
}

impl Worker {
    fn run(mut self) -> Self {
        for _ in 0..STEPS {
            match self.random.below(100) {
                0..45 if self.bytes < BYTES => self.allocate(),
                0..70 => self.free(),
                70..80 => self.resize(),
                80..95 => self.pass_on(),
                95..97 => self.receive(),
                97 => self.heap = new_heap(),
                98 => self.fill_a_heap(),
                _ if self.random.below(8) == 0 => {
                    bifold::trim();
                }
                _ => self.blocks.iter().for_each(Block::check),
            }
        }
        self
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += THREADS as u64;
        self.next_id
    }

    fn keep(&mut self, block: Block) {
        self.bytes += block.size();
        self.blocks.push(block);
    }

    fn pick(&mut self) -> Option<Block> {
        if self.blocks.is_empty() {
            return None;
        }
        let which = self.random.below(self.blocks.len());
        let block = self.blocks.swap_remove(which);
        self.bytes -= block.size();
        Some(block)
    }

    fn allocate(&mut self) {
        let source = match self.random.below(4) {
            0 => Source::Heap(Arc::clone(&self.heap)),
            _ => Source::Process,
        };
        // Mostly short ones, many of a kind, so that slabs fill up.
        let (exponents, number) = match self.random.below(8) {
            0 => (SIZE_EXPONENT, 1),
            1..4 => (12, 4),
            _ => (8, 30),
        };
        let layout = self.random.layout(exponents);
        for _ in 0..number {
            let (zeroed, id) = (self.random.below(2) == 0, self.new_id());
            self.keep(Block::new(source.clone(), layout, zeroed, id));
        }
    }

    fn free(&mut self) {
        for _ in 0..self.random.below(30) {
            if let Some(block) = self.pick() {
                block.free();
            }
        }
    }

    fn resize(&mut self) {
        if let Some(block) = self.pick() {
            // Mostly to about the length it has.
            let size = match self.random.below(4) {
                0 => self.random.size(SIZE_EXPONENT),
                _ => 1 + self.random.below(2 * block.size()),
            };
            self.keep(block.resized(size));
        }
    }

    fn pass_on(&mut self) {
        let other = self.random.below(self.others.len());
        for _ in 0..self.random.below(60) {
            if let Some(block) = self.pick() {
                self.others[other].send(block).unwrap();
            }
        }
        self.receive();
    }

    /// Frees most of what has come in, and keeps some.
    fn receive(&mut self) {
        while let Ok(block) = self.inbox.try_recv() {
            if self.random.below(4) > 0 {
                block.free();
            } else {
                self.keep(block);
            }
        }
    }

    /// A heap that is dropped with all its blocks in it.
    fn fill_a_heap(&mut self) {
        let heap = new_heap();
        let blocks: Vec<Block> = (0..self.random.below(100))
            .map(|_| {
                let (layout, id) = (self.random.layout(14), self.new_id());
                Block::new(Source::Heap(Arc::clone(&heap)), layout, false, id)
            })
            .collect();
        blocks.iter().for_each(Block::check);
        drop(blocks);
        assert!(Arc::into_inner(heap).is_some());
    }
}

#[test]
fn threads_pass_blocks_to_one_another() {
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    let places: Vec<_> = inboxes
        .into_iter()
        .enumerate()
        .map(|(place, inbox)| {
            let mut worker = Worker {
                random: Random(SEED + place as u64),
                blocks: Vec::new(),
                bytes: 0,
                heap: new_heap(),
                others: senders.clone(),
                inbox,
                next_id: place as u64,
            };
            // The place outlives its threads, and starts one after another.
            thread::spawn(move || {
                for _ in 0..GENERATIONS {
                    worker = thread::spawn(|| worker.run()).join().unwrap();
                }
                worker
            })
        })
        .collect();
    // Inboxes stay open until nobody sends any more.
    let workers: Vec<Worker> = places
        .into_iter()
        .map(|place| place.join().expect("a thread has failed; see above"))
        .collect();
    for worker in workers {
        worker.inbox.try_iter().for_each(Block::free);
        worker.blocks.into_iter().for_each(Block::free);
    }
    bifold::trim();
}
