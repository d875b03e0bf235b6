//! Wiping: overwriting what nobody reads any more.

use core::arch::asm;
use core::ops::Range;

use crate::os::{memory, protect};

/// Overwrites a range with zeros, in a way that is not optimised away although
/// nobody reads them. Of a long range, pages that were never touched stay so.
///
/// # Safety
///
/// The range is the caller's, and its contents are dead.
pub unsafe fn wipe(address: usize, bytes: usize) {
    const LONG: usize = 64 << 10;
    let (mut at, end) = (address, address + bytes);
    if bytes < LONG {
        // SAFETY: as the caller promises.
        return unsafe { zero(at..end) };
    }
    let os_page = memory::page_size();
    while at < end {
        let mut first = at / os_page * os_page;
        let mut resident = [0; 64];
        let count = (end - first).div_ceil(os_page).min(resident.len());
        let resident = &mut resident[..count];
        protect::find_resident(first, resident);
        for page in resident {
            let next = first + os_page;
            if *page & 1 != 0 {
                // SAFETY: as the caller promises.
                unsafe { zero(at..next.min(end)) };
            }
            (first, at) = (next, next);
        }
    }
}

/// # Safety
///
/// As for [`wipe`].
unsafe fn zero(range: Range<usize>) {
    let start = range.start as *mut u8;
    // SAFETY: as the caller promises. The assembly does nothing, but for all that the
    // compiler knows it reads what was written.
    unsafe {
        start.write_bytes(0, range.len());
        asm!("/* {0} */", in(reg) start, options(nostack, preserves_flags, readonly));
    }
}

#[cfg(test)]
mod tests {
    use super::wipe;
    use std::vec;

    #[test]
    fn the_range_is_zero_and_nothing_else() {
        let lengths = (0..40).chain([65_535, 65_536, 65_537, 100_000, 300_001]);
        for length in lengths {
            for before in 0..17 {
                let mut bytes = vec![0xa7u8; before + length + 17];
                // SAFETY: the range lies in the vector.
                unsafe { wipe(bytes.as_mut_ptr() as usize + before, length) };
                let (front, rest) = bytes.split_at(before);
                let (wiped, behind) = rest.split_at(length);
                assert!(wiped.iter().all(|&byte| byte == 0));
                assert!(front.iter().chain(behind).all(|&byte| byte == 0xa7));
            }
        }
    }
}
