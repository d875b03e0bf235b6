//! What a descriptor describes, and where a slab stands.

/// What a descriptor describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing.
    Nothing = 0,
    /// A slab of 64 KiB whose blocks are freed by the fast path.
    Small = 1,
    /// A longer slab.
    Medium = 2,
    /// A run that is one block.
    Run = 3,
    /// A slab of either length whose blocks are freed by `heap::watched`, and
    /// never by the fast path.
    Watched = 4,
    /// A run that is one block and is freed there.
    WatchedRun = 5,
    /// What the fork has left in the child of a watched slab: the contents are
    /// gone, and with them the lists. No block is handed out any more.
    Wiped = 6,
}

impl Kind {
    /// Whether it is a slab that blocks are allocated from.
    #[inline]
    pub fn is_slab(self) -> bool {
        matches!(self, Self::Small | Self::Medium | Self::Watched)
    }

    /// Whether it is a run that is one block.
    #[inline]
    pub fn is_run(self) -> bool {
        matches!(self, Self::Run | Self::WatchedRun)
    }
}

/// Where a slab stands with its holder; changed under the holder's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The class's current slab: blocks are taken from it.
    Current,
    /// On the holder's list of slabs with free blocks.
    Listed,
    /// No free blocks when last looked at; on no list.
    Full,
    /// Was current and wholly free when trim came by; on no list.
    #[cfg(not(feature = "hardened"))]
    Parked,
}
