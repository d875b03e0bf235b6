//! The check: whether the table, the kept mappings and the counters agree.

use super::{LARGE, Large};
use crate::fatal::{Broken, Checked, ensure};
use crate::os::memory;

/// Checks all large blocks and kept mappings. Returns how much was looked at:
/// places in the table.
///
/// # Errors
///
/// What is broken.
pub fn check() -> Result<usize, Broken> {
    let mut large = LARGE.lock();
    large.check()?;
    Ok(large.table.capacity())
}

impl Large {
    fn check(&mut self) -> Checked {
        self.table.check(self.live, self.seams)?;
        ensure(
            self.live <= self.most,
            "more bytes in large blocks than ever",
            self.live,
        )?;
        let page = memory::page_size();
        for (number, kept) in self.kept.iter().enumerate() {
            let (start, end) = (kept.address, kept.address + kept.length);
            ensure(
                (start == 0) == (kept.length == 0)
                    && kept.seams.before(kept.length) == kept.seams
                    && start.is_multiple_of(page)
                    && end.is_multiple_of(page),
                "an impossible kept mapping",
                start,
            )?;
            let before = &self.kept[..number];
            ensure(
                !before
                    .iter()
                    .any(|other| start < other.address + other.length && other.address < end),
                "a mapping that is kept twice",
                start,
            )?;
            ensure(
                self.table.get(start).is_none(),
                "a kept mapping that is a block",
                start,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LARGE, allocate, free};
    use super::check;
    use crate::os::memory;
    use crate::pages::large::kept::{Kept, NOTHING};

    #[test]
    fn a_broken_table_of_large_blocks_is_found() {
        let block = allocate(1 << 20, 1, 0).expect("memory").address;
        assert!(check().is_ok());
        let page = memory::page_size();
        {
            let mut large = LARGE.lock();
            large.live += page;
            let broken = large.check().expect_err("the check finds it");
            assert_eq!(broken.what, "large blocks that do not add up");
            large.live -= page;
            large.table.poke(block);
            let broken = large.check().expect_err("the check finds it");
            assert_eq!(broken.what, "a large block that is not found");
            large.table.poke(block);
            let whole = large.kept;
            large.kept[0] = Kept {
                address: block,
                length: page,
                ..NOTHING
            };
            let broken = large.check().expect_err("the check finds it");
            assert_eq!(broken.what, "a kept mapping that is a block");
            large.kept = whole;
            assert!(large.check().is_ok());
        }
        assert!(free(block));
        assert!(check().is_ok());
    }
}
