//! Calls that are about the whole process, or about nothing.

use core::ffi::{c_char, c_int, c_void};
use std::ptr;

use bifold_fuzz_kit::Input;
use libc::EINVAL;

use super::{Calls, EXPONENT, NONE, PAGE, REPORTS, errno, set_errno};
use crate::api;

impl Calls {
    pub(super) fn mallopt(&mut self, input: &mut Input<'_>) {
        let parameter = match input.byte() {
            choice @ 0..224 => c_int::from(choice % 12) - 9,
            _ => input.word() as c_int,
        };
        let value = match input.byte() {
            0..192 => input.size(EXPONENT) as c_int,
            _ => input.word() as c_int,
        };
        let expected = match parameter {
            // Nothing would go back to the kernel for the rest of the process.
            libc::M_TRIM_THRESHOLD if value < 0 => return,
            // With prefaulting, all of it would be resident.
            libc::M_TOP_PAD if !(0..1 << EXPONENT).contains(&value) => return,
            libc::M_MXFAST => c_int::from((0..=160).contains(&value)),
            libc::M_TRIM_THRESHOLD
            | libc::M_TOP_PAD
            | libc::M_MMAP_THRESHOLD
            | libc::M_MMAP_MAX
            | libc::M_PERTURB
            | libc::M_ARENA_TEST
            | libc::M_ARENA_MAX => 1,
            _ => 0,
        };
        // SAFETY: no preconditions.
        let result = unsafe { api::mallopt(parameter, value) };
        assert_eq!(result, expected, "mallopt({parameter}, {value})");
        self.few_mappings |= parameter == libc::M_MMAP_MAX;
    }

    /// Null is nothing to free and no block.
    pub(super) fn null(&mut self, input: &mut Input<'_>) {
        let (size, alignment) = (Self::size(input), Self::alignment(input));
        set_errno(NONE);
        // SAFETY: null is allowed.
        unsafe {
            let null = ptr::null_mut();
            api::free(null);
            api::cfree(null);
            api::free_sized(null, size);
            api::free_aligned_sized(null, alignment, size);
            api::bifold_heap_free(self.heaps[0], null);
            api::bifold_heap_destroy(null);
            api::bifold_stats_json(None, null);
            assert_eq!(api::malloc_usable_size(null), 0);
        }
        assert_eq!(errno(), NONE);
    }

    pub(super) fn trim(&mut self, input: &mut Input<'_>) {
        if input.byte() >= 64 {
            return;
        }
        // SAFETY: no preconditions.
        let (result, bytes) = unsafe { (api::malloc_trim(input.word()), api::bifold_trim()) };
        assert!(result == 0 || result == 1, "malloc_trim: {result}");
        assert!(bytes.is_multiple_of(PAGE), "bifold_trim: {bytes}");
    }

    pub(super) fn report(&mut self) {
        self.reports += 1;
        if self.reports > REPORTS {
            return;
        }
        // SAFETY: no preconditions.
        let info = unsafe { api::mallinfo2() };
        assert_eq!(info.uordblks + info.fordblks, info.arena);
        assert!(info.uordblks <= info.arena, "{}", info.uordblks);
        assert!(info.uordblks + info.hblkhd >= self.live.bytes());
        let mut text = Vec::<u8>::new();
        // SAFETY: the function takes this context, and returns.
        unsafe { api::bifold_stats_json(Some(append), (&raw mut text).cast()) };
        assert!(text.starts_with(b"{") && text.trim_ascii_end().ends_with(b"}"));
        set_errno(NONE);
        // SAFETY: with options that are none the stream is not looked at.
        let result = unsafe { api::malloc_info(1, ptr::null_mut()) };
        assert!(result == -1 && errno() == EINVAL, "malloc_info: {result}");
    }
}

/// # Safety
///
/// The context is a vector, and the text is that long.
unsafe extern "C" fn append(context: *mut c_void, text: *const c_char, length: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        let piece = std::slice::from_raw_parts(text.cast::<u8>(), length);
        (*context.cast::<Vec<u8>>()).extend_from_slice(piece);
    }
}
