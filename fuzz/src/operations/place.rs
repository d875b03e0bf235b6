//! One thread's place: its blocks, its heaps, and what it does in a turn.

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bifold::Heap;
use bifold::internals::{Parameter, Stats, count, set_parameter};
use bifold_fuzz_kit::Input;

use super::Shared;
use super::block::{Block, Home, assert_apart};

/// The longest request that is served for certain, as an exponent.
const EXPONENT: usize = 22;
/// What a place has at most before it frees instead.
const BYTES: usize = 16 << 20;
const BLOCKS: usize = 3000;
/// Children that an input may have, and looks at all figures: both are slow.
const SLOW: u32 = 2;

/// What a turn ends with.
pub enum End {
    Turn,
    /// The thread: another one goes on in its place.
    Thread,
}

pub struct Place<'a> {
    number: usize,
    shared: &'a Shared,
    pub blocks: Vec<Block>,
    bytes: usize,
    heap: Option<Arc<Heap>>,
    locked: Option<Arc<Heap>>,
    slow: u32,
    pub operations: u64,
}

/// The options that some input has set, a bit each.
static SET: AtomicU32 = AtomicU32::new(0);

pub fn was_set(id: Parameter) -> bool {
    SET.load(Ordering::Relaxed) >> id as u32 & 1 != 0
}

impl<'a> Place<'a> {
    pub fn new(number: usize, shared: &'a Shared) -> Self {
        Self {
            number,
            shared,
            blocks: Vec::new(),
            bytes: 0,
            heap: None,
            locked: None,
            slow: 0,
            operations: 0,
        }
    }

    pub fn turn(&mut self, bytes: &[u8]) -> End {
        let mut input = Input::new(bytes);
        while !input.is_empty() {
            if let End::Thread = self.step(&mut input) {
                return End::Thread;
            }
        }
        End::Turn
    }

    fn step(&mut self, input: &mut Input<'_>) -> End {
        self.operations += 1;
        match input.byte() % 64 {
            0..20 => self.allocate(input, 1),
            20..24 => {
                let number = 1 + input.below(200);
                self.allocate(input, number);
            }
            24..36 => self.free_one(input),
            36..40 => self.free_many(input),
            40..48 => self.resize(input),
            48..51 => self.pass_on(input),
            51..53 => self.receive(),
            53 => self.blocks.iter().for_each(Block::check),
            54 => self.fill_usable(input),
            55 => self.hostile(input),
            56 if self.seldom(input) => {
                bifold::trim();
            }
            57 => self.set(input),
            58 => self.heap = None,
            59 => self.locked = None,
            60 if self.seldom(input) => self.throw_away(input),
            61 if self.seldom(input) => self.figures(),
            62 if self.seldom(input) => self.fork(),
            63 => return End::Thread,
            _ => {}
        }
        End::Turn
    }

    /// For what takes the time of many calls.
    fn seldom(&self, input: &mut Input<'_>) -> bool {
        input.byte() < 64
    }

    fn keep(&mut self, block: Block) {
        self.bytes += block.size();
        self.blocks.push(block);
    }

    fn take(&mut self, which: usize) -> Block {
        let block = self.blocks.swap_remove(which);
        self.bytes -= block.size();
        block
    }

    fn pick(&mut self, input: &mut Input<'_>) -> Option<Block> {
        match self.blocks.len() {
            0 => None,
            length => {
                let which = input.below(length);
                Some(self.take(which))
            }
        }
    }

    fn layout(input: &mut Input<'_>) -> Layout {
        let size = input.size(EXPONENT);
        let exponent = match input.byte() {
            choice @ 0..32 => choice % 18,
            choice => choice % 5,
        };
        Layout::from_size_align(size, 1 << exponent).expect("both are small")
    }

