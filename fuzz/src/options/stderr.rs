//! What is written to standard error meanwhile.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};

/// Has standard error go to a file in memory while `body` runs, and returns
/// what was written. Panics of `body` are to be seen nowhere.
pub fn of(body: impl FnOnce()) -> Vec<u8> {
    // SAFETY: the name is a C string.
    let file = unsafe { libc::memfd_create(c"stderr".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(file >= 0, "memfd_create");
    // SAFETY: the descriptor is open, and this value's from here on.
    let mut file = unsafe { File::from_raw_fd(file) };
    // SAFETY: both descriptors are open; no preconditions otherwise.
    unsafe {
        let own = libc::dup(2);
        assert!(own >= 0, "dup");
        libc::dup2(file.as_raw_fd(), 2);
        body();
        libc::dup2(own, 2);
        libc::close(own);
    }
    let mut said = Vec::new();
    file.rewind().expect("the file can be read");
    file.read_to_end(&mut said).expect("the file can be read");
    said
}
