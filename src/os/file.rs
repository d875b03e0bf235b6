//! Reading the kernel's files: no stdio, `errno` kept.

use core::ffi::{CStr, c_void};

use super::process;

/// Reads a file's start, as far as `buffer` reaches; `None` where it can't be
/// opened or read.
pub fn read<'a>(name: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let errno = process::errno();
    // SAFETY: the name is a C string.
    let file = unsafe { libc::open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    let mut length = 0;
    let mut done = file >= 0;
    while done && length < buffer.len() {
        let rest = &mut buffer[length..];
        // SAFETY: the pointer and length are a slice's.
        let got = unsafe { libc::read(file, rest.as_mut_ptr().cast::<c_void>(), rest.len()) };
        match got {
            0 => break,
            1.. => length += got as usize,
            _ => done = false,
        }
    }
    if file >= 0 {
        // SAFETY: the file was opened above.
        unsafe { libc::close(file) };
    }
    process::set_errno(errno);
    done.then(|| &buffer[..length])
}

/// Whether a file can be read and written to.
pub fn exists(name: &CStr) -> bool {
    let errno = process::errno();
    // SAFETY: the name is a C string.
    let exists = unsafe { libc::access(name.as_ptr(), libc::R_OK | libc::W_OK) } == 0;
    process::set_errno(errno);
    exists
}
