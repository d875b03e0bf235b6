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

#[cfg(test)]
mod tests {
    use crate::pages::zone;
    use crate::size_class::SizeClass;
    use crate::slab::{Slab, State};
    use crate::sync::atomic::Ordering;

    #[test]
    fn broken_marks_are_found() {
        let class = SizeClass::for_medium(512);
        let pages = class.slab_pages() as u32;
        let lease = zone::lock().take(pages, 16).expect("memory");
        let slab = Slab::set_up(lease, Some(class), core::ptr::null_mut());
        // SAFETY: the slab is this test's alone, and so are its blocks.
        let block = unsafe {
            slab.carve_next();
            slab.take(|| Some(0)).expect("it has blocks").block
        };
        slab.set_state(State::Listed);
        slab.recount();
        let free = slab.count_free().expect("a count");
        assert_eq!(slab.check_lists(), Ok(free));

        let found = || slab.check_lists().expect_err("the check finds it").what;
        slab.line.counter.frees.fetch_add(1, Ordering::Relaxed);
        assert_eq!(found(), "blocks that do not add up");
        slab.line.counter.frees.fetch_sub(1, Ordering::Relaxed);

        let stocked = slab.line.stocked.replace(0);
        assert_eq!(found(), "free blocks that are not found");
        slab.line.stocked.set(stocked);

        slab.poke_free(block);
        assert_eq!(found(), "a free block that is in use");
        // SAFETY: the free of the block has not begun, and its slab is this
        // test's.
        assert!(unsafe { slab.claim(slab.mark(block)) });
        // SAFETY: it has begun.
        let _ = unsafe { slab.hand_back(block) };
        assert_eq!(found(), "a block that is free twice");
        slab.poke_free(block);
        assert_eq!(slab.check_lists(), Ok(free));

        // SAFETY: as above.
        assert_eq!(unsafe { slab.collect() }, 1);
        assert!(slab.is_wholly_free());
        let (lease, dirty) = slab.take_down();
        // SAFETY: the slab was made for this test, and nobody has a block of it.
        unsafe { zone::lock().give(lease, dirty) };
    }
}
