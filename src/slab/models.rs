//! Models of the lock-free types, for the checker that tries every order in
//! which threads can take their steps: `RUSTFLAGS="--cfg loom" cargo test
//! --release --lib loom`.
//!
//! The types are those that ship; only the atomics in them are the checker's.
//! What a block holds is in cells that the checker watches, so that an ordering
//! that is too weak is a data race here. Each model has at most three threads
//! beside the first and four blocks.
//!
//! The checker's weak compare-and-swap never fails without a cause, and its search
//! is not complete: a thread that begins with a load starts last, and where two
//! steps are to be parted it is told so.
//!
//! | models | threads | preemptions | s |
//! |---|---|---|---|
//! | `queue` | 3 to 4 | all, two of them 3 | 3 |
//! | `inbox` | 3 to 4 | all, one of them 3 | 1 |
//! | `handover`: death, adoption, reuse | 2 to 3 | 3 | 3 |
//! | `counter`: the owner and who hastens it | 2 | all | 1 |
//! | `parking`: the owner and trim | 2 | all | 1 |

mod counter;
mod handover;
mod inbox;
mod parking;
mod queue;

use std::boxed::Box;

use loom::cell::UnsafeCell;

use super::counter::{Counter, UNKNOWN};
use super::inbox::{Inbox, Linked};
use super::remote::{Pushed, RemoteQueue};

/// How often a thread is preempted in the models that are bounded.
const PREEMPTIONS: usize = 3;

/// Checks a model under every order of steps.
fn check(model: impl Fn() + Send + Sync + 'static) {
    loom::model(model);
}

/// Checks a model under every order with few preemptions.
fn check_bounded(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

/// A value for the rest of the process: descriptors are never unmapped.
fn forever<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Where a block would be.
fn address_of(block: u32) -> usize {
    16 * (block as usize + 1)
}

/// What a queue ends in: no block's address.
const END: usize = 16 * 8;

/// The first words of blocks, which only who has a block may touch.
struct Blocks {
    below: [UnsafeCell<Option<u32>>; 4],
}

impl Blocks {
    fn new() -> Self {
        Self {
            below: std::array::from_fn(|_| UnsafeCell::new(None)),
        }
    }

    /// Pushes a block, its link written as the allocator does.
    fn push(&self, queue: &RemoteQueue, block: u32) -> Pushed {
        let address = address_of(block);
        queue
            .push_open(address, |below| self.set_below(block, below))
            .unwrap_or_else(|| queue.push(address, END, true, |below| self.set_below(block, below)))
    }

    /// Pushes a block into the queue of a slab whose frees are watched.
    fn push_watched(&self, queue: &RemoteQueue, block: u32) -> Pushed {
        let address = address_of(block);
        queue.push(address, END, false, |below| self.set_below(block, below))
    }

    fn set_below(&self, block: u32, below: usize) {
        let below = (0..4).find(|&other| address_of(other) == below);
        // SAFETY: the checker sees to it that nobody else is at it.
        self.below[block as usize].with_mut(|link| unsafe { *link = below });
    }

    /// What is below a block in the queue that it was taken from.
    fn below(&self, block: u32) -> Option<u32> {
        // SAFETY: as above.
        self.below[block as usize].with(|link| unsafe { *link })
    }

    /// Takes all blocks from a queue; counts how often each came out.
    fn take(&self, queue: &RemoteQueue, seen: &mut [u32; 4]) -> u32 {
        let Some((top, count)) = queue.take(END) else {
            return 0;
        };
        let mut block = (0..4).find(|&block| address_of(block) == top);
        let mut length = 0;
        while let Some(at) = block {
            seen[at as usize] += 1;
            length += 1;
            assert!(length <= count, "the chain is longer than the count");
            block = self.below(at);
        }
        assert_eq!(length, count);
        count
    }
}
