//! The door to the kernel with longer pages, in builds for tests.

use crate::inner;

/// Unmaps a range, as bifold does it. Returns whether it is gone.
///
/// # Safety
///
/// The range is the caller's own and nothing refers to it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bifold_unmap(address: usize, length: usize) -> bool {
    // SAFETY: as the caller promises.
    unsafe { inner::unmap(address, length) }
}
