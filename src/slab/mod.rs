//! Slabs: runs cut into equal blocks of one size class.
//!
//! May call: `pages`, `os` and the leaf modules. It knows what one slab is
//! and does; which slab serves whom is the business of `heap`.
//!
//! ```text
//!  descriptor (three cache lines, outside the blocks' reach)
//!   everyone reads  | owner holder start | reciprocal bound | kind class
//!   the owner writes| free counter rest carved | links
//!   others write    | remote queue | inbox link
//!
//!  run   | block 0 | block 1 | block 2 | ... carved |  not carved yet  |
//!          next
//!          key       <- a free block's two words; the rest is the user's
//! ```
//!
//! A free block holds the link to the next free one and the slab's *key*, the
//! descriptor's address, which marks it as free. A block that is handed out must
//! have its mark, and loses it; so no block is handed out twice.

#[cfg(not(loom))]
mod carve;
#[cfg(all(any(test, debug_assertions), not(loom)))]
mod check;
#[cfg(all(test, not(loom)))]
mod countdown;
mod counter;
#[cfg(not(loom))]
mod descriptor;
#[cfg(not(any(loom, feature = "hardened")))]
mod hollow;
mod inbox;
#[cfg(not(loom))]
mod interior;
#[cfg(not(loom))]
mod kind;
#[cfg(not(any(loom, feature = "hardened")))]
mod list;
#[cfg(not(any(loom, feature = "hardened")))]
mod look;
#[cfg(all(feature = "hardened", not(loom)))]
mod marks;
#[cfg(all(test, loom))]
mod models;
#[cfg(any(loom, not(feature = "hardened")))]
mod parked;
mod remote;
#[cfg(all(test, not(any(loom, feature = "hardened"))))]
mod tests;

#[cfg(all(test, not(any(loom, feature = "hardened"))))]
pub use check::Poke;
#[cfg(not(loom))]
pub use descriptor::Slab;
pub use inbox::Inbox;
#[cfg(not(loom))]
pub use kind::{Kind, State};
#[cfg(all(feature = "hardened", not(loom)))]
pub use marks::{Mark, Refused, Standing, Taken};
#[cfg(not(any(loom, feature = "hardened")))]
pub use parked::Emptied;
pub use remote::Pushed;
