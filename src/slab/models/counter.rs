//! The counter of a current slab: the owner counts down while another thread,
//! which holds the holder's lock, has it come by soon.

use loom::sync::Mutex;
use loom::sync::atomic::Ordering;
use loom::thread;

use super::{Counter, UNKNOWN, check, forever};

struct World {
    counter: Counter,
    lock: Mutex<()>,
}

/// How many frees are left until the holder is to look.
fn left(counter: &Counter) -> u32 {
    let rest = counter.rest.load(Ordering::Relaxed);
    assert!(rest >= UNKNOWN, "the slab counts as no current one");
    counter.frees.load(Ordering::Relaxed) + (rest - UNKNOWN)
}

/// The owner frees so many blocks, and comes by when it is told to. Returns
/// whether there was nothing left over once.
fn free(world: &World, blocks: u32, cap: u32) -> bool {
    let mut looked = false;
    for _ in 0..blocks {
        // SAFETY: the caller is the only one that counts down.
        if unsafe { world.counter.count_down() } {
            let _guard = world.lock.lock().unwrap();
            if !world.counter.rearm_current(cap) {
                looked = true;
                world.counter.arm_current(blocks, cap);
            }
        }
    }
    looked
}

/// However the steps meet, the counter never goes past zero, nothing is looked
/// at too early, and the owner comes by in the end.
fn model(frees: u32, blocks: u32, cap: u32) {
    let world = forever(World {
        counter: Counter::new(),
        lock: Mutex::new(()),
    });
    world.counter.arm_current(frees, u32::MAX);
    let other = thread::spawn(move || {
        let _guard = world.lock.lock().unwrap();
        world.counter.hasten(cap);
    });
    let looked = free(world, blocks, cap);
    other.join().unwrap();
    assert!(!looked || blocks >= frees, "looked at too early");
    let counter = world.counter.frees.load(Ordering::Relaxed);
    assert!((1..=frees.max(blocks)).contains(&counter), "not armed");
    if !looked {
        assert!(left(&world.counter) >= frees - blocks, "frees are lost");
    }
    // SAFETY: as in `free`.
    let told = (0..counter).map(|_| unsafe { world.counter.count_down() });
    assert_eq!(told.filter(|&told| told).count(), 1);
}

#[test]
fn loom_a_hastened_owner_comes_by() {
    check(|| model(4, 2, 1));
}

#[test]
fn loom_an_owner_is_hastened_while_it_comes_by() {
    check(|| model(2, 3, 1));
    check(|| model(3, 2, 2));
}
