//! Warmth: memory that the machine's host has given it.
//!
//! A virtual machine's host may have to find memory at its first touch, and may
//! take back at any time what is free, so that a fault can take a hundred times
//! longer. So before a child is measured another one touches as much memory
//! and ends, with [`touch`] behind a hidden sub-command `warm MIB`.

use std::ptr;

use super::{Outcome, children, figures};

/// Runs a child that touches so many MiB and some more.
pub fn up(mib: usize) -> Outcome<()> {
    let room = (mib + mib / 4).to_string();
    children::text_of(children::again(&["warm", &room], &[], None)?).map(drop)
}

/// The child: touches memory, in huge pages if there are any, which is the
/// fastest way.
pub fn touch(bytes: usize) -> Outcome<()> {
    // SAFETY: a new mapping disturbs nothing, and is written to within its
    // length; the advice changes no contents.
    unsafe {
        let start = libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if start == libc::MAP_FAILED {
            return Err(format!("mmap: {}", std::io::Error::last_os_error()));
        }
        libc::madvise(start, bytes, libc::MADV_HUGEPAGE);
        for offset in (0..bytes).step_by(figures::page()) {
            start.cast::<u8>().add(offset).write_volatile(1);
        }
    }
    Ok(())
}
