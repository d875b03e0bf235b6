//! Binary trees: one large tree that lives throughout, and beside it small
//! ones built, walked and taken apart again.

use super::kit::{Block, crew};

const LASTING_DEPTH: u32 = 15;
const PASSING_DEPTHS: [u32; 4] = [4, 8, 12, 6];

/// `scale` rounds of passing trees in each thread.
pub fn run(threads: usize, scale: u32) -> u64 {
    crew(threads, |index| {
        let lasting = grow(LASTING_DEPTH, index as u64);
        let mut sum = 0u64;
        for round in 0..scale {
            for depth in PASSING_DEPTHS {
                let count = 1 << (12 - depth);
                for tree in 0..count {
                    let root = grow(depth, u64::from(round + tree));
                    sum = sum.wrapping_add(fell(root));
                }
            }
        }
        sum.wrapping_add(fell(lasting))
    })
}

struct Node {
    children: Option<(*mut Node, *mut Node)>,
    value: u64,
    block: Block,
}

fn grow(depth: u32, value: u64) -> *mut Node {
    let children = (depth > 0).then(|| (grow(depth - 1, value ^ 1), grow(depth - 1, value + 1)));
    let block = Block::new(size_of::<Node>(), value);
    let node = block.address().cast::<Node>();
    // SAFETY: the block has a node's size, aligned, and nobody else's.
    unsafe {
        node.write(Node {
            children,
            value,
            block,
        });
    }
    node
}

/// Frees the tree, and returns the sum of its values.
fn fell(node: *mut Node) -> u64 {
    // SAFETY: `grow` wrote the node, and its parent gives it up.
    let node = unsafe { node.read() };
    let below = node
        .children
        .map_or(0, |(left, right)| fell(left).wrapping_add(fell(right)));
    node.block.release();
    below.wrapping_add(node.value)
}