    fn home(&mut self, choice: u8) -> Home {
        let heap = |heap: &mut Option<Arc<Heap>>, new: fn() -> Heap| {
            Arc::clone(heap.get_or_insert_with(|| Arc::new(new())))
        };
        match choice % 64 {
            0..12 => Home::Heap(heap(&mut self.heap, || {
                Heap::new().expect("a heap is some KiB")
            })),
            12 => Home::Locked(heap(&mut self.locked, || {
                let builder = Heap::builder().locked();
                builder.build().expect("a heap is some KiB")
            })),
            _ => Home::Process,
        }
    }

    fn new_id(&self) -> u64 {
        self.shared.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn allocate(&mut self, input: &mut Input<'_>, number: usize) {
        let choice = input.byte();
        let home = self.home(choice);
        let layout = Self::layout(input);
        for _ in 0..number {
            if self.bytes + layout.size() > BYTES || self.blocks.len() >= BLOCKS {
                return self.free_half();
            }
            let id = self.new_id();
            self.operations += 1;
            if let Some(block) = Block::new(&home, layout, choice & 128 != 0, id) {
                self.keep(block);
            }
        }
    }

    fn free_half(&mut self) {
        for _ in 0..self.blocks.len().div_ceil(2) {
            self.take(0).free();
            self.operations += 1;
        }
    }

    fn free_one(&mut self, input: &mut Input<'_>) {
        if let Some(block) = self.pick(input) {
            block.free();
        }
    }

    /// Some of those at the end, in one order or the other.
    fn free_many(&mut self, input: &mut Input<'_>) {
        let number = input.below(256).min(self.blocks.len());
        let forward = input.byte() & 1 != 0;
        let mut some = self.blocks.split_off(self.blocks.len() - number);
        self.operations += number as u64;
        self.bytes -= some.iter().map(Block::size).sum::<usize>();
        if forward {
            some.reverse();
        }
        while let Some(block) = some.pop() {
            block.free();
        }
    }

    fn resize(&mut self, input: &mut Input<'_>) {
        let Some(block) = self.pick(input) else {
            return;
        };
        let layout = match input.byte() {
            // To about the length it has.
            choice @ 0..128 => {
                let least = block.size() / 2;
                let size = least + (block.size() + 2) * usize::from(choice) / 96;
                Layout::from_size_align(size, 16).expect("both are small")
            }
            _ => Self::layout(input),
        };
        let block = block.resized(layout);
        self.keep(block);
    }

    fn pass_on(&mut self, input: &mut Input<'_>) {
        let to = input.below(self.shared.places);
        let number = input.below(128).min(self.blocks.len());
        let mut some = self.blocks.split_off(self.blocks.len() - number);
        self.bytes -= some.iter().map(Block::size).sum::<usize>();
        let mut mail = self.shared.mail[to].lock().expect("nobody has panicked");
        mail.append(&mut some);
    }

    fn receive(&mut self) {
        let mut mail = self.shared.mail[self.number]
            .lock()
            .expect("nobody has panicked");
        let mut some = std::mem::take(&mut *mail);
        drop(mail);
        self.bytes += some.iter().map(Block::size).sum::<usize>();
        self.blocks.append(&mut some);
    }

    fn fill_usable(&mut self, input: &mut Input<'_>) {
        if let Some(mut block) = self.pick(input) {
            block.fill_usable();
            self.keep(block);
        }
    }

    /// Requests that nobody can serve, for lengths and for alignments.
    fn hostile(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let home = self.home(choice);
        let size = match choice & 64 {
            0 => input.hostile(),
            _ => input.size(EXPONENT),
        };
        let alignment = 1usize << (input.byte() % 64);
        let Ok(layout) = Layout::from_size_align(size, alignment) else {
            return;
        };
        // A length that is modest may fail for its alignment.
        let block = match alignment {
            0..=0x10_0000 => Block::new(&home, layout, choice & 128 != 0, self.new_id()),
            _ => return refuse(&home, layout),
        };
        if let Some(block) = block {
            block.free();
        }
    }

    fn set(&mut self, input: &mut Input<'_>) {
        let (id, value) = match input.byte() % 6 {
            0 => (Parameter::mmap_threshold, input.size(EXPONENT)),
            // Fewer would let modest requests fail.
            1 => (Parameter::mmap_max, 10_000 + input.half()),
            2 => (Parameter::growth, input.size(EXPONENT)),
            3 => (Parameter::spare, input.size(EXPONENT)),
            4 => (Parameter::perturb, usize::from(input.byte())),
            _ => (Parameter::arena_max, usize::from(input.byte() % 4)),
        };
        SET.fetch_or(1 << id as u32, Ordering::Relaxed);
        set_parameter(id, value as i64);
    }

    /// A heap that goes with all its blocks.
    fn throw_away(&mut self, input: &mut Input<'_>) {
        let heap = Arc::new(Heap::new().expect("a heap is some KiB"));
        let home = Home::Heap(Arc::clone(&heap));
        let layout = Self::layout(input);
        let most = (4 << 20) / layout.size().max(16);
        let mut blocks: Vec<Block> = (0..input.below(200).min(most))
            .filter_map(|_| Block::new(&home, layout, false, self.new_id()))
            .collect();
        self.operations += blocks.len() as u64;
        for _ in 0..input.below(8).min(blocks.len()) {
            blocks.swap_remove(0).free();
        }
        blocks.iter().for_each(Block::check);
        drop((home, blocks));
        assert!(Arc::into_inner(heap).is_some(), "the heap has one owner");
    }

    fn figures(&mut self) {
        self.slow += 1;
        if self.slow > SLOW || self.shared.at_once {
            return;
        }
        let mut stats = Stats::default();
        count(&mut stats);
        let parts = [stats.in_slabs, stats.in_runs, stats.in_large];
        let number: usize = parts.iter().map(|part| part.number).sum();
        let bytes: usize = parts.iter().map(|part| part.bytes).sum();
        assert_eq!((stats.live.number, stats.live.bytes), (number, bytes));
        assert!(number >= self.blocks.len(), "{number} live blocks");
        assert!(bytes >= self.bytes, "{bytes} live bytes");
        assert!(stats.window.reserved >= stats.window.live);
        assert_apart(&mut self.blocks);
    }

    /// A child that uses what it has inherited.
    fn fork(&mut self) {
        self.slow += 1;
        if self.slow > SLOW {
            return;
        }
        // SAFETY: the child uses what is safe there, locks of the harness's
        // that are of this thread alone, and leaves by `_exit`.
        match unsafe { libc::fork() } {
            -1 => {}
            0 => {
                let end = catch_unwind(AssertUnwindSafe(|| self.in_child()));
                // SAFETY: no preconditions.
                unsafe { libc::_exit(end.is_err().into()) }
            }
            child => {
                let mut status = -1;
                // SAFETY: the pointer is to a local, and the child is ours.
                let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
                assert_eq!((ended, status), (child, 0), "the child's end");
            }
        }
    }

    fn in_child(&mut self) {
        for size in [1, 100, 5000, 70_000, 300_000] {
            let layout = Layout::from_size_align(size, 1).expect("both are small");
            if let Some(block) = Block::new(&Home::Process, layout, true, size as u64) {
                block.free();
            }
        }
        for block in std::mem::take(&mut self.blocks) {
            if block.is_locked() {
                // The kernel has wiped it.
                block.free_unchecked();
            } else {
                block.free();
            }
        }
        bifold::trim();
    }
}

/// An alignment that needs more address space than there may be.
fn refuse(home: &Home, layout: Layout) {
    use std::alloc::GlobalAlloc;
    let Home::Process = home else {
        return;
    };
    let bifold = bifold::Bifold::new();
    // SAFETY: bifold takes requests of 0 bytes, too, and the block is freed
    // with the layout.
    unsafe {
        let block = bifold.alloc(layout);
        if !block.is_null() {
            assert!(block.addr().is_multiple_of(layout.align()), "{layout:?}");
            bifold.dealloc(block, layout);
        }
    }
}
