//! What the kernel says of the process's memory: which pages are in memory,
//! what its mappings are made of, how many faults there were.
//!
//! Figures that the kernel does not give (no `/proc`, no file descriptor left,
//! a call that is forbidden) are `None`. References: mincore(2), getrusage(2),
//! proc_pid_smaps(5).

use core::ffi::{CStr, c_int, c_void};

use super::{memory, process};

/// Pages asked about in one call.
const CHUNK: usize = 512;

/// Where a chunk is not wholly mapped, so many bytes are asked about at a
/// time. bifold's holes start and end at multiples of it.
const STEP: usize = 64 << 10;

/// The bytes of a range that are in memory, in OS pages. What is not mapped is
/// not in memory. `None`: the kernel does not say.
///
/// A page that was only read from, and so is the kernel's page of zeros, counts;
/// one that was swapped out does not, as far as the kernel has given it up.
pub fn resident(address: usize, length: usize) -> Option<usize> {
    let page = memory::page_size();
    let (mut at, mut resident) = (address, 0);
    while at < address + length {
        let chunk = (address + length - at).min(CHUNK * page);
        resident += match mapped_resident(at, chunk)? {
            Some(bytes) => bytes,
            None => resident_in_steps(at, chunk, STEP.max(page))?,
        };
        at += chunk;
    }
    Some(resident)
}

fn resident_in_steps(address: usize, length: usize, step: usize) -> Option<usize> {
    let mut starts = (address..address + length).step_by(step);
    starts.try_fold(0, |sum, at| {
        let bytes = mapped_resident(at, step.min(address + length - at))?;
        Some(sum + bytes.unwrap_or(0))
    })
}

/// One call of mincore(2), of at most [`CHUNK`] pages. `Some(None)`: some of
/// the range is not mapped.
fn mapped_resident(address: usize, length: usize) -> Option<Option<usize>> {
    let page = memory::page_size();
    let mut pages = [0u8; CHUNK];
    let count = length.div_ceil(page);
    debug_assert!(count <= CHUNK);
    let errno = process::errno();
    // SAFETY: the array has a byte for each page. The range itself is not
    // touched, whatever it is.
    let done = unsafe { libc::mincore(address as *mut c_void, length, pages.as_mut_ptr()) };
    let failed = process::errno();
    process::set_errno(errno);
    if done == 0 {
        let resident = pages[..count].iter().filter(|&&state| state & 1 != 0);
        return Some(Some(resident.count() * page));
    }
    (failed == libc::ENOMEM).then_some(None)
}

/// The process's page faults: those served without reading a disk, and the
/// others.
pub fn faults() -> (usize, usize) {
    // SAFETY: all zeros is a value of the type, and valid for the write. The
    // call can't fail with these arguments.
    let usage = unsafe {
        let mut usage: libc::rusage = core::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    (usage.ru_minflt as usize, usage.ru_majflt as usize)
}

/// What a mapping is made of, in bytes. A figure that the kernel does not know
/// of is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: usize,
    /// The address behind it.
    pub end: usize,
    /// In memory (`Rss`).
    pub resident: Option<usize>,
    /// In transparent huge pages (`AnonHugePages`).
    pub huge: Option<usize>,
    /// In pages of hugetlbfs (`Private_Hugetlb`).
    pub hugetlb: Option<usize>,
    /// Swapped out (`Swap`).
    pub swapped: Option<usize>,
    /// Locked in memory (`Locked`).
    pub locked: Option<usize>,
}

impl Mapping {
    fn read_line(&mut self, line: &[u8]) {
        let fields = [
            (&b"Rss:"[..], &mut self.resident),
            (b"AnonHugePages:", &mut self.huge),
            (b"Private_Hugetlb:", &mut self.hugetlb),
            (b"Swap:", &mut self.swapped),
            (b"Locked:", &mut self.locked),
        ];
        for (name, figure) in fields {
            if let Some(rest) = line.strip_prefix(name) {
                *figure = kibibytes(rest);
            }
        }
    }
}

/// Calls `each` with every mapping of the process, lowest first. Returns
/// whether the kernel told them all.
pub fn for_each_mapping(mut each: impl FnMut(&Mapping)) -> bool {
    let mut mapping = Mapping::default();
    // Not /proc/self: it is empty once the first thread has ended.
    let told = for_each_line(c"/proc/thread-self/smaps", |line| match range(line) {
        Some((start, end)) => {
            if mapping.end > 0 {
                each(&mapping);
            }
            mapping = Mapping {
                start,
                end,
                ..Mapping::default()
            };
        }
        None => mapping.read_line(line),
    });
    if mapping.end > 0 {
        each(&mapping);
    }
    told && mapping.end > 0
}

