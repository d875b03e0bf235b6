//! Atomic loads as operands, and one bit scan.
//!
//! On x86-64 an instruction can take one operand from memory, but compilers
//! load an atomic into a register first. On the fast paths, where every word
//! that another thread may write is atomic, that is one instruction in five;
//! so these few are written out. Each is a relaxed access to one field of a
//! structure, as the portable form beside it says, which is the one that the
//! model checker sees, and, with `--cfg bifold_tsan`, ThreadSanitizer, which see no
//! assembly.

#[cfg(any(loom, bifold_tsan, not(target_arch = "x86_64")))]
use crate::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The field of type `$type` at an offset in a structure.
#[cfg(any(loom, bifold_tsan, not(target_arch = "x86_64")))]
macro_rules! field {
    ($at:expr, $offset:expr, $type:ty) => {
        // SAFETY: the caller promises a field of this type there.
        unsafe { &*$at.wrapping_byte_add($offset).cast::<$type>() }
    };
}

/// Whether the pointer at `at + OFFSET` is not `value`.
///
/// # Safety
///
/// There is a pointer there.
#[inline(always)]
pub unsafe fn differs<const OFFSET: usize>(at: *const (), value: *const ()) -> bool {
    #[cfg(all(target_arch = "x86_64", not(any(loom, bifold_tsan))))]
    {
        // SAFETY: a load of an aligned word, as the caller promises.
        unsafe {
            core::arch::asm!(
                "cmp qword ptr [{at} + {offset}], {value}",
                "jne {yes}",
                at = in(reg) at,
                value = in(reg) value,
                offset = const OFFSET,
                yes = label { return true },
                options(nostack, readonly)
            );
        }
        false
    }
    #[cfg(any(loom, bifold_tsan, not(target_arch = "x86_64")))]
    {
        field!(at, OFFSET, AtomicPtr<()>).load(Ordering::Relaxed) != value.cast_mut()
    }
}

/// How much `value` is above the word at `at + OFFSET`, modulo 2^64.
///
/// # Safety
///
/// There is such a word there.
#[inline(always)]
pub unsafe fn above<const OFFSET: usize>(at: *const (), value: usize) -> usize {
    #[cfg(all(target_arch = "x86_64", not(any(loom, bifold_tsan))))]
    {
        let difference: usize;
        // SAFETY: a load of an aligned word, as the caller promises.
        unsafe {
            core::arch::asm!(
                "sub {difference}, qword ptr [{at} + {offset}]",
                at = in(reg) at,
                offset = const OFFSET,
                difference = inout(reg) value => difference,
                options(nostack, readonly, pure)
            );
        }
        difference
    }
    #[cfg(any(loom, bifold_tsan, not(target_arch = "x86_64")))]
    {
        let word = field!(at, OFFSET, AtomicUsize).load(Ordering::Relaxed);
        value.wrapping_sub(word)
    }
}

/// Whether `factor` times the word at `at + BY`, modulo 2^64, is above the
/// word at `at + LIMIT`.
///
/// # Safety
///
/// There are two 64-bit words there.
#[inline(always)]
pub unsafe fn product_exceeds<const BY: usize, const LIMIT: usize>(
    at: *const (),
    factor: u64,
) -> bool {
    #[cfg(all(target_arch = "x86_64", not(any(loom, bifold_tsan))))]
    {
        // SAFETY: loads of aligned words, as the caller promises.
        unsafe {
            core::arch::asm!(
                "imul {factor}, qword ptr [{at} + {by}]",
                "cmp {factor}, qword ptr [{at} + {limit}]",
                "ja {yes}",
                at = in(reg) at,
                factor = inout(reg) factor => _,
                by = const BY,
                limit = const LIMIT,
                yes = label { return true },
                options(nostack, readonly)
            );
        }
        false
    }
    #[cfg(any(loom, bifold_tsan, not(target_arch = "x86_64")))]
    {
        let by = field!(at, BY, AtomicU64).load(Ordering::Relaxed);
        let limit = field!(at, LIMIT, AtomicU64).load(Ordering::Relaxed);
        factor.wrapping_mul(by) > limit
    }
}

/// Takes one from the word at `at + OFFSET`; returns whether it is zero now.
/// Not one step for other writers. The store is a release.
///
/// # Safety
///
/// There is a 32-bit word there that only the calling thread writes.
#[inline(always)]
pub unsafe fn count_down<const OFFSET: usize>(at: *const ()) -> bool {
    #[cfg(all(target_arch = "x86_64", not(any(loom, bifold_tsan))))]
    {
        // SAFETY: a load and a store of an aligned word, as the caller
        // promises; every store is a release here.
        unsafe {
            core::arch::asm!(
                "dec dword ptr [{at} + {offset}]",
                "jz {yes}",
                at = in(reg) at,
                offset = const OFFSET,
                yes = label { return true },
                options(nostack)
            );
        }
        false
    }
    #[cfg(any(loom, bifold_tsan, not(target_arch = "x86_64")))]
    {
        let word = field!(at, OFFSET, AtomicU32);
        let less = word.load(Ordering::Relaxed).wrapping_sub(1);
        word.store(less, Ordering::Release);
        less == 0
    }
}

/// The signed 32-bit word at `at + index * 4 - BELOW`, extended.
///
/// # Safety
///
/// There is such a word there.
#[inline(always)]
pub unsafe fn entry<const BELOW: usize>(at: usize, index: usize) -> isize {
    #[cfg(all(target_arch = "x86_64", not(any(loom, bifold_tsan))))]
    {
        let value: isize;
        // SAFETY: a load of an aligned word, as the caller promises.
        unsafe {
            core::arch::asm!(
                "movsxd {value}, dword ptr [{at} + 4 * {index} - {below}]",
                at = in(reg) at,
                index = in(reg) index,
                below = const BELOW,
                value = lateout(reg) value,
                options(nostack, readonly, pure, preserves_flags)
            );
        }
        value
    }
    #[cfg(any(loom, bifold_tsan, not(target_arch = "x86_64")))]
    {
        let word = (at - BELOW + 4 * index) as *const AtomicI32;
        // SAFETY: as the caller promises.
        unsafe { &*word }.load(Ordering::Relaxed) as isize
    }
}

/// The number of the highest bit that is set; the word is not 0.
///
/// What compilers make of the portable form in an index costs three
/// instructions more.
#[inline(always)]
pub fn top_bit(word: u32) -> u32 {
    debug_assert!(word != 0);
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    {
        let bit: u32;
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!(
                "bsr {bit:e}, {word:e}",
                word = in(reg) word,
                bit = lateout(reg) bit,
                options(nostack, nomem, pure)
            );
        }
        bit
    }
    #[cfg(any(loom, not(target_arch = "x86_64")))]
    {
        word.ilog2()
    }
}
