//! The only system calls, and what else the platform gives: the bottom layer.
//!
//! It knows nothing of bifold's other modules. Every function here is one
//! system call or one hook of the C library, with the error as a type and
//! `errno` untouched unless its docs say otherwise.

pub mod fault;
pub mod file;
pub mod guest;
pub mod hooks;
pub mod limits;
#[cfg(any(bifold_faults, bifold_pages))]
mod line;
pub mod memory;
mod paging;
pub mod pressure;
pub mod process;
pub mod protect;
#[cfg(feature = "hardened")]
pub mod random;
pub mod slot;
pub mod smaps;
pub mod thread;
pub mod usage;
#[cfg(feature = "valgrind")]
pub mod valgrind;
