//! A kernel with longer pages, on one with shorter ones.
//!
//! Mappings start at multiples of the longer page and are whole ones long, so that
//! no two share one. bifold never asks for anything else: a range that is
//! not of whole pages ends the process with a line, whatever a kernel would make
//! of it (EINVAL for most addresses; lengths it rounds up, and takes away what
//! is not the caller's).
//!
//! What is not like such a kernel: a touch makes a short page resident, and not the
//! long one that it is in. [`mincore`] says that the long one is, as it would be;
//! the kernel's other figures know nothing of it.
//!
//! References: mmap(2), munmap(2), mremap(2), madvise(2), mprotect(2), mlock(2),
//! mincore(2).

use core::ffi::{c_int, c_uchar, c_void};
use core::ptr;

use rustix::io::{Errno, Result};
use rustix::mm::{self, Advice, MapFlags, MlockFlags, MprotectFlags, MremapFlags, ProtFlags};

use super::kernel_page_size;
use crate::os::file::File;
use crate::os::line::Line;
use crate::os::{memory, process};

/// What says how long a page is to be.
const VARIABLE: &[u8] = b"BIFOLD_TEST_PAGE";

/// The length of a page that the environment asks for.
pub fn page_size() -> usize {
    let mut value = [0; 8];
    let size = match find(&mut value) {
        Some(b"16384") => 16384,
        Some(b"65536") => 65536,
        Some(other) => end(&[VARIABLE, b" is neither 16384 nor 65536: ", other]),
        None => end(&[VARIABLE, b" is not set"]),
    };
    if size < kernel_page_size() {
        end(&[VARIABLE, b": the kernel's pages are longer"]);
    }
    size
}

/// The variable's value, as far as `value` has room for it. The library may
/// allocate before the C library has found the environment; then it is read from
/// the kernel's file.
fn find(value: &mut [u8; 8]) -> Option<&[u8]> {
    let mut search = Search::new(value);
    if let Some(mut entries) = process::environment() {
        entries.any(|entry| search.read(entry) || search.read(b"\0"));
    } else {
        let file = File::open(c"/proc/self/environ")?;
        let mut buffer = [0; 512];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 || search.read(&buffer[..read]) {
                break;
            }
        }
    }
    search.result()
}

/// Looks for the variable in bytes that come piece by piece.
struct Search<'a> {
    value: &'a mut [u8; 8],
    length: usize,
    /// How many bytes of an entry there were, and how many at its start
    /// are the name's.
    at: usize,
    named: usize,
    is_over: bool,
}

impl<'a> Search<'a> {
    fn new(value: &'a mut [u8; 8]) -> Self {
        Self {
            value,
            length: 0,
            at: 0,
            named: 0,
            is_over: false,
        }
    }

    fn has_name(&self) -> bool {
        self.named > VARIABLE.len()
    }

    /// Reads the next bytes. Returns whether the variable has been read.
    fn read(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            match byte {
                _ if self.is_over => break,
                0 if self.has_name() => self.is_over = true,
                0 => (self.at, self.named) = (0, 0),
                byte if self.has_name() => {
                    if let Some(place) = self.value.get_mut(self.length) {
                        *place = byte;
                        self.length += 1;
                    }
                }
                byte => {
                    let wanted = VARIABLE.get(self.at).copied().unwrap_or(b'=');
                    self.named += usize::from(self.at == self.named && byte == wanted);
                    self.at += 1;
                }
            }
        }
        self.is_over
    }

    fn result(self) -> Option<&'a [u8]> {
        self.is_over.then_some(&self.value[..self.length])
    }
}

/// Ends the process with a line.
fn end(parts: &[&[u8]]) -> ! {
    let mut line = Line::new();
    line.push(b"bifold: ");
    for part in parts {
        line.push(part);
    }
    line.push(b"\n");
    process::write_stderr(line.bytes());
    loop {
        process::end();
    }
}

/// Ends the process where a range is not of whole pages.
fn demand(call: &str, address: usize, length: usize) {
    let page = memory::page_size();
    if address.is_multiple_of(page) && length.is_multiple_of(page) && length > 0 {
        return;
    }
    let mut range = Line::new();
    range.address(address);
    range.push(b", ");
    range.decimal(length);
    let what = b" of what is not whole pages: ";
    end(&[call.as_bytes(), what, range.bytes(), b" bytes"]);
}

/// Maps where the kernel likes.
fn map_anywhere(length: usize, protection: ProtFlags, flags: MapFlags) -> Result<*mut c_void> {
    let page = memory::page_size();
    let map = |length| {
        // SAFETY: a new mapping at no particular address disturbs nothing.
        unsafe { mm::mmap_anonymous(ptr::null_mut(), length, protection, flags) }
    };
    let unmap = |start: usize, end: usize| {
        // SAFETY: callers name parts of a mapping that nobody knows yet.
        start == end || unsafe { mm::munmap(start as *mut c_void, end - start) }.is_ok()
    };
    let start = map(length)? as usize;
    if start.is_multiple_of(page) {
        return Ok(start as *mut c_void);
    }
    unmap(start, start + length);
    let slack = page - kernel_page_size();
    let start = map(length.checked_add(slack).ok_or(Errno::NOMEM)?)? as usize;
    let end = start + length + slack;
    let place = start.next_multiple_of(page);
    if unmap(start, place) && unmap(place + length, end) {
        return Ok(place as *mut c_void);
    }
    unmap(start, end);
    Err(Errno::NOMEM)
}

