//! Gives an allocator the C library's names.
//!
//! A peer names its five functions in [`Peer`], and [`export!`] makes of them
//! what programs call: C's functions, the aligned and the old ones, and the
//! operators of C++, which would otherwise come from libstdc++ and cost every
//! `new` a second call. What is exported never calls what is exported.

#![no_std]

use core::ffi::{c_int, c_void};
use core::mem::size_of;

/// An address, as C has it.
pub type Address = *mut c_void;

const ENOMEM: c_int = 12;
const EINVAL: c_int = 22;
const PAGE: usize = 4096;

/// An allocator's own functions.
pub trait Peer {
    /// # Safety
    ///
    /// As C's malloc.
    unsafe fn malloc(size: usize) -> Address;

    /// # Safety
    ///
    /// As C's free.
    unsafe fn free(block: Address);

    /// # Safety
    ///
    /// As C's calloc.
    unsafe fn calloc(count: usize, size: usize) -> Address;

    /// # Safety
    ///
    /// As C's realloc.
    unsafe fn realloc(block: Address, size: usize) -> Address;

    /// # Safety
    ///
    /// The alignment is a power of two.
    unsafe fn aligned(alignment: usize, size: usize) -> Address;

    /// # Safety
    ///
    /// The block is a live one.
    unsafe fn usable_size(block: Address) -> usize;
}

/// C's `posix_memalign`.
///
/// # Safety
///
/// `out` can be written to.
pub unsafe fn posix_memalign<P: Peer>(out: *mut Address, alignment: usize, size: usize) -> c_int {
    if !alignment.is_power_of_two() || alignment < size_of::<usize>() {
        return EINVAL;
    }
    // SAFETY: the alignment is a power of two.
    let block = unsafe { P::aligned(alignment, size) };
    if block.is_null() {
        return ENOMEM;
    }
    // SAFETY: the caller's word.
    unsafe { *out = block };
    0
}

/// C's `memalign`, which rounds the alignment up to a power of two.
///
/// # Safety
///
/// None is asked for; the block is the caller's.
pub unsafe fn memalign<P: Peer>(alignment: usize, size: usize) -> Address {
    match alignment.checked_next_power_of_two() {
        // SAFETY: the alignment is a power of two.
        Some(alignment) => unsafe { P::aligned(alignment, size) },
        None => core::ptr::null_mut(),
    }
}

/// C's `valloc`: a block that starts with a page.
///
/// # Safety
///
/// None is asked for; the block is the caller's.
pub unsafe fn valloc<P: Peer>(size: usize) -> Address {
    // SAFETY: a page's size is a power of two.
    unsafe { P::aligned(PAGE, size) }
}

/// C's `pvalloc`: whole pages.
///
/// # Safety
///
/// None is asked for; the block is the caller's.
pub unsafe fn pvalloc<P: Peer>(size: usize) -> Address {
    match size.checked_next_multiple_of(PAGE) {
        // SAFETY: a page's size is a power of two.
        Some(size) => unsafe { P::aligned(PAGE, size.max(PAGE)) },
        None => core::ptr::null_mut(),
    }
}

/// C's `reallocarray`.
///
/// # Safety
///
/// As C's realloc.
pub unsafe fn reallocarray<P: Peer>(block: Address, count: usize, size: usize) -> Address {
    match count.checked_mul(size) {
        // SAFETY: the caller's word.
        Some(size) => unsafe { P::realloc(block, size) },
        None => core::ptr::null_mut(),
    }
}

/// Ends the process with SIGILL, where C++ would throw.
#[cold]
pub fn out_of_memory() -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction has no operands, and nothing comes after it.
    unsafe {
        core::arch::asm!("ud2", options(noreturn, nostack))
    }
    #[cfg(not(target_arch = "x86_64"))]
    loop {
        core::hint::spin_loop();
    }
}

