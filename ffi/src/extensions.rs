//! glibc's extensions: mallopt, mallinfo, malloc_trim.
//!
//! References: mallopt(3), mallinfo(3), malloc_trim(3).

use core::ffi::c_int;

use crate::inner;

/// glibc's largest `M_MMAP_THRESHOLD` (`HEAP_MAX_SIZE / 2`).
const LARGEST_THRESHOLD: c_int = 32 << 20;

/// Sets a parameter; returns 1, or 0 where bifold has none such or the value
/// is out of range.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(parameter: c_int, value: c_int) -> c_int {
    let done = match parameter {
        libc::M_MMAP_THRESHOLD if (0..=LARGEST_THRESHOLD).contains(&value) => {
            inner::set_mmap_threshold(value as usize);
            true
        }
        // No mappings of their own, as far as runs reach.
        libc::M_MMAP_MAX if value == 0 => {
            inner::set_mmap_threshold(usize::MAX);
            true
        }
        libc::M_TOP_PAD if value >= 0 => {
            inner::set_growth(value as usize);
            true
        }
        // A number of mappings is not counted, there is no top to trim, and
        // every thread has a heap: any value is as good as kept.
        libc::M_MMAP_MAX | libc::M_TRIM_THRESHOLD | libc::M_ARENA_MAX | libc::M_ARENA_TEST => {
            value >= 0 || parameter == libc::M_TRIM_THRESHOLD
        }
        _ => false,
    };
    done.into()
}

/// Figures over all threads, in bytes: `arena` mapped for the heap, `hblks`
/// and `hblkhd` large blocks, `uordblks` in use, `fordblks` free,
/// `keepcost` what a trim can give back at once.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> libc::mallinfo2 {
    info()
}

fn info() -> libc::mallinfo2 {
    let mut stats = inner::Stats::default();
    inner::count(&mut stats);
    libc::mallinfo2 {
        arena: stats.window.reserved,
        ordblks: stats.classes().iter().map(|class| class.slabs).sum(),
        smblks: 0,
        hblks: stats.in_large.number,
        hblkhd: stats.in_large.bytes,
        usmblks: 0,
        fsmblks: 0,
        uordblks: stats.window.live,
        fordblks: stats.window.reserved - stats.window.live,
        keepcost: stats.dirty + stats.large.cached,
    }
}

/// [`mallinfo2`] in `int`s, which wrap.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> libc::mallinfo {
    let info = info();
    libc::mallinfo {
        arena: info.arena as c_int,
        ordblks: info.ordblks as c_int,
        smblks: info.smblks as c_int,
        hblks: info.hblks as c_int,
        hblkhd: info.hblkhd as c_int,
        usmblks: info.usmblks as c_int,
        fsmblks: info.fsmblks as c_int,
        uordblks: info.uordblks as c_int,
        fordblks: info.fordblks as c_int,
        keepcost: info.keepcost as c_int,
    }
}

/// Gives what is wholly free back to the kernel, from every thread's heap.
/// Returns 1 if that was anything. Everything free goes: `pad` is for a top
/// that bifold does not have.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(_pad: usize) -> c_int {
    (inner::trim() > 0).into()
}
