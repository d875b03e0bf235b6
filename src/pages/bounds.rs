//! The bounds of the window: what the fast paths read of it without a lock.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::const_fn;

/// Where the window starts and how many pages have an entry in the page map.
/// Written under the zone's lock.
#[repr(C)]
pub struct Bounds {
    base: AtomicUsize,
    pages: AtomicUsize,
}

/// The base before there is a window. No address is so near above it that it
/// could be taken for one in the first span, should a thread read this base
/// and then the number of pages that another has just mapped.
pub const NOWHERE: usize = 1 << 63;

#[cfg(all(target_arch = "x86_64", not(loom)))]
const _: () = assert!(core::mem::offset_of!(Bounds, pages) == 8);

impl Bounds {
    const_fn! {
        /// No window yet.
        pub fn new() -> Self {
            Self {
                base: AtomicUsize::new(NOWHERE),
                pages: AtomicUsize::new(0),
            }
        }
    }

    /// The address of the window's first page.
    #[inline(always)]
    pub fn base(&self) -> usize {
        // Relaxed: a thread that has a block's address got it from one that saw
        // the window, by whatever synchronises the two.
        self.base.load(Ordering::Relaxed)
    }

    /// How many pages from the base on have an entry in the page map.
    #[inline(always)]
    pub fn pages(&self) -> usize {
        self.pages.load(Ordering::Relaxed)
    }

    /// Makes a window known, whose metadata is mapped.
    pub fn open(&self, base: usize, pages: usize) {
        self.base.store(base, Ordering::Relaxed);
        self.pages.store(pages, Ordering::Relaxed);
    }

    /// Makes pages up to `end` known, whose metadata is mapped.
    pub fn reach(&self, end: usize) {
        self.pages.store(end, Ordering::Relaxed);
    }
}
