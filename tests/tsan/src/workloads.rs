//! The workloads: what threads do to one another through bifold.

use std::array;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bifold::Heap;

use crate::block::{Block, Random};
use crate::mailbox::Mailbox;
use crate::threads::{Thread, run_all};

pub const ALL: [(&str, fn()); 10] = [
    ("hand_over", hand_over),
    ("remote_frees", remote_frees),
    ("last_frees", last_frees),
    ("thread_churn", thread_churn),
    ("trim", trim),
    ("large", large),
    ("realloc", realloc),
    ("heaps", heaps),
    ("stats", stats),
    ("fork", fork),
];

const THREADS: usize = 3;

/// From each thread to each, some places.
type Office = [[[Mailbox; 8]; THREADS]; THREADS];

#[allow(clippy::declare_interior_mutable_const)]
const OFFICE: Office = [const { [const { [const { Mailbox::new() }; 8] }; THREADS] }; THREADS];

fn send(office: &Office, from: usize, random: &mut Random, block: Block) {
    let place = &office[from][random.below(THREADS)][random.below(8)];
    if let Err(back) = place.send(block) {
        back.free();
    }
}

fn receive(office: &Office, to: usize) {
    for from in office {
        from[to]
            .iter()
            .filter_map(Mailbox::receive)
            .for_each(Block::free);
    }
}

/// Allocates, frees and passes on; `size` says how long.
fn churn(office: &Office, me: usize, steps: usize, size: fn(&mut Random) -> usize) {
    let mut random = Random(0x9e37_79b9 + me as u64);
    let mut slots: [Option<Block>; 64] = array::from_fn(|_| None);
    for step in 0..steps {
        let slot = random.below(slots.len());
        let new = Block::new(size(&mut random));
        if let Some(block) = slots[slot].replace(new) {
            match random.below(3) {
                0 => block.free(),
                _ => send(office, me, &mut random, block),
            }
        }
        if step % 4 == 0 {
            receive(office, me);
        }
    }
    slots.into_iter().flatten().for_each(Block::free);
}

fn empty(office: &Office) {
    (0..THREADS).for_each(|to| receive(office, to));
}

/// One thread allocates, another frees.
fn hand_over() {
    static PLACES: [Mailbox; 32] = [const { Mailbox::new() }; 32];
    const BLOCKS: usize = 150_000;
    fn run(thread: usize) {
        let mut random = Random(7);
        let mut left = BLOCKS;
        while left > 0 {
            for place in &PLACES {
                if thread == 0 {
                    left = left.saturating_sub(1);
                    if let Err(back) = place.send(Block::new(random.size())) {
                        back.free();
                        std::thread::yield_now();
                    }
                } else if let Some(block) = place.receive() {
                    block.free();
                    left = left.saturating_sub(1);
                } else {
                    left = left.saturating_sub(usize::from(random.below(4) == 0));
                }
            }
        }
    }
    run_all(2, run);
    PLACES
        .iter()
        .filter_map(Mailbox::receive)
        .for_each(Block::free);
}

/// Each thread frees what the others have allocated.
fn remote_frees() {
    static POST: Office = OFFICE;
    run_all(THREADS, |me| churn(&POST, me, 100_000, Random::size));
    empty(&POST);
}

/// Slabs of which one thread frees half, their owner, and then another the rest,
/// with which it gives them back. Only the slab's counter tells it of the first
/// half.
fn last_frees() {
    const BLOCKS: usize = 150;
    static PLACES: [Mailbox; BLOCKS] = [const { Mailbox::new() }; BLOCKS];
    /// Rounds that the first thread has finished, and the second.
    static DONE: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
    fn wait_for(thread: usize, rounds: usize) {
        // Relaxed, so that it orders nothing.
        while DONE[thread].load(Ordering::Relaxed) < rounds {
            std::thread::yield_now();
        }
    }
    fn run(thread: usize) {
        for round in 1..=500 {
            if thread == 0 {
                let blocks = (0..2 * BLOCKS).map(|_| Block::new(1000));
                let (own, others): (Vec<_>, Vec<_>) =
                    blocks.enumerate().partition(|(number, _)| number % 2 == 0);
                for (place, (_, block)) in PLACES.iter().zip(others) {
                    assert!(place.send(block).is_ok(), "it was emptied last round");
                }
                own.into_iter().for_each(|(_, block)| block.free());
            } else {
                wait_for(0, round);
                let blocks = PLACES.iter().map(|place| place.receive());
                blocks.flatten().for_each(Block::free);
                // And uses the memory for something else.
                Block::new(50_000).free();
            }
            DONE[thread].store(round, Ordering::Relaxed);
            wait_for(1, round);
        }
    }
    run_all(2, run);
}

