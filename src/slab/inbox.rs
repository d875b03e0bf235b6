//! The inbox: slabs whose holder must look at them.
//!
//! A stack with many producers and one consumer, linked through the slabs.
//! When its heap's thread dies the inbox is closed by the same swap that
//! empties it, so that a producer either gets in before and is found, or
//! sees that it must go elsewhere.

use core::ptr;

use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::const_fn;

/// What can be in an inbox.
pub trait Linked: Sized {
    /// The link to the next one.
    fn link(&self) -> &AtomicPtr<Self>;
}

/// A closable stack of `T`s.
pub struct Inbox<T> {
    head: AtomicPtr<T>,
}

impl<T: Linked + 'static> Inbox<T> {
    const_fn! {
        /// An empty inbox; closed if so wished.
        pub fn new(closed: bool) -> Self {
            Self {
                head: AtomicPtr::new(if closed {
                    Self::CLOSED
                } else {
                    ptr::null_mut()
                }),
            }
        }
    }

    /// The head of a closed inbox: an address that no slab has.
    const CLOSED: *mut T = ptr::without_provenance_mut(align_of::<T>());

    /// Puts one in. Returns `false` when the inbox is closed.
    pub fn push(&self, item: &'static T) -> bool {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == Self::CLOSED {
                return false;
            }
            item.link().store(head, Ordering::Relaxed);
            // Release pairs with the Acquire in `exchange`: the consumer
            // sees the link.
            match self.head.compare_exchange_weak(
                head,
                ptr::from_ref(item).cast_mut(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
    }

    /// Whether there is anything to take.
    pub fn has_any(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        !head.is_null() && head != Self::CLOSED
    }

    /// Whether nothing is let in.
    #[cfg(any(test, debug_assertions))]
    pub fn is_closed(&self) -> bool {
        self.head.load(Ordering::Relaxed) == Self::CLOSED
    }

    /// Takes everything. One consumer at a time.
    pub fn take(&self) -> Taken<T> {
        if self.has_any() {
            self.exchange(ptr::null_mut())
        } else {
            Taken {
                next: ptr::null_mut(),
            }
        }
    }

    /// Takes everything and lets nothing more in.
    pub fn close(&self) -> Taken<T> {
        self.exchange(Self::CLOSED)
    }

    /// Lets a closed inbox's producers in again.
    pub fn open(&self) {
        debug_assert!(!self.has_any());
        self.head.store(ptr::null_mut(), Ordering::Relaxed);
    }

    fn exchange(&self, new: *mut T) -> Taken<T> {
        // Acquire pairs with the Release in `push`.
        let head = self.head.swap(new, Ordering::Acquire);
        Taken {
            next: if head == Self::CLOSED {
                ptr::null_mut()
            } else {
                head
            },
        }
    }
}

/// What was in an inbox, last in first.
pub struct Taken<T> {
    next: *mut T,
}

impl<T: Linked + 'static> Iterator for Taken<T> {
    type Item = &'static T;

    fn next(&mut self) -> Option<&'static T> {
        // SAFETY: only `push` puts pointers in, from `&'static T`.
        let item = unsafe { self.next.as_ref() }?;
        // The link is read before the item is handed out, which may be put
        // in another inbox at once.
        self.next = item.link().load(Ordering::Relaxed);
        Some(item)
    }
}
