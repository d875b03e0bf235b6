//! What the kernel says of the process's mappings, read line by line into a buffer
//! on the stack.
//!
//! Figures that it does not give (no `/proc`, no file descriptor left, an old
//! kernel) are `None`. Reference: proc_pid_smaps(5).

use core::ffi::CStr;

use super::file::File;

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
}
