//! Stands for `pages::stranded` under the model checker, where nothing is
//! refused.

use crate::os::memory;

/// Unmaps a range.
///
/// # Safety
///
/// As for [`memory::unmap`].
pub unsafe fn unmap(address: usize, length: usize) {
    // SAFETY: as the caller promises.
    unsafe { memory::unmap(address, length) };
}
