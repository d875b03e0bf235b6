//! Atomics and the lock.
//!
//! The types of `crate::sync::atomic` are the processor's, or under
//! `--cfg loom` the model checker's, so that the lock-free types that ship
//! are the ones that are checked.

#[cfg(not(loom))]
pub use core::sync::atomic;
#[cfg(loom)]
pub use loom::sync::atomic;

pub mod folded;
mod lock;
#[cfg(all(test, loom))]
mod models;

/// Defines a function that is `const`, but for the model checker, whose atomics
/// are made at run time.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $access:vis fn $($rest:tt)*) => {
        $(#[$attribute])*
        #[cfg(not(loom))]
        $access const fn $($rest)*
        $(#[$attribute])*
        #[cfg(loom)]
        $access fn $($rest)*
    };
}
pub(crate) use const_fn;

pub use lock::{Guard as LockGuard, Lock, Locked, LockedGuard, forking};
