//! A randomised test against a shadow model: whatever is asked for, blocks are
//! aligned, do not overlap, are zero where zeros were asked for, and keep what
//! was written to them until they are freed.
//!
//! Here one thread does it, so that a failure shrinks to few steps; in
//! [`stress`] four do, which pass blocks to one another.

mod block;
mod pattern;
mod stress;

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::Arc;

use bifold::Heap;
use proptest::prelude::*;

use self::block::{Block, Source};

/// The longest request in bytes, as an exponent of two, and the highest
/// alignment.
const SIZE_EXPONENT: u32 = 22;
const ALIGNMENT_EXPONENT: u32 = 16;
/// How many explicit heaps there are beside the process's allocator.
const HEAPS: usize = 2;

/// One call. Numbers that choose are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Allocate {
        source: usize,
        layout: Layout,
        zeroed: bool,
    },
    Free {
        which: usize,
    },
    Reallocate {
        which: usize,
        size: usize,
    },
    /// Drops a heap with all its blocks and makes another.
    Replace {
        heap: usize,
    },
    Trim,
}

/// Any exponent is as likely as any other.
fn some_size() -> impl Strategy<Value = usize> {
    (0..SIZE_EXPONENT, any::<usize>()).prop_map(|(exponent, extra)| {
        let least = 1 << exponent;
        least + extra % (least + 1)
    })
}

fn some_layout() -> impl Strategy<Value = Layout> {
    let exponent = prop_oneof![3 => 0..=4u32, 1 => 0..=ALIGNMENT_EXPONENT];
    (some_size(), exponent)
        .prop_map(|(size, exponent)| Layout::from_size_align(size, 1 << exponent).unwrap())
}

fn some_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..2 * HEAPS, some_layout(), any::<bool>())
            .prop_map(|(source, layout, zeroed)| Step::Allocate { source, layout, zeroed }),
        6 => any::<usize>().prop_map(|which| Step::Free { which }),
        4 => (any::<usize>(), some_size())
            .prop_map(|(which, size)| Step::Reallocate { which, size }),
        1 => (0..HEAPS).prop_map(|heap| Step::Replace { heap }),
        1 => Just(Step::Trim),
    ]
}

/// All blocks that are live, by their addresses.
struct Shadow {
    heaps: [Arc<Heap>; HEAPS],
    live: BTreeMap<usize, Block>,
    blocks_so_far: u64,
}

impl Shadow {
    fn new() -> Self {
        Self {
            heaps: std::array::from_fn(|_| Arc::new(Heap::new().unwrap())),
            live: BTreeMap::new(),
            blocks_so_far: 0,
        }
    }

    fn insert(&mut self, block: Block) {
        let start = block.address();
        if let Some((_, below)) = self.live.range(..=start).next_back() {
            assert!(below.end() <= start, "{block:?} overlaps {below:?}");
        }
        if let Some((_, above)) = self.live.range(start..).next() {
            assert!(
                block.end() <= above.address(),
                "{block:?} overlaps {above:?}"
            );
        }
        self.live.insert(start, block);
    }

    fn remove(&mut self, which: usize) -> Option<Block> {
        let place = which.checked_rem(self.live.len())?;
        let address = *self.live.keys().nth(place)?;
        self.live.remove(&address)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Allocate {
                source,
                layout,
                zeroed,
            } => {
                // The process's allocator is as likely as all heaps together.
                let source = match self.heaps.get(source) {
                    Some(heap) => Source::Heap(Arc::clone(heap)),
                    None => Source::Process,
                };
                self.blocks_so_far += 1;
                self.insert(Block::new(source, layout, zeroed, self.blocks_so_far));
            }
            Step::Free { which } => {
                if let Some(block) = self.remove(which) {
                    block.free();
                }
            }
            Step::Reallocate { which, size } => {
                if let Some(block) = self.remove(which) {
                    self.insert(block.resized(size));
                }
            }
            Step::Replace { heap } => {
                let old = std::mem::replace(&mut self.heaps[heap], Arc::new(Heap::new().unwrap()));
                self.live.retain(|_, block| {
                    block.check();
                    !block.is_of(&old)
                });
                assert!(Arc::into_inner(old).is_some());
            }
            Step::Trim => {
                bifold::trim();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(100)
    })]

    #[test]
    fn blocks_are_apart_and_keep_their_contents(
        steps in proptest::collection::vec(some_step(), 1..200),
    ) {
        let mut shadow = Shadow::new();
        for step in &steps {
            shadow.step(step);
        }
        for (_, block) in std::mem::take(&mut shadow.live) {
            block.free();
        }
    }
}
