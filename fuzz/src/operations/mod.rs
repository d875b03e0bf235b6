//! `operations`: calls of the Rust API by several threads, which pass blocks to
//! one another. Every block holds a pattern until it is freed.
//!
//! An input's first byte says how many threads there are, and whether they run
//! by turns or all at once. The rest is turns: who, how many bytes, and the
//! bytes, from which [`place`] reads its calls.

mod block;
mod place;

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, Mutex};
use std::thread::{self, Scope, ScopedJoinHandle};

use bifold::internals::{Parameter, set_parameter};
use bifold_fuzz_kit::{Input, Target};

use self::block::Block;
use self::place::{End, Place};

pub const TARGET: Target = Target {
    name: "operations",
    run,
};

const PLACES: usize = 4;

/// What the threads of a run have in common.
struct Shared {
    /// For each place, the blocks that others have passed to it.
    mail: [Mutex<Vec<Block>>; PLACES],
    next_id: AtomicU64,
    places: usize,
    /// Whether the threads run at the same time.
    at_once: bool,
}

struct Turn<'a> {
    place: usize,
    bytes: &'a [u8],
}

fn run(data: &[u8]) -> u64 {
    let mut input = Input::new(data);
    let head = usize::from(input.byte());
    let places = 1 + head % PLACES;
    let shared = Shared {
        mail: Default::default(),
        next_id: AtomicU64::new(1),
        places,
        at_once: head & 4 != 0 && places > 1,
    };
    let turns = turns(&mut input, places);
    let mut all: Vec<Place> = (0..places)
        .map(|number| Place::new(number, &shared))
        .collect();
    all = match places {
        1 => alone(all, &turns),
        _ if shared.at_once => at_once(all, &turns),
        _ => by_turns(all, &turns),
    };
    let operations = all.iter().map(|place| place.operations).sum();
    let mut blocks: Vec<Block> = all.into_iter().flat_map(|place| place.blocks).collect();
    for mail in shared.mail {
        blocks.append(&mut mail.into_inner().expect("nobody has panicked"));
    }
    block::assert_apart(&mut blocks);
    blocks.into_iter().for_each(Block::free);
    reset();
    operations
}

/// Every input starts with the options at their defaults, but that nothing
/// adapts any more once an input has set something.
fn reset() {
    for (id, value) in [
        (Parameter::mmap_threshold, 128 << 10),
        (Parameter::mmap_max, 65536),
        (Parameter::growth, 0),
        (Parameter::spare, 512 << 10),
        (Parameter::perturb, 0),
        (Parameter::arena_max, 0),
    ] {
        if place::was_set(id) {
            set_parameter(id, value);
        }
    }
}

fn turns<'a>(input: &mut Input<'a>, places: usize) -> Vec<Turn<'a>> {
    let mut turns = Vec::new();
    while !input.is_empty() {
        let (place, length) = match places {
            1 => (0, usize::MAX),
            _ => (input.below(places), 2 + usize::from(input.byte())),
        };
        let bytes = input.take(length);
        turns.push(Turn { place, bytes });
    }
    turns
}

fn alone<'a>(mut all: Vec<Place<'a>>, turns: &[Turn<'_>]) -> Vec<Place<'a>> {
    for turn in turns {
        // The thread is not this function's to end.
        let _ = all[0].turn(turn.bytes);
    }
    all
}

/// One thread for each place, one at a time.
fn by_turns<'a>(all: Vec<Place<'a>>, turns: &[Turn<'a>]) -> Vec<Place<'a>> {
    let mut all: Vec<Option<Place>> = all.into_iter().map(Some).collect();
    thread::scope(|scope| {
        let mut workers: [Option<Worker>; PLACES] = Default::default();
        for turn in turns {
            let worker = workers[turn.place].get_or_insert_with(|| Worker::start(scope));
            let place = all[turn.place]
                .take()
                .expect("the place is here between turns");
            let (place, end) = worker.turn(place, turn.bytes);
            all[turn.place] = Some(place);
            if matches!(end, End::Thread)
                && let Some(worker) = workers[turn.place].take()
            {
                worker.end();
            }
        }
        workers.into_iter().flatten().for_each(Worker::end);
    });
    all.into_iter().flatten().collect()
}

type Job<'s> = (Place<'s>, &'s [u8]);
type Done<'s> = (Place<'s>, End);

struct Worker<'scope, 's> {
    jobs: Sender<Job<'s>>,
    done: Receiver<Done<'s>>,
    thread: ScopedJoinHandle<'scope, ()>,
}

impl<'scope, 's: 'scope> Worker<'scope, 's> {
    fn start(scope: &'scope Scope<'scope, '_>) -> Self {
        let (jobs, job) = channel::<Job<'s>>();
        let (finished, done) = channel();
        let thread = scope.spawn(move || {
            while let Ok((mut place, bytes)) = job.recv() {
                let end = place.turn(bytes);
                if finished.send((place, end)).is_err() {
                    return;
                }
            }
        });
        Self { jobs, done, thread }
    }

    fn turn(&self, place: Place<'s>, bytes: &'s [u8]) -> Done<'s> {
        self.jobs.send((place, bytes)).expect("the thread waits");
        self.done.recv().expect("the thread's turn ends well")
    }

    fn end(self) {
        drop(self.jobs);
        self.thread.join().expect("the thread ends well");
    }
}

/// One thread for each place, all at once.
fn at_once<'a>(all: Vec<Place<'a>>, turns: &[Turn<'_>]) -> Vec<Place<'a>> {
    let barrier = &Barrier::new(all.len());
    thread::scope(|scope| {
        let workers: Vec<_> = all
            .into_iter()
            .enumerate()
            .map(|(number, mut place)| {
                scope.spawn(move || {
                    barrier.wait();
                    let own = turns.iter().filter(|turn| turn.place == number);
                    for turn in own {
                        if matches!(place.turn(turn.bytes), End::Thread) {
                            break;
                        }
                    }
                    place
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("the thread ends well"))
            .collect()
    })
}
