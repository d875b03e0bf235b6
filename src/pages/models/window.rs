//! The window opens and grows while other threads look addresses up.
//!
//! The bounds are those that ship; the steps of a lookup are as in
//! `window::descriptor_of` and `Slab::of`, those of growing as in `Window::open`
//! and `grow_at`. What is mapped is known to the kernel alone, whose lock every
//! page fault takes: that is a mutex here.

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use loom::thread;

use super::super::bounds::{Bounds, NOWHERE};
use super::{check, forever};

const BASE: usize = 0x1100_0000_0000;
const SHIFT: u32 = 12;

/// The pages of the first span, and those after growing.
const FIRST: usize = 2;
const MORE: usize = 4;

struct World {
    bounds: Bounds,
    /// The page map: 0, or the descriptor's distance.
    map: [AtomicI32; MORE],
    /// The one descriptor's owner and start.
    owner: AtomicUsize,
    start: AtomicUsize,
    /// Entries of the page map that are mapped.
    kernel: Mutex<usize>,
    /// A block on its way to another thread.
    passed: AtomicPtr<()>,
}

impl World {
    fn new() -> &'static Self {
        forever(Self {
            bounds: Bounds::new(),
            map: [(); MORE].map(|()| AtomicI32::new(0)),
            owner: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            kernel: Mutex::new(0),
            passed: AtomicPtr::new(core::ptr::null_mut()),
        })
    }

    fn open(&self) {
        *self.kernel.lock().unwrap() = FIRST;
        self.bounds.open(BASE, FIRST);
    }

    fn grow(&self) {
        *self.kernel.lock().unwrap() = MORE;
        self.bounds.reach(MORE);
    }

    /// What a thread finds at an address: the owner, 0 for nobody's; `None`:
    /// outside. A page fault where nothing is mapped ends the process.
    fn look_up(&self, address: usize) -> Option<usize> {
        let base = self.bounds.base();
        let page = address.wrapping_sub(base) >> SHIFT;
        if page >= self.bounds.pages() {
            return None;
        }
        assert_ne!(base, NOWHERE, "an address before there is a window");
        assert!(page < *self.kernel.lock().unwrap(), "a page fault");
        let entry = self.map[page].load(Ordering::Relaxed);
        Some(if entry == 0 {
            0
        } else {
            self.owner.load(Ordering::Relaxed)
        })
    }

    /// Makes a slab of a page, and a block of it known to another thread.
    fn pass(&self, page: usize) {
        let block = BASE + (page << SHIFT);
        self.start.store(block, Ordering::Relaxed);
        self.owner.store(1, Ordering::Relaxed);
        self.map[page].store(-64, Ordering::Relaxed);
        let block = core::ptr::without_provenance_mut(block);
        self.passed.store(block, Ordering::Release);
    }
}

/// Any address is looked up at any time, by a program that is wrong.
#[test]
fn loom_a_wild_address_never_faults() {
    for address in [0, 0x1000, BASE + 0x1000, BASE + 0x3000, NOWHERE - 0x1000] {
        check(None, move || {
            let world = World::new();
            let other = thread::spawn(move || world.look_up(address));
            world.open();
            world.grow();
            assert!(other.join().unwrap().is_none_or(|owner| owner == 0));
            let page = address.wrapping_sub(BASE) >> SHIFT;
            assert_eq!(world.look_up(address), (page < MORE).then_some(0));
        });
    }
}

/// A block of the first or of the last span is freed by a thread that was handed
/// it, while the window grows.
#[test]
fn loom_a_block_that_was_handed_over_is_found() {
    for page in [1, MORE - 1] {
        check(None, move || {
            let world = World::new();
            let other = thread::spawn(move || {
                let block = world.passed.load(Ordering::Acquire);
                if block.is_null() {
                    return;
                }
                assert_eq!(world.look_up(block.addr()), Some(1));
                assert_eq!(world.start.load(Ordering::Relaxed), block.addr());
            });
            let wild = thread::spawn(move || world.look_up(BASE + 0x2000));
            world.open();
            if page >= FIRST {
                world.grow();
            }
            world.pass(page);
            if page < FIRST {
                world.grow();
            }
            other.join().unwrap();
            assert!(wild.join().unwrap().is_none_or(|owner| owner == 0));
        });
    }
}
