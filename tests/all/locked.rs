//! Locked heaps: each promise about their memory, and what happens where the
//! kernel refuses.

mod core_dump;
mod misuse;
mod refused;

use crate::support::cases;

cases! { locked_heap:
    every_page_is_locked_and_hidden
    aligned_blocks_are_locked
    guards_at_both_ends
    freed_blocks_are_zero
    reallocated_blocks_are_wiped
    nothing_is_left_of_a_heap
    a_destroyed_heap_unlocks_all
    freed_slabs_unlock_theirs
    a_child_sees_zeros_and_goes_on
    long_blocks_are_freed_untouched
    forks_while_threads_allocate
    threads_pass_blocks
}
