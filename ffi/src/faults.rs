//! The door to the seam that has system calls fail, in builds for tests.

use core::ffi::{CStr, c_char};

use crate::inner;

/// Has calls fail from now on, as `BIFOLD_TEST_FAULT` does; null: none. Returns
/// how many have failed since the last call of this.
///
/// # Safety
///
/// `text` is null or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bifold_fault(text: *const c_char) -> usize {
    if text.is_null() {
        return inner::arm_faults(b"");
    }
    // SAFETY: as the caller promises.
    inner::arm_faults(unsafe { CStr::from_ptr(text) }.to_bytes())
}
