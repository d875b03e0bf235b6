//! Random bytes from the kernel.

use super::fault::{Kind, point};
use super::process;

/// Fills a buffer with random bytes, getrandom(2). Where the kernel has no such
/// call, or a filter forbids it, they come from what it gave the process at its
/// start and a clock, which is the best that is left; `errno` kept.
#[cfg_attr(bifold_faults, track_caller)]
pub fn fill(words: &mut [u64]) {
    let bytes = size_of_val(words);
    let errno = process::errno();
    // SAFETY: the kernel writes so many bytes at most. At most 256 come all at
    // once, and no signal interrupts that.
    let got = point(Kind::Figure, || unsafe {
        libc::syscall(libc::SYS_getrandom, words.as_mut_ptr(), bytes, 0)
    });
    process::set_errno(errno);
    if usize::try_from(got) == Ok(bytes) {
        return;
    }
    let place = words.as_ptr() as u64;
    let mut state = process::random_seed() ^ process::coarse_milliseconds().rotate_left(40) ^ place;
    for word in words {
        // Reference: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom
        // number generators", 2014.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *word = mixed ^ (mixed >> 31);
    }
}
