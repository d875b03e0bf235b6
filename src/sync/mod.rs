//! Atomics and the lock.
//!
//! The types of `crate::sync::atomic` are the processor's, or under
//! `--cfg loom` the model checker's, so that the lock-free types that ship
//! are the ones that are checked.

#[cfg(not(loom))]
pub use core::sync::atomic;
#[cfg(loom)]
pub use loom::sync::atomic;

#[cfg(not(loom))]
pub mod folded;
#[cfg(not(loom))]
mod lock;
#[cfg(not(loom))]
pub use lock::{Lock, Locked, LockedGuard, forking};
