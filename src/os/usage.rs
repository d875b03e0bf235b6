//! What the kernel says of the process's pages: which are in memory, and how many
//! faults there were. References: mincore(2), getrusage(2).

use core::ffi::c_void;

use super::fault::{Kind, point};
use super::paging::mincore;
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
    let done = point(Kind::Figure, || {
        // SAFETY: the array has a byte for each page. The range itself is not
        // touched, whatever it is.
        unsafe { mincore(address as *mut c_void, length, pages.as_mut_ptr()) }
    });
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

#[cfg(test)]
mod tests {
    use super::*;

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
