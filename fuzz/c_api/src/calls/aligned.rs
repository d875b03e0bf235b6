//! The calls that align.

use core::ffi::c_void;
use std::ptr;

use bifold_fuzz_kit::Input;

use super::{Calls, NONE, PAGE, Refusal, aligned, errno, set_errno};
use crate::api;

impl Calls {
    pub(super) fn aligned_alloc(&mut self, input: &mut Input<'_>) {
        let (alignment, size) = (Self::alignment(input), Self::size(input));
        set_errno(NONE);
        // SAFETY: no preconditions.
        let block = unsafe { api::aligned_alloc(alignment, size) };
        let refusal = match alignment.is_power_of_two() {
            true => self.refusal(size, alignment),
            false => Refusal::Alignment,
        };
        self.result(block, aligned(alignment, size), refusal);
    }

    /// What is no power of two counts as the next one.
    pub(super) fn memalign(&mut self, input: &mut Input<'_>) {
        let (alignment, size) = (Self::alignment(input), Self::size(input));
        set_errno(NONE);
        // SAFETY: no preconditions.
        let block = unsafe { api::memalign(alignment, size) };
        let (rounded, refusal) = match alignment {
            0..=0x4000_0000_0000_0000 => {
                let rounded = alignment.next_power_of_two();
                (rounded, self.refusal(size, rounded))
            }
            _ => (1, Refusal::Alignment),
        };
        self.result(block, aligned(rounded, size), refusal);
    }

    pub(super) fn posix_memalign(&mut self, input: &mut Input<'_>) {
        let (alignment, size) = (Self::alignment(input), Self::size(input));
        let mark: *mut c_void = (&raw mut self.operations).cast();
        let mut block = mark;
        set_errno(NONE);
        // SAFETY: the pointer is to a local.
        let result = unsafe { api::posix_memalign(&raw mut block, alignment, size) };
        assert_eq!(errno(), NONE, "posix_memalign keeps errno");
        let refusal = match alignment.is_power_of_two() && alignment >= 8 {
            true => self.refusal(size, alignment),
            false => Refusal::Alignment,
        };
        if result != 0 {
            assert_eq!(block, mark, "posix_memalign leaves its argument");
            block = ptr::null_mut();
            set_errno(result);
        }
        self.result(block, aligned(alignment, size), refusal);
    }

    pub(super) fn valloc(&mut self, input: &mut Input<'_>) {
        let size = Self::size(input);
        set_errno(NONE);
        // SAFETY: no preconditions.
        let block = unsafe { api::valloc(size) };
        self.result(block, aligned(PAGE, size), self.refusal(size, PAGE));
    }

    /// All of the last page belongs to the block.
    pub(super) fn pvalloc(&mut self, input: &mut Input<'_>) {
        let size = Self::size(input);
        set_errno(NONE);
        // SAFETY: no preconditions.
        let block = unsafe { api::pvalloc(size) };
        let (size, refusal) = match size.max(1).checked_next_multiple_of(PAGE) {
            Some(size) => (size, self.refusal(size, PAGE)),
            None => (size, Refusal::Size),
        };
        self.result(block, aligned(PAGE, size), refusal);
    }
}