/// mmap(2) of anonymous memory.
///
/// # Safety
///
/// As for the call.
pub unsafe fn mmap_anonymous(
    address: *mut c_void,
    length: usize,
    protection: ProtFlags,
    flags: MapFlags,
) -> Result<*mut c_void> {
    demand("mmap", address as usize, length);
    if address.is_null() {
        return map_anywhere(length, protection, flags);
    }
    // SAFETY: as the caller promises.
    unsafe { mm::mmap_anonymous(address, length, protection, flags) }
}

/// munmap(2).
///
/// # Safety
///
/// As for the call.
pub unsafe fn munmap(address: *mut c_void, length: usize) -> Result<()> {
    demand("munmap", address as usize, length);
    // SAFETY: as the caller promises.
    unsafe { mm::munmap(address, length) }
}

/// mremap(2) with `MREMAP_MAYMOVE`.
///
/// # Safety
///
/// As for the call.
pub unsafe fn mremap(
    address: *mut c_void,
    old: usize,
    new: usize,
    flags: MremapFlags,
) -> Result<*mut c_void> {
    demand("mremap", address as usize, old);
    demand("mremap", address as usize, new);
    // SAFETY: as the caller promises.
    let in_place = unsafe { mm::mremap(address, old, new, MremapFlags::empty()) };
    if in_place.is_ok() || !flags.contains(MremapFlags::MAYMOVE) {
        return in_place;
    }
    let nothing = MapFlags::PRIVATE | MapFlags::NORESERVE;
    let place = map_anywhere(new, ProtFlags::empty(), nothing)?;
    // SAFETY: as the caller promises; what is at the place was made for this.
    unsafe {
        let moved = mm::mremap_fixed(address, old, new, flags, place);
        if moved.is_err() {
            let _ = mm::munmap(place, new);
        }
        moved
    }
}

/// mremap(2) with `MREMAP_FIXED`.
///
/// # Safety
///
/// As for the call.
pub unsafe fn mremap_fixed(
    address: *mut c_void,
    old: usize,
    new: usize,
    flags: MremapFlags,
    place: *mut c_void,
) -> Result<*mut c_void> {
    demand("mremap", address as usize, old);
    demand("mremap", place as usize, new);
    // SAFETY: as the caller promises.
    unsafe { mm::mremap_fixed(address, old, new, flags, place) }
}

/// madvise(2).
///
/// # Safety
///
/// As for the call.
pub unsafe fn madvise(address: *mut c_void, length: usize, advice: Advice) -> Result<()> {
    demand("madvise", address as usize, length);
    // SAFETY: as the caller promises.
    unsafe { mm::madvise(address, length, advice) }
}

/// madvise(2) with an advice that rustix has no name for.
///
/// # Safety
///
/// As for the call.
pub unsafe fn madvise_number(address: *mut c_void, length: usize, advice: c_int) -> c_int {
    demand("madvise", address as usize, length);
    // SAFETY: as the caller promises.
    unsafe { libc::madvise(address, length, advice) }
}

/// mprotect(2).
///
/// # Safety
///
/// As for the call.
pub unsafe fn mprotect(address: *mut c_void, length: usize, flags: MprotectFlags) -> Result<()> {
    demand("mprotect", address as usize, length);
    // SAFETY: as the caller promises.
    unsafe { mm::mprotect(address, length, flags) }
}

/// mlock(2).
///
/// # Safety
///
/// As for the call.
pub unsafe fn mlock(address: *mut c_void, length: usize) -> Result<()> {
    demand("mlock", address as usize, length);
    // SAFETY: as the caller promises.
    unsafe { mm::mlock(address, length) }
}

/// mlock2(2).
///
/// # Safety
///
/// As for the call.
pub unsafe fn mlock_with(address: *mut c_void, length: usize, flags: MlockFlags) -> Result<()> {
    demand("mlock2", address as usize, length);
    // SAFETY: as the caller promises.
    unsafe { mm::mlock_with(address, length, flags) }
}

/// munlock(2).
///
/// # Safety
///
/// As for the call.
pub unsafe fn munlock(address: *mut c_void, length: usize) -> Result<()> {
    demand("munlock", address as usize, length);
    // SAFETY: as the caller promises.
    unsafe { mm::munlock(address, length) }
}

/// mincore(2): a byte for each page, of which the lowest bit says whether any of
/// it is in memory.
///
/// # Safety
///
/// As for the call.
pub unsafe fn mincore(address: *mut c_void, length: usize, pages: *mut c_uchar) -> c_int {
    let (page, short) = (memory::page_size(), kernel_page_size());
    let length = length.next_multiple_of(page);
    demand("mincore", address as usize, length);
    for number in 0..length / page {
        let mut parts = [0; 16];
        let count = page / short;
        let start = address.wrapping_byte_add(number * page);
        // SAFETY: there is a byte for each short page, of which a long one has 16
        // at most; `pages` has one for each long one.
        unsafe {
            if libc::mincore(start, page, parts.as_mut_ptr()) != 0 {
                return -1;
            }
            let is_resident = parts[..count].iter().any(|part| part & 1 != 0);
            pages.add(number).write(u8::from(is_resident));
        }
    }
    0
}
