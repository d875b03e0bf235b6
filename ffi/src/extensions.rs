//! glibc's extensions: mallopt, mallinfo, malloc_trim.
//!
//! References: mallopt(3), mallinfo(3), malloc_trim(3).

use core::ffi::c_int;

use crate::inner::{self, Parameter};

/// glibc's largest `M_MXFAST`.
const LARGEST_FAST: c_int = 160;

/// Sets a parameter; returns 1, or 0 where bifold has none such or `M_MXFAST` is
/// out of range; other values are brought into the option's range, negative
/// ones of sizes being very large. As in glibc, each of the first four ends the adapting of
/// the mmap threshold. Each stands for an option of bifold's; `M_MXFAST` and
/// `M_ARENA_TEST` have nothing to act on.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(parameter: c_int, value: c_int) -> c_int {
    let id = match parameter {
        libc::M_MMAP_THRESHOLD => Parameter::mmap_threshold,
        libc::M_MMAP_MAX => Parameter::mmap_max,
        libc::M_TOP_PAD => Parameter::growth,
        libc::M_TRIM_THRESHOLD => Parameter::spare,
        libc::M_PERTURB => Parameter::perturb,
        libc::M_ARENA_MAX if value <= 0 => return 1,
        libc::M_ARENA_MAX => Parameter::arena_max,
        libc::M_ARENA_TEST => return 1,
        libc::M_MXFAST => return (0..=LARGEST_FAST).contains(&value).into(),
        _ => return 0,
    };
    inner::set_parameter(id, value.into());
    1
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