/// Exports the C library's functions and the operators of C++ for a [`Peer`].
#[macro_export]
macro_rules! export {
    ($peer:ty) => {
        $crate::export! {
            $peer;
            malloc(size: usize) -> $crate::Address { <$peer>::malloc(size) }
            free(block: $crate::Address) -> () { <$peer>::free(block) }
            cfree(block: $crate::Address) -> () { <$peer>::free(block) }
            calloc(count: usize, size: usize) -> $crate::Address { <$peer>::calloc(count, size) }
            realloc(block: $crate::Address, size: usize) -> $crate::Address {
                <$peer>::realloc(block, size)
            }
            reallocarray(block: $crate::Address, count: usize, size: usize) -> $crate::Address {
                $crate::reallocarray::<$peer>(block, count, size)
            }
            posix_memalign(out: *mut $crate::Address, alignment: usize, size: usize)
                -> core::ffi::c_int
            {
                $crate::posix_memalign::<$peer>(out, alignment, size)
            }
            memalign(alignment: usize, size: usize) -> $crate::Address {
                $crate::memalign::<$peer>(alignment, size)
            }
            aligned_alloc(alignment: usize, size: usize) -> $crate::Address {
                $crate::memalign::<$peer>(alignment, size)
            }
            valloc(size: usize) -> $crate::Address { $crate::valloc::<$peer>(size) }
            pvalloc(size: usize) -> $crate::Address { $crate::pvalloc::<$peer>(size) }
            malloc_usable_size(block: $crate::Address) -> usize {
                if block.is_null() { 0 } else { <$peer>::usable_size(block) }
            }
            // operator new, new[]; nothrow; aligned; both
            _Znwm(size: usize) -> $crate::Address { or_die(<$peer>::malloc(size)) }
            _Znam(size: usize) -> $crate::Address { or_die(<$peer>::malloc(size)) }
            _ZnwmRKSt9nothrow_t(size: usize, _tag: $crate::Address) -> $crate::Address {
                <$peer>::malloc(size)
            }
            _ZnamRKSt9nothrow_t(size: usize, _tag: $crate::Address) -> $crate::Address {
                <$peer>::malloc(size)
            }
            _ZnwmSt11align_val_t(size: usize, alignment: usize) -> $crate::Address {
                or_die(<$peer>::aligned(alignment, size))
            }
            _ZnamSt11align_val_t(size: usize, alignment: usize) -> $crate::Address {
                or_die(<$peer>::aligned(alignment, size))
            }
            _ZnwmSt11align_val_tRKSt9nothrow_t(
                size: usize, alignment: usize, _tag: $crate::Address
            ) -> $crate::Address {
                <$peer>::aligned(alignment, size)
            }
            _ZnamSt11align_val_tRKSt9nothrow_t(
                size: usize, alignment: usize, _tag: $crate::Address
            ) -> $crate::Address {
                <$peer>::aligned(alignment, size)
            }
            // operator delete, delete[]; sized; nothrow; aligned
            _ZdlPv(block: $crate::Address) -> () { <$peer>::free(block) }
            _ZdaPv(block: $crate::Address) -> () { <$peer>::free(block) }
            _ZdlPvm(block: $crate::Address, _size: usize) -> () { <$peer>::free(block) }
            _ZdaPvm(block: $crate::Address, _size: usize) -> () { <$peer>::free(block) }
            _ZdlPvRKSt9nothrow_t(block: $crate::Address, _tag: $crate::Address) -> () {
                <$peer>::free(block)
            }
            _ZdaPvRKSt9nothrow_t(block: $crate::Address, _tag: $crate::Address) -> () {
                <$peer>::free(block)
            }
            _ZdlPvSt11align_val_t(block: $crate::Address, _alignment: usize) -> () {
                <$peer>::free(block)
            }
            _ZdaPvSt11align_val_t(block: $crate::Address, _alignment: usize) -> () {
                <$peer>::free(block)
            }
            _ZdlPvmSt11align_val_t(block: $crate::Address, _size: usize, _alignment: usize) -> () {
                <$peer>::free(block)
            }
            _ZdaPvmSt11align_val_t(block: $crate::Address, _size: usize, _alignment: usize) -> () {
                <$peer>::free(block)
            }
        }

        #[inline(always)]
        fn or_die(block: $crate::Address) -> $crate::Address {
            if block.is_null() {
                $crate::out_of_memory();
            }
            block
        }
    };
    ($peer:ty; $($name:ident($($argument:ident: $kind:ty),*) -> $result:ty $body:block)*) => {
        $(
            /// # Safety
            ///
            /// As the C library's.
            #[allow(non_snake_case)]
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $kind),*) -> $result {
                #[allow(unused_imports)]
                use $crate::Peer as _;
                // SAFETY: what C asks of the caller is what the peer asks.
                unsafe { $body }
            }
        )*
    };
}

/// What a library without the standard library must define.
#[macro_export]
macro_rules! abort_on_panic {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            $crate::out_of_memory()
        }
    };
}
