//! A hash map with string keys: chained nodes, a bucket array that doubles by
//! calloc, lookups, and phases of growth and of deletion.

use std::ptr;

use super::kit::{Block, Random, crew};

const KEYS: usize = 20_000;
const STEPS: usize = 20_000;

/// `scale` times `STEPS` operations in each thread, on a map of its own.
pub fn run(threads: usize, scale: u32) -> u64 {
    crew(threads, |index| {
        let mut random = Random::new(index);
        let mut map = Map::new();
        let mut sum = 0u64;
        for phase in 0..scale {
            let removals = if phase % 4 == 3 { 70 } else { 25 };
            for _ in 0..STEPS {
                let number = random.below(KEYS) as u64;
                if random.chance(removals) {
                    sum = sum.wrapping_add(map.remove(number));
                } else {
                    sum = sum.wrapping_add(map.count(number));
                }
            }
        }
        sum.wrapping_add(map.free())
    })
}

struct Node {
    next: *mut Node,
    hash: u64,
    count: u64,
    key: Block,
    block: Block,
}

struct Map {
    /// The first node of each chain, as an address.
    buckets: Block,
    length: usize,
}

/// The key for a number: text of 6 to 69 bytes.
fn key(number: u64) -> Block {
    let length = 6 + (number.wrapping_mul(0x9e37_79b9) >> 7) % 64;
    let mut key = Block::filled(length as usize, number);
    for (byte, shift) in key.bytes().iter_mut().zip((0..24).step_by(4)) {
        *byte = b'a' + ((number >> shift) & 15) as u8;
    }
    key
}

fn hash(key: &Block) -> u64 {
    key.as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

impl Map {
    fn new() -> Self {
        Self {
            buckets: Block::zeroed(8 * 16),
            length: 0,
        }
    }

    /// The link that leads to the key's node, or to null at its chain's end.
    fn link(&mut self, key: &Block, hash: u64) -> *mut *mut Node {
        let buckets = self.buckets.size() / 8;
        let first = self.buckets.address().cast::<*mut Node>();
        // SAFETY: the index is below the number of buckets; links lead to
        // nodes or null.
        unsafe {
            let mut link = first.add(hash as usize % buckets);
            while let Some(node) = (*link).as_mut() {
                if node.hash == hash && node.key.as_bytes() == key.as_bytes() {
                    break;
                }
                link = &raw mut node.next;
            }
            link
        }
    }

    /// Counts the number's key, and returns the count before.
    fn count(&mut self, number: u64) -> u64 {
        let key = key(number);
        let hash = hash(&key);
        let link = self.link(&key, hash);
        // SAFETY: the link is valid until the map changes.
        if let Some(node) = unsafe { (*link).as_mut() } {
            key.release();
            node.count += 1;
            return node.count - 1;
        }
        let block = Block::new(size_of::<Node>(), 0);
        let node = block.address().cast::<Node>();
        // SAFETY: the block is the node's, which becomes its chain's last.
        unsafe {
            node.write(Node {
                next: ptr::null_mut(),
                hash,
                count: 1,
                key,
                block,
            });
            *link = node;
        }
        self.length += 1;
        if self.length > self.buckets.size() / 8 {
            self.double();
        }
        0
    }

    /// Removes the number's key, and returns its count.
    fn remove(&mut self, number: u64) -> u64 {
        let key = key(number);
        let link = self.link(&key, hash(&key));
        key.release();
        // SAFETY: the link is valid until the map changes; the node is taken
        // out of its chain before it is freed.
        unsafe {
            if (*link).is_null() {
                return 0;
            }
            let node = (*link).read();
            *link = node.next;
            self.length -= 1;
            free(node)
        }
    }

    fn double(&mut self) {
        let new = Block::zeroed(self.buckets.size() * 2);
        let first = new.address().cast::<*mut Node>();
        let count = new.size() / 8;
        self.drain(|node| {
            // SAFETY: the node is in no chain; its index is below the count.
            unsafe {
                let link = first.add((*node).hash as usize % count);
                (*node).next = *link;
                *link = node;
            }
        });
        std::mem::replace(&mut self.buckets, new).release();
    }

    /// Takes each node out of its chain.
    fn drain(&mut self, mut each: impl FnMut(*mut Node)) {
        let first = self.buckets.address().cast::<*mut Node>();
        for index in 0..self.buckets.size() / 8 {
            // SAFETY: the index is below the number of buckets.
            let mut node = unsafe { *first.add(index) };
            while !node.is_null() {
                // SAFETY: chains lead to nodes; the next is read before the
                // node is given away.
                let next = unsafe { (*node).next };
                each(node);
                node = next;
            }
        }
    }

    fn free(mut self) -> u64 {
        let mut sum = 0u64;
        // SAFETY: `drain` gives each node away once.
        self.drain(|node| sum = sum.wrapping_add(unsafe { free(node.read()) }));
        self.buckets.release();
        sum
    }
}

fn free(node: Node) -> u64 {
    let read = node.key.free().wrapping_add(node.count);
    node.block.release();
    read
}
