//! The check of a slab's marks, of a hardened build.

use super::super::descriptor::Slab;
use super::super::kind::State;
use crate::fatal::{Broken, Checked, ensure};

impl Slab {
    /// Whether no block is marked in a way that none can be, as far as it can be
    /// told while others free blocks. The caller holds the holder's lock.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn check_remote(&self) -> Checked {
        match self.find_returned_free() {
            Some(block) => ensure(false, "a block that is free twice", block),
            None => Ok(()),
        }
    }

    /// [`Slab::check_remote`], and whether the marks of free blocks make sense, and
    /// their count, where that is exact. Nobody is at them. Returns how many blocks
    /// are free.
    ///
    /// # Errors
    ///
    /// What is broken.
    pub fn check_lists(&self) -> Result<u32, Broken> {
        let here = self.key();
        self.check_remote()?;
        if let Some(block) = self.find_live_free() {
            ensure(false, "a free block that is in use", block)?;
        }
        ensure(
            self.knows_stocked_groups(),
            "free blocks that are not found",
            here,
        )?;
        let free = self.count_free().unwrap_or(0);
        if self.state() != State::Current {
            ensure(
                self.handed_out().wrapping_add(free) == self.carved(),
                "blocks that do not add up",
                here,
            )?;
        }
        Ok(free)
    }
}
