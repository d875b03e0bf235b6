//! Ends the process with one line on standard error: `bifold: WHAT: ADDRESS`.
//!
//! A leaf: no allocation, no formatting machinery, no locks, and it works in
//! a thread that is dying or a child that was forked at a bad moment.

use crate::os::process;
use crate::text::Text;

/// Writes `bifold: what: address` to standard error and raises SIGABRT; does
/// not return, which only people know, see [`process::end`].
#[cold]
#[inline(never)]
pub fn end(what: &str, address: usize) {
    let mut line = Text::<160>::new();
    line.text("bifold: ");
    line.text(what);
    line.text(": ");
    line.hex(address);
    line.text("\n");
    process::write_stderr(line.bytes());
    process::end();
}

/// The same for callers that have nothing to return.
pub fn die(what: &str, address: usize) -> ! {
    loop {
        end(what, address);
    }
}

/// What a check of the allocator's own state has found.
#[cfg(any(test, debug_assertions))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What is not as it must be.
    pub what: &'static str,
    /// Where.
    pub address: usize,
}

/// The outcome of a check.
#[cfg(any(test, debug_assertions))]
pub type Checked = Result<(), Broken>;

/// A check: `what` at `address` is broken where it does not hold.
///
/// # Errors
///
/// What is broken.
#[cfg(any(test, debug_assertions))]
pub fn ensure(holds: bool, what: &'static str, address: usize) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Broken { what, address })
    }
}