/// Threads that end, and leave blocks and slabs to those that follow. Nobody
/// joins them.
fn thread_churn() {
    static POST: Office = OFFICE;
    static LEFT: [AtomicUsize; THREADS] = [const { AtomicUsize::new(300) }; THREADS];
    fn live(me: usize) {
        churn(&POST, me, 150, Random::size);
        // Relaxed, so that what orders the generations is bifold.
        let left = LEFT[me].load(Ordering::Relaxed) - 1;
        LEFT[me].store(left, Ordering::Relaxed);
        // The next generation begins while this one ends.
        if left > 0 {
            Thread::start(live, me).detach();
        }
    }
    for me in 0..THREADS {
        Thread::start(live, me).detach();
    }
    while LEFT.iter().any(|left| left.load(Ordering::Relaxed) > 0) {
        std::thread::yield_now();
    }
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Runs threads that allocate beside one that does something else all the time.
fn beside(other: fn(usize), run: fn(usize)) {
    STOP.store(false, Ordering::Relaxed);
    let other = Thread::start(other, 0);
    run_all(THREADS, run);
    STOP.store(true, Ordering::Relaxed);
    other.join();
}

/// Another thread gives their slabs' pages back meanwhile.
fn trim() {
    static POST: Office = OFFICE;
    fn trim(_: usize) {
        while !STOP.load(Ordering::Relaxed) {
            bifold::trim();
            std::thread::yield_now();
        }
    }
    /// Fills slabs and empties them: they are parked when they are all free.
    fn run(me: usize) {
        let mut random = Random(3 + me as u64);
        for round in 0..600 {
            let blocks: Vec<Block> = (0..100).map(|_| Block::new(random.size())).collect();
            if round % 10 == 9 {
                std::thread::yield_now();
            }
            for block in blocks {
                match random.below(4) {
                    0 => send(&POST, me, &mut random, block),
                    _ => block.free(),
                }
            }
            receive(&POST, me);
        }
    }
    beside(trim, run);
    empty(&POST);
}

/// Mappings of their own.
fn large() {
    static POST: Office = OFFICE;
    fn size(random: &mut Random) -> usize {
        (130 << 10) + random.below(1 << 20)
    }
    run_all(THREADS, |me| churn(&POST, me, 4000, size));
    empty(&POST);
}

/// Blocks that change their lengths, in all ranges, on their way.
fn realloc() {
    static POST: Office = OFFICE;
    fn run(me: usize) {
        let mut random = Random(11 + me as u64);
        for _ in 0..20_000 {
            let block = Block::new(random.size());
            let other = match random.below(20) {
                0 => 100_000 + random.below(400_000),
                _ => random.size(),
            };
            let block = block.resized(other);
            send(&POST, me, &mut random, block);
            receive(&POST, me);
        }
    }
    run_all(THREADS, run);
    empty(&POST);
}

/// Explicit heaps, one of them shared and locked; others come and go.
fn heaps() {
    fn shared() -> &'static Heap {
        static SHARED: AtomicUsize = AtomicUsize::new(0);
        let heap = SHARED.load(Ordering::Acquire) as *const Heap;
        // SAFETY: what is stored there was leaked.
        match unsafe { heap.as_ref() } {
            Some(heap) => heap,
            None => {
                // A machine that locks no memory has an ordinary heap.
                let locked = Heap::builder().locked().build();
                let heap = locked.or_else(|_| Heap::new()).expect("there is memory");
                let heap: &'static Heap = Box::leak(Box::new(heap));
                SHARED.store(heap as *const Heap as usize, Ordering::Release);
                heap
            }
        }
    }
    /// A block of the shared heap that another thread frees.
    static PLACES: [Mailbox; THREADS] = [const { Mailbox::new() }; THREADS];
    fn run(me: usize) {
        let mut random = Random(5 + me as u64);
        for round in 0..8000 {
            let size = 1 + random.below(2000);
            if let Some(block) = Block::of(shared(), size)
                && let Err(back) = PLACES[me].send(block)
            {
                back.free();
            }
            if let Some(block) = PLACES[(me + 1) % THREADS].receive() {
                block.free();
            }
            if round % 20 == 0 {
                let own = Heap::new().expect("there is memory");
                // They go with the heap.
                let blocks = (0..50).map_while(|_| Block::of(&own, size));
                assert_eq!(blocks.count(), 50, "there is memory");
            }
        }
    }
    shared();
    run_all(THREADS, run);
    PLACES
        .iter()
        .filter_map(Mailbox::receive)
        .for_each(Block::free);
}

/// Another thread counts them meanwhile.
fn stats() {
    static POST: Office = OFFICE;
    fn count(_: usize) {
        while !STOP.load(Ordering::Relaxed) {
            assert!(bifold::stats().window.reserved > 0);
            std::thread::yield_now();
        }
    }
    beside(count, |me| churn(&POST, me, 20_000, Random::size));
    empty(&POST);
}

/// Another thread forks meanwhile; its children allocate and exit.
fn fork() {
    static POST: Office = OFFICE;
    fn fork_often(_: usize) {
        while !STOP.load(Ordering::Relaxed) {
            // SAFETY: the child allocates from bifold, which is safe there, and
            // leaves without anything else.
            unsafe {
                let child = libc::fork();
                assert!(child >= 0, "fork");
                if child == 0 {
                    let mut random = Random(99);
                    for _ in 0..50 {
                        Block::new(random.size()).free();
                    }
                    libc::_exit(0);
                }
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &mut status, 0), child);
                assert_eq!(status, 0, "a child's status");
            }
        }
    }
    beside(fork_often, |me| churn(&POST, me, 20_000, Random::size));
    empty(&POST);
}
