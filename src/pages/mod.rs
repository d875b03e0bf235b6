//! Pages: where memory comes from.
//!
//! May call: `os` and the leaf modules. The door for the layers above:
//! [`zone`] for runs in the window, [`large`] for mappings of their own,
//! [`window`] for finding the descriptor of an address.
//!
//! ```text
//!   zone    takes runs, grows the window, gives memory back
//!    |  \
//!  buddy  window        large     mappings above the threshold
//!  (bits) (addresses)     |  \
//!                      table  peak
//!
//!  fresh    memory from the kernel, as the options want it, and back to it
//!  seams    where the kernel's mappings meet in a large one
//!  limit    how much of it bifold may have
//!  stranded what munmap(2) left behind
//!  due      when somebody must come by to give some back
//!  guarded  runs of the zone's, and mappings for large, that hold secrets
//!  wipe     overwriting them
//!  fence    inaccessible pages behind slabs and runs, in a hardened build
//! ```

mod bounds;
#[cfg(not(loom))]
mod buddy;
#[cfg(not(loom))]
pub mod due;
#[cfg(all(feature = "hardened", not(loom)))]
pub mod fence;
#[cfg(not(loom))]
pub mod fresh;
#[cfg(loom)]
#[path = "models/fresh.rs"]
mod fresh;
#[cfg(not(loom))]
pub mod guarded;
#[cfg(not(loom))]
pub mod large;
#[cfg(not(loom))]
pub mod limit;
#[cfg(all(test, loom))]
mod models;
#[cfg(not(loom))]
mod peak;
mod seams;
#[cfg(not(loom))]
mod stranded;
#[cfg(loom)]
#[path = "models/stranded.rs"]
mod stranded;
mod table;
#[cfg(not(loom))]
pub mod window;
#[cfg(not(loom))]
pub mod wipe;
#[cfg(not(loom))]
pub mod zone;

#[cfg(not(loom))]
pub use buddy::{PageIndex, Run};
#[cfg(not(loom))]
pub use window::PAGE;

/// Does what the options want done at the start of the process.
#[cfg(not(loom))]
pub fn start() {
    large::start();
    if fresh::is_wanted_at_start() {
        zone::open();
    }
}
