//! The check: whether a descriptor, its page-map entries and its lists, or in a
//! hardened build its marks, agree.

#[cfg(not(feature = "hardened"))]
mod lists;
#[cfg(feature = "hardened")]
mod marks;

#[cfg(all(test, not(feature = "hardened")))]
pub use lists::Poke;

use super::descriptor::Slab;
use super::interior::{bound_of, reciprocal_of};
use super::kind::Kind;
use crate::fatal::{Checked, ensure};
#[cfg(feature = "hardened")]
use crate::pages::fence;
use crate::pages::{PAGE, window};
use crate::sync::atomic::Ordering;

impl Slab {
    /// The pages of a run that are its block.
    fn block_pages(&self) -> u32 {
        #[cfg(feature = "hardened")]
        if !self.is_guarded() {
            return self.pages() - fence::PAGES;
        }
        self.pages()
    }

    /// Whether the descriptor is possible, what the fast paths read of it agrees
    /// with the rest, and the page map names it. The caller holds the holder's
    /// lock.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn check(&self) -> Checked {
        let here = self.key();
        ensure(self.is_valid(), "an impossible descriptor", here)?;
        let kind = self.kind();
        let owner = self.owner.load(Ordering::Relaxed);
        let is_owner = if kind == Kind::Small {
            owner == self.holder()
        } else {
            owner.is_null()
        };
        ensure(is_owner, "a slab with another owner", here)?;
        let pages = if kind.is_run() { 1 } else { self.pages() };
        let first = window::page_of(self.start()).0;
        for page in first..first + pages {
            let address = window::entry_of(page as usize);
            ensure(
                address == Some(here),
                "a page that is not its slab's",
                self.start() + ((page - first) as usize) * PAGE,
            )?;
        }
        if kind.is_run() {
            return ensure(
                self.size() == self.block_pages() as usize * PAGE,
                "a run of another length",
                here,
            );
        }
        let size = self.class().size();
        let bound = self.bound.load(Ordering::Relaxed);
        ensure(
            self.size() == size && self.capacity() == self.class().capacity(),
            "a slab of another class",
            here,
        )?;
        ensure(
            self.reciprocal.load(Ordering::Relaxed) == reciprocal_of(size)
                && bound == bound_of(reciprocal_of(size), size, self.carved()),
            "a slab with other bounds than its blocks",
            here,
        )
    }
}
