//! The C++ operators new and delete, plain, array, nothrow, sized, aligned,
//! and their combinations, by their mangled names.
//!
//! They are bifold's own and not libstdc++'s through `malloc`: one call less
//! each. What happens without memory is in `operators.cpp`, reached by a jump,
//! so that no frame of ours is on the stack when an exception is thrown.

use core::ffi::c_void;

use crate::inner;

type Allocate = extern "C" fn(usize, usize) -> *mut c_void;
type Die = extern "C" fn(usize);

unsafe extern "C" {
    fn bifold_new_failed(
        size: usize,
        alignment: usize,
        allocate: Allocate,
        die: Die,
    ) -> *mut c_void;
    fn bifold_new_nothrow_failed(size: usize, alignment: usize, allocate: Allocate) -> *mut c_void;
}

extern "C" fn allocate(size: usize, alignment: usize) -> *mut c_void {
    inner::allocate_aligned(size, alignment, inner::Null).cast()
}

extern "C" fn die(size: usize) {
    inner::die(
        "operator new: out of memory, and no C++ runtime to throw",
        size,
    );
}

/// Handlers, then an exception.
#[derive(Clone, Copy)]
struct Throw;

impl inner::Caller for Throw {
    #[inline(always)]
    fn failed(self, size: usize, alignment: usize) -> *mut u8 {
        // SAFETY: the function has no preconditions.
        unsafe { bifold_new_failed(size, alignment, allocate, die) }.cast()
    }
}

/// Handlers, then null.
#[derive(Clone, Copy)]
struct Nothing;

impl inner::Caller for Nothing {
    #[inline(always)]
    fn failed(self, size: usize, alignment: usize) -> *mut u8 {
        // SAFETY: the function has no preconditions.
        unsafe { bifold_new_nothrow_failed(size, alignment, allocate) }.cast()
    }
}

macro_rules! operators_new {
    ($($name:ident ($($more:ident: $type:ty),*) => $failed:ident;)*) => {
        $(
            /// A C++ `operator new`.
            #[unsafe(no_mangle)]
            pub extern "C" fn $name(size: usize $(, $more: $type)*) -> *mut c_void {
                let alignment = Alignment(1)$(.or($more))*.0;
                inner::allocate_aligned(size, alignment, $failed).cast()
            }
        )*
    };
}

/// Which of an operator's further arguments is its alignment.
struct Alignment(usize);

trait Or<T> {
    fn or(self, argument: T) -> Self;
}

impl Or<usize> for Alignment {
    #[inline(always)]
    fn or(self, alignment: usize) -> Self {
        Self(alignment)
    }
}

impl Or<Nothrow> for Alignment {
    #[inline(always)]
    fn or(self, _: Nothrow) -> Self {
        self
    }
}

/// A reference to `std::nothrow`.
type Nothrow = *const c_void;

macro_rules! operators_delete {
    ($($name:ident ($($ignored:ident: $type:ty),*) => $free:ident($($size:ident)?);)*) => {
        $(
            /// A C++ `operator delete`.
            ///
            /// # Safety
            ///
            /// The block is null or came from the matching `operator new`.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(block: *mut c_void $(, $ignored: $type)*) {
                $(let _ = $ignored;)*
                // SAFETY: as the caller promises.
                unsafe { inner::$free(block.cast() $(, $size)?) }
            }
        )*
    };
}

#[allow(non_snake_case)]
mod exported {
    use super::*;

    operators_new! {
        _Znwm() => Throw;
        _Znam() => Throw;
        _ZnwmRKSt9nothrow_t(nothrow: Nothrow) => Nothing;
        _ZnamRKSt9nothrow_t(nothrow: Nothrow) => Nothing;
        _ZnwmSt11align_val_t(alignment: usize) => Throw;
        _ZnamSt11align_val_t(alignment: usize) => Throw;
        _ZnwmSt11align_val_tRKSt9nothrow_t(alignment: usize, nothrow: Nothrow)
            => Nothing;
        _ZnamSt11align_val_tRKSt9nothrow_t(alignment: usize, nothrow: Nothrow)
            => Nothing;
    }

    operators_delete! {
        _ZdlPv() => free();
        _ZdaPv() => free();
        _ZdlPvRKSt9nothrow_t(nothrow: Nothrow) => free();
        _ZdaPvRKSt9nothrow_t(nothrow: Nothrow) => free();
        _ZdlPvm(size: usize) => free_sized(size);
        _ZdaPvm(size: usize) => free_sized(size);
        _ZdlPvSt11align_val_t(alignment: usize) => free();
        _ZdaPvSt11align_val_t(alignment: usize) => free();
        _ZdlPvSt11align_val_tRKSt9nothrow_t(alignment: usize, nothrow: Nothrow) => free();
        _ZdaPvSt11align_val_tRKSt9nothrow_t(alignment: usize, nothrow: Nothrow) => free();
        _ZdlPvmSt11align_val_t(size: usize, alignment: usize) => free_sized(size);
        _ZdaPvmSt11align_val_t(size: usize, alignment: usize) => free_sized(size);
    }
}
