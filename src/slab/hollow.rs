//! Hollow blocks: a free block needs its first words only. Of one that is longer
//! than a page trim gives the pages behind them back, and nothing is to be undone
//! when the block is taken.

use super::descriptor::Slab;
use super::kind::{Kind, State};
use super::list::{Block, end};
use crate::os::{memory, protect};
use crate::pages::{PAGE, fresh};
use crate::sync::atomic::Ordering;

/// The most pages of a slab.
const MOST_PAGES: usize = 512;

impl Slab {
    /// Whether a free block may have whole OS pages without its first words.
    pub fn has_long_blocks(&self) -> bool {
        matches!(self.kind(), Kind::Small | Kind::Medium)
            && self.size() > memory::page_size().max(PAGE)
            && self.pages() as usize <= MOST_PAGES
    }

    /// Purges the OS pages that lie in free blocks and hold neither a link nor a
    /// mark. Returns the bytes that were resident. The caller holds the holder's
    /// lock, without which nobody takes blocks from the slab; it
    /// [has long blocks](Self::has_long_blocks) and is not huge pages.
    ///
    /// A block on a list that has no mark was freed twice and may be in use: it is
    /// left as it is.
    pub fn hollow(&self) -> usize {
        debug_assert!(self.has_long_blocks() && self.state() != State::Parked);
        let page = memory::page_size().max(PAGE);
        let start = self.start();
        // Who trims again and again need not purge what is gone.
        let mut resident = [0; MOST_PAGES + 1];
        let base = start / page * page;
        let bytes = start - base + self.pages() as usize * PAGE;
        let resident = &mut resident[..bytes.div_ceil(page)];
        protect::find_resident(base, resident);
        let mut purged = 0;
        let mut purge = |block: *mut Block| {
            let address = block as usize;
            let from = (address + size_of::<Block>()).next_multiple_of(page);
            let to = (address + self.size()) / page * page;
            let count = (from..to)
                .step_by(page)
                .filter(|at| resident[(at - base) / page] & 1 != 0)
                .count();
            // SAFETY: the list holds blocks of this slab; those with the mark are
            // free, and nobody takes them meanwhile.
            if count > 0 && unsafe { self.is_marked(block.cast()) && fresh::purge(from, to - from) }
            {
                purged += count * page;
            }
        };
        let remote = self.remote().peek();
        let remote = remote.map_or(end(), |(top, _)| top as *mut Block);
        // Acquire pairs with the Release in `push`: the owner may free meanwhile.
        for first in [self.line.free.load(Ordering::Acquire), remote] {
            self.walk(first, &mut purge);
        }
        purged
    }
}
