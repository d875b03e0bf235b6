//! Reading the kernel's files: no stdio, `errno` kept.

use core::ffi::{CStr, c_int};

use super::fault::{Kind, point};
use super::process;

/// An open file. By system calls: the C library's functions are points where a
/// thread can be cancelled, which none of bifold's callers expects.
pub struct File(c_int);

impl File {
    /// Opens a file for reading; `None`: it can't be.
    pub fn open(path: &CStr) -> Option<Self> {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let errno = process::errno();
        let file = point(Kind::File, || {
            // SAFETY: the path is a C string.
            unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags) }
        });
        process::set_errno(errno);
        // Not `then_some`: it would make a file in any case, and close it.
        (file >= 0).then(|| Self(file as c_int))
    }

    /// Reads some bytes, none at the file's end. `None`: it can't be read.
    pub fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        let errno = process::errno();
        let read = loop {
            let read = point(Kind::File, || {
                // SAFETY: the pointer and length are a slice's.
                unsafe { libc::syscall(libc::SYS_read, self.0, buffer.as_mut_ptr(), buffer.len()) }
            });
            if read >= 0 || process::errno() != libc::EINTR {
                break read;
            }
        };
        process::set_errno(errno);
        usize::try_from(read).ok()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor was opened by `open`, for this value alone. It
        // is valid, so that the call succeeds and `errno` stays.
        unsafe { libc::syscall(libc::SYS_close, self.0) };
    }
}

/// Reads a file's start, as far as `buffer` reaches; `None` where it can't be
/// opened or read.
pub fn read<'a>(name: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let file = File::open(name)?;
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Some(&buffer[..length])
}

/// Where the second version's hierarchy of cgroups may be.
pub const CGROUP_ROOTS: [&[u8]; 2] = [b"/sys/fs/cgroup", b"/sys/fs/cgroup/unified"];

/// A file's name from its parts; `None`: it is longer than `buffer`.
pub fn name_of<'a>(parts: &[&[u8]], buffer: &'a mut [u8]) -> Option<&'a CStr> {
    let mut length = 0;
    for part in parts {
        let place = buffer.get_mut(length..length + part.len())?;
        place.copy_from_slice(part);
        length += part.len();
    }
    *buffer.get_mut(length)? = 0;
    CStr::from_bytes_until_nul(buffer).ok()
}

/// Whether a file can be read and written to.
pub fn is_writable(name: &CStr) -> bool {
    let errno = process::errno();
    let is_writable = point(Kind::File, || {
        // SAFETY: the name is a C string.
        unsafe { libc::access(name.as_ptr(), libc::R_OK | libc::W_OK) }
    }) == 0;
    process::set_errno(errno);
    is_writable
}

/// The device and inode of an open file; `None`: it is not open.
pub fn identity_of(number: i32) -> Option<(u64, u64)> {
    let errno = process::errno();
    // SAFETY: zeros are a `stat`, which is only numbers.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    let is_open = point(Kind::File, || {
        // SAFETY: `status` is valid for the write.
        unsafe { libc::fstat(number, &mut status) }
    }) == 0;
    process::set_errno(errno);
    is_open.then_some((status.st_dev, status.st_ino))
}

/// A second number for an open file, closed on exec, and what it is: a program
/// that closes all its files and opens others makes the number mean another.
#[derive(Clone, Copy)]
pub struct Second {
    number: i32,
    identity: (u64, u64),
}

impl Second {
    /// A second number; `None`: the file is not open, or there are no more.
    pub fn of(number: i32) -> Option<Self> {
        let errno = process::errno();
        let second = point(Kind::File, || {
            // SAFETY: the call takes numbers alone.
            unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) }
        });
        process::set_errno(errno);
        let identity = identity_of(second);
        if identity.is_none() && second >= 0 {
            // SAFETY: the number was made above, and nobody has it.
            unsafe { libc::close(second) };
        }
        Some(Self {
            number: second,
            identity: identity?,
        })
    }

    /// The number, if it still means that file.
    pub fn number(&self) -> Option<i32> {
        (identity_of(self.number) == Some(self.identity)).then_some(self.number)
    }
}
