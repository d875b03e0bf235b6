//! Client requests: what a program tells valgrind when it runs under it.
//!
//! A request is a sequence of instructions that does nothing on a processor, and
//! that valgrind looks for: rotations that come to nothing, with the address of six
//! words in a register, and the default answer in another, where the answer is found
//! afterwards. Reference: valgrind's manual, "The client request mechanism"
//! and "Memory pools"; the numbers are in `valgrind.h` and `memcheck.h`.

use core::arch::asm;

const RUNNING_ON_VALGRIND: usize = 0x1001;
const MALLOCLIKE_BLOCK: usize = 0x1301;
const FREELIKE_BLOCK: usize = 0x1302;
const CREATE_MEMPOOL: usize = 0x1303;
const DESTROY_MEMPOOL: usize = 0x1304;
const MEMPOOL_ALLOC: usize = 0x1305;
const MEMPOOL_FREE: usize = 0x1306;
const CHANGE_ERR_DISABLEMENT: usize = 0x1801;

/// Those of memcheck alone: `MC`, and a number.
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const MAKE_MEM_NOACCESS: usize = MEMCHECK;
const MAKE_MEM_DEFINED: usize = MEMCHECK + 2;

/// Makes a request; returns the answer, 0 where nobody listens.
///
/// Not inlined: the words are on the stack, and a function with such an array can
/// end in no jump.
#[inline(never)]
fn request(number: usize, arguments: [usize; 4]) -> usize {
    let [a, b, c, d] = arguments;
    let words = [number, a, b, c, d, 0];
    let mut answer = 0;
    // SAFETY: on a processor the rotations, by 128 bits altogether, and the
    // exchange of a register with itself leave everything as it is. Valgrind
    // reads the words, and changes no memory of the program's.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") words.as_ptr(),
            inout("rdx") answer,
            options(nostack)
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            in("x4") words.as_ptr(),
            inout("x3") answer,
            options(nostack)
        );
    }
    answer
}

/// Whether the process runs under valgrind, with whatever tool.
pub fn is_running() -> bool {
    request(RUNNING_ON_VALGRIND, [0; 4]) != 0
}

/// A block is the program's: writable, and undefined unless it is `zeroed`.
pub fn block_allocated(address: usize, bytes: usize, zeroed: bool) {
    request(MALLOCLIKE_BLOCK, [address, bytes, 0, zeroed.into()]);
}

/// A block is the program's no more. An error where it was not.
pub fn block_freed(address: usize) {
    request(FREELIKE_BLOCK, [address, 0, 0, 0]);
}

/// There is a pool of blocks, known by an address.
pub fn pool_made(pool: usize) {
    request(CREATE_MEMPOOL, [pool, 0, 0, 0]);
}

/// The pool is gone, with all its blocks.
pub fn pool_gone(pool: usize) {
    request(DESTROY_MEMPOOL, [pool, 0, 0, 0]);
}

/// [`block_allocated`], of a pool.
pub fn pool_block_allocated(pool: usize, address: usize, bytes: usize, zeroed: bool) {
    request(MEMPOOL_ALLOC, [pool, address, bytes, 0]);
    if zeroed {
        request(MAKE_MEM_DEFINED, [address, bytes, 0, 0]);
    }
}

/// [`block_freed`], of a pool.
pub fn pool_block_freed(pool: usize, address: usize) {
    request(MEMPOOL_FREE, [pool, address, 0, 0]);
}

/// Nobody may read or write a range, but who is [`Quiet`]. What is written there
/// does not count as a pointer to a block.
pub fn forbid(address: usize, bytes: usize) {
    request(MAKE_MEM_NOACCESS, [address, bytes, 0, 0]);
}

/// While there is one, nothing that the calling thread does is an error.
pub struct Quiet(());

impl Quiet {
    /// Begins; it may be begun again before it ends.
    pub fn begin() -> Self {
        request(CHANGE_ERR_DISABLEMENT, [1, 0, 0, 0]);
        Self(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        request(CHANGE_ERR_DISABLEMENT, [usize::MAX, 0, 0, 0]);
    }
}