/// Calls `each` with every line of a file, of a very long one with its start.
/// Returns whether the file could be read to its end.
fn for_each_line(path: &CStr, mut each: impl FnMut(&[u8])) -> bool {
    let Some(file) = File::open(path) else {
        return false;
    };
    let mut buffer = [0; 1024];
    let mut filled = 0;
    let mut is_cut = false;
    loop {
        match file.read(&mut buffer[filled..]) {
            Some(0) => return true,
            Some(more) => filled += more,
            None => return false,
        }
        let mut start = 0;
        while let Some(length) = buffer[start..filled].iter().position(|&c| c == b'\n') {
            if !is_cut {
                each(&buffer[start..start + length]);
            }
            is_cut = false;
            start += length + 1;
        }
        if start == 0 && filled == buffer.len() {
            if !is_cut {
                each(&buffer);
            }
            is_cut = true;
            filled = 0;
        } else {
            buffer.copy_within(start..filled, 0);
            filled -= start;
        }
    }
}

/// An open file. By system calls: the C library's functions are points where a
/// thread can be cancelled, which none of bifold's callers expects.
struct File(c_int);

impl File {
    fn open(path: &CStr) -> Option<Self> {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let errno = process::errno();
        // SAFETY: the path is a C string.
        let file = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags) };
        process::set_errno(errno);
        // Not `then_some`: it would make a file in any case, and close it.
        (file >= 0).then(|| Self(file as c_int))
    }

    /// Reads some bytes, none at the file's end. `None`: it can't be read.
    fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        let errno = process::errno();
        let read = loop {
            // SAFETY: the pointer and length are a slice's.
            let read =
                unsafe { libc::syscall(libc::SYS_read, self.0, buffer.as_mut_ptr(), buffer.len()) };
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

/// The range at the start of a mapping's first line: `start-end ...`.
fn range(line: &[u8]) -> Option<(usize, usize)> {
    let (start, rest) = hexadecimal(line)?;
    let (end, rest) = hexadecimal(rest.strip_prefix(b"-")?)?;
    rest.starts_with(b" ").then_some((start, end))
}

/// A number in front, and what comes after it.
fn hexadecimal(text: &[u8]) -> Option<(usize, &[u8])> {
    let digits = text.iter().take_while(|c| c.is_ascii_hexdigit()).count();
    let mut number = 0usize;
    for &digit in &text[..digits] {
        let digit = (digit as char).to_digit(16)? as usize;
        number = number.checked_mul(16)?.checked_add(digit)?;
    }
    (digits > 0).then_some((number, &text[digits..]))
}

/// The bytes that `   123 kB` says.
fn kibibytes(text: &[u8]) -> Option<usize> {
    let digits = text.trim_ascii().strip_suffix(b"kB")?.trim_ascii_end();
    let mut number = 0usize;
    for &digit in digits {
        let digit = (digit as char).to_digit(10)? as usize;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn lines_are_read_as_they_are_written() {
        assert_eq!(range(b"7f00-8000 rw-p 0 00:00 0"), Some((0x7f00, 0x8000)));
        for not in [
            &b"Rss:   4 kB"[..],
            b"7f00",
            b"7f00-",
            b"-7f00 ",
            b"",
            b"ace-",
        ] {
            assert_eq!(range(not), None);
        }
        assert_eq!(kibibytes(b"     12 kB"), Some(12 << 10));
        for not in [&b"12"[..], b"12 MB", b"1x kB", b"99999999999999999999 kB"] {
            assert_eq!(kibibytes(not), None);
        }
        let mut mapping = Mapping::default();
        mapping.read_line(b"Swap:    8 kB");
        mapping.read_line(b"SwapPss:    4 kB");
        assert_eq!((mapping.swapped, mapping.locked), (Some(8 << 10), None));
    }

    #[test]
    fn the_mapping_of_a_static_is_told() {
        static HERE: u8 = 1;
        let address = &raw const HERE as usize;
        let mut holding = Vec::new();
        let told = for_each_mapping(|mapping| {
            if (mapping.start..mapping.end).contains(&address) {
                holding.push(*mapping);
            }
        });
        assert!(told);
        assert_eq!(holding.len(), 1);
        assert!(holding[0].resident.is_some_and(|bytes| bytes > 0));
        assert!(holding[0].locked.is_some());
    }

    #[test]
    fn pages_are_resident_from_the_first_write_and_holes_are_not() {
        let page = memory::page_size();
        let length = 40 << 20;
        let start = memory::map(length).unwrap();
        assert_eq!(resident(start, length), Some(0));
        for at in [start, start + (9 << 20), start + length - page] {
            // SAFETY: the page is in the mapping made above.
            unsafe { (at as *mut u8).write_volatile(1) };
        }
        assert_eq!(resident(start, length), Some(3 * page));
        // SAFETY: the range is in the mapping, and nothing refers to it.
        assert!(unsafe { memory::unmap(start + (8 << 20), 3 << 20) });
        assert_eq!(resident(start, length), Some(2 * page));
        // SAFETY: as above, for all of it.
        assert!(unsafe { memory::unmap(start, length) });
    }

    #[test]
    fn faults_are_counted() {
        assert!(faults().0 > 0);
    }
}
