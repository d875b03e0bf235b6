//! `libbifold.so` and `libbifold.a`: malloc and its relatives, the C++
//! operators, and glibc's extensions, on bifold.
//!
//! The only exported symbols are here; a test compares them with a list.
//! Exported functions never call exported functions: a program may define
//! some of them itself.

#![no_std]

mod c;
mod cxx;
mod extensions;
#[cfg(bifold_faults)]
mod faults;
mod heaps;
#[cfg(bifold_pages)]
mod pages;
mod report;

use bifold::internals as inner;

/// bifold does not panic; a panic is a defect, and ends the process.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let (file, line) = info
        .location()
        .map_or(("?", 0), |at| (at.file(), at.line()));
    let mut text = inner::Text::<160>::new();
    text.text("internal error, please report, in line of ");
    text.text(file);
    inner::die(
        core::str::from_utf8(text.bytes()).unwrap_or("internal error"),
        line as usize,
    )
}

/// The personality that debug builds refer to; `panic = "abort"` never calls
/// it.
#[cfg(all(debug_assertions, not(target_arch = "aarch64")))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

// On aarch64 the functions that the compiler calls for atomic steps refer to it in
// every build. Weak: a Rust program that links `libbifold.a` has its own.
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".weak rust_eh_personality",
    ".type rust_eh_personality, %function",
    "rust_eh_personality:",
    "brk #1",
    ".size rust_eh_personality, 4",
);

/// Runs before `main`, or when the library is loaded: a program that does not
/// allocate is told what is wrong with its options, too.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    inner::start(None);
}

/// The library's version, as a C string; of a hardened build with `+hardened`
/// behind it.
#[unsafe(no_mangle)]
pub extern "C" fn bifold_version() -> *const core::ffi::c_char {
    if cfg!(feature = "hardened") {
        concat!(env!("CARGO_PKG_VERSION"), "+hardened\0")
    } else {
        concat!(env!("CARGO_PKG_VERSION"), "\0")
    }
    .as_ptr()
    .cast()
}
