//! The system calls that go by OS pages, and how long those are.
//!
//! Also a seam for tests. In ordinary builds these are the calls and nothing else.
//! Built with `--cfg bifold_pages` they are what a kernel with OS pages of
//! 16 or 64 KiB offers, as the variable `BIFOLD_TEST_PAGE` says; see
//! `paging/simulated.rs`.

#[cfg(bifold_pages)]
mod simulated;

#[cfg(bifold_pages)]
pub use simulated::*;

#[cfg(not(bifold_pages))]
pub use kernel_page_size as page_size;
#[cfg(not(bifold_pages))]
pub use libc::{madvise as madvise_number, mincore};
#[cfg(not(bifold_pages))]
pub use rustix::mm::{
    madvise, mlock, mlock_with, mmap_anonymous, mprotect, mremap, mremap_fixed, munlock, munmap,
};

/// The length of an OS page, by the auxiliary vector.
pub fn kernel_page_size() -> usize {
    // SAFETY: getauxval has no preconditions.
    let size = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    if size.is_power_of_two() { size } else { 4096 }
}
