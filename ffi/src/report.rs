//! malloc_stats, malloc_info and bifold_stats_json: figures for people and for
//! programs.
//!
//! References: malloc_stats(3), malloc_info(3).

use core::ffi::{c_char, c_int, c_void};

use crate::inner;

/// Writes a table of figures over all threads to standard error.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    inner::print_stats();
}

/// Writes figures over all threads as XML to a stream. Returns 0, or -1 with
/// `errno` for options other than 0 or a stream that fails.
///
/// # Safety
///
/// `stream` is an open stdio stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 {
        inner::set_errno(libc::EINVAL);
        return -1;
    }
    let mut done = true;
    let mut stats = inner::Stats::default();
    inner::measure(&mut stats);
    stats.write_xml(&mut |piece| {
        // SAFETY: the piece's bytes are valid, and the stream by the caller's
        // promise.
        let written = unsafe { libc::fwrite(piece.as_ptr().cast(), 1, piece.len(), stream) };
        done &= written == piece.len();
    });
    if done { 0 } else { -1 }
}

/// Gives figures over all threads as a JSON object to `write`, in pieces: with
/// `context`, a text that no zero ends, and its length. The figures are of the
/// moment of the call, and no lock is held, so that `write` may allocate. A null
/// `write` gets nothing.
///
/// # Safety
///
/// `write` is a function that may be called so, and returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bifold_stats_json(
    write: Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize)>,
    context: *mut c_void,
) {
    let Some(write) = write else { return };
    let mut stats = inner::Stats::default();
    inner::measure(&mut stats);
    stats.write_json(&mut |piece| {
        // SAFETY: as the caller promises.
        unsafe { write(context, piece.as_ptr().cast(), piece.len()) }
    });
}
