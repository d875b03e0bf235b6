//! A bounded queue between threads that never allocates once it is made.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Table;

/// First in, first out; `push` waits while it is full, `pop` while it is
/// empty and a producer is left.
pub struct Queue<T> {
    ring: Mutex<Ring<T>>,
    filled: Condvar,
    emptied: Condvar,
}

struct Ring<T> {
    places: Table<Option<T>>,
    first: usize,
    length: usize,
    producers: usize,
}

impl<T> Queue<T> {
    /// A queue of `capacity` places into which `producers` threads push.
    pub fn new(capacity: usize, producers: usize) -> Self {
        Self {
            ring: Mutex::new(Ring {
                places: Table::new(capacity, |_| None),
                first: 0,
                length: 0,
                producers,
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring<T>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends `value`.
    pub fn push(&self, value: T) {
        let mut ring = self.ring();
        while ring.length == ring.places.len() {
            ring = self
                .emptied
                .wait(ring)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let place = (ring.first + ring.length) % ring.places.len();
        ring.places[place] = Some(value);
        ring.length += 1;
        drop(ring);
        self.filled.notify_one();
    }

    /// Takes the oldest value; `None` when no producer is left to send one.
    pub fn pop(&self) -> Option<T> {
        let mut ring = self.ring();
        while ring.length == 0 && ring.producers > 0 {
            ring = self
                .filled
                .wait(ring)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let place = ring.first;
        let value = ring.places[place].take()?;
        ring.first = (place + 1) % ring.places.len();
        ring.length -= 1;
        drop(ring);
        self.emptied.notify_one();
        Some(value)
    }

    /// Says that the calling producer pushes no more.
    pub fn leave(&self) {
        self.ring().producers -= 1;
        self.filled.notify_all();
    }
}
