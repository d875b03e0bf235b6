//! The thread slot: one pointer for each thread, read in two instructions.
//!
//! On stable Rust neither `thread_local!` (which calls `__tls_get_addr` in a
//! shared library) nor `#[thread_local]` gives initial-exec access, so the
//! symbol is defined by `global_asm!` and read by `asm!`. The crate's version
//! is in its name: two versions in one program have a slot each. The slot
//! starts out with a value of the definer's choosing, so that readers need no
//! test for a thread that has not set it yet.
//!
//! Reference: "ELF Handling For Thread-Local Storage", initial exec model.

/// The slot's symbol.
macro_rules! symbol {
    () => {
        concat!(
            "bifold_slot_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH")
        )
    };
}

/// Defines the slot with its initial value, the address of a static; used
/// once, by the module that owns the static.
macro_rules! define {
    ($initial:path) => {
        core::arch::global_asm!(
            concat!(".hidden ", $crate::os::slot::symbol!()),
            concat!(".globl ", $crate::os::slot::symbol!()),
            concat!(".type ", $crate::os::slot::symbol!(), ", @object"),
            ".pushsection .tdata,\"awT\",@progbits",
            ".balign 8",
            concat!($crate::os::slot::symbol!(), ":"),
            ".quad {initial}",
            concat!(".size ", $crate::os::slot::symbol!(), ", 8"),
            ".popsection",
            initial = sym $initial,
        );
    };
}

/// Reads the calling thread's slot.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn get() -> *mut () {
    let value: *mut ();
    // SAFETY: the symbol is an 8-byte thread-local that `define!` made; its
    // offset from the thread pointer is in the GOT, or folded by the linker.
    // Only this thread writes it, through `set`.
    unsafe {
        core::arch::asm!(
            concat!("mov {0}, qword ptr [rip + ", symbol!(), "@GOTTPOFF]"),
            "mov {0}, qword ptr fs:[{0}]",
            out(reg) value,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    value
}

/// Sets the calling thread's slot.
#[cfg(target_arch = "x86_64")]
pub fn set(value: *mut ()) {
    // SAFETY: as in `get`; the store touches nothing but the slot.
    unsafe {
        core::arch::asm!(
            concat!("mov {0}, qword ptr [rip + ", symbol!(), "@GOTTPOFF]"),
            "mov qword ptr fs:[{0}], {1}",
            out(reg) _,
            in(reg) value,
            options(nostack, preserves_flags)
        );
    }
}

/// Reads the calling thread's slot.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub fn get() -> *mut () {
    let value: *mut ();
    // SAFETY: as on x86-64.
    unsafe {
        core::arch::asm!(
            concat!("adrp {0}, :gottprel:", symbol!()),
            concat!("ldr {0}, [{0}, :gottprel_lo12:", symbol!(), "]"),
            "mrs {1}, tpidr_el0",
            "ldr {0}, [{1}, {0}]",
            out(reg) value,
            out(reg) _,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    value
}

/// Sets the calling thread's slot.
#[cfg(target_arch = "aarch64")]
pub fn set(value: *mut ()) {
    // SAFETY: as on x86-64.
    unsafe {
        core::arch::asm!(
            concat!("adrp {0}, :gottprel:", symbol!()),
            concat!("ldr {0}, [{0}, :gottprel_lo12:", symbol!(), "]"),
            "mrs {1}, tpidr_el0",
            "str {2}, [{1}, {0}]",
            out(reg) _,
            out(reg) _,
            in(reg) value,
            options(nostack, preserves_flags)
        );
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("bifold needs x86-64 or aarch64: the thread slot is written in assembly");

pub(crate) use {define, symbol};
