/*
 * bifold.h: what libbifold.so has beside malloc(3) and its relatives: explicit
 * heaps, locked ones among them. C99 and C++98.
 *
 * Link with -lbifold; malloc, free and the C++ operators are bifold's, too,
 * then.
 */
#ifndef BIFOLD_H
#define BIFOLD_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A heap of its own: its blocks share no page with those of others, and go
 * all at once when it is destroyed. Any thread may allocate from it, under its
 * lock, and any thread may free its blocks.
 */
typedef struct bifold_heap bifold_heap;

/* What a heap is like: 0, or one of these. */
enum bifold_heap_flags {
    /*
     * For keys and passwords. Its memory
     *  - is locked (mlock(2)) before a block in it is handed out, so that it is
     *    never written to swap space,
     *  - is kept out of core dumps (MADV_DONTDUMP),
     *  - reads as zeros in a forked child (MADV_WIPEONFORK). Blocks from before
     *    the fork are not locked in the child, which may free them; what it
     *    allocates from the heap itself is locked,
     *  - has an inaccessible page before and behind each slab of blocks, and
     *    each block above 64 KiB.
     * Blocks are overwritten with zeros when they are freed, shortened or
     * moved, and when the heap is destroyed. A block never leaves the heap,
     * realloc() or not.
     *
     * What cannot be locked is not handed out: the request fails with ENOMEM,
     * and the first time the process says why on standard error, for example
     *     bifold: locked heap: RLIMIT_MEMLOCK of 65536 bytes is used up
     */
    BIFOLD_HEAP_LOCKED = 1,
    /*
     * The same, but pages get memory when they are first touched, and stay in
     * memory from then on (mlock2(2), MLOCK_ONFAULT). RLIMIT_MEMLOCK pays for
     * all of a block, touched or not.
     */
    BIFOLD_HEAP_LOCKED_ON_FAULT = 2
};

/*
 * Makes an empty heap. NULL with EINVAL: flags that are unknown, or both ways
 * of locking at once; with ENOMEM: no memory.
 */
bifold_heap *bifold_heap_create(unsigned flags);

/*
 * Frees all blocks of a heap, and the heap. Nobody may be using it, or one of
 * its blocks. NULL is no heap to destroy.
 */
void bifold_heap_destroy(bifold_heap *heap);

/*
 * Allocate from a heap, as malloc(3), calloc(3) and aligned_alloc(3) do: blocks
 * are aligned to 16 bytes or to `alignment`, a power of two, and a request of 0
 * bytes gets a block of its own. NULL with ENOMEM: no memory, or `count` times
 * `size` overflows; with EINVAL: the alignment is no power of two.
 */
void *bifold_heap_malloc(bifold_heap *heap, size_t size);
void *bifold_heap_calloc(bifold_heap *heap, size_t count, size_t size);
void *bifold_heap_aligned_alloc(bifold_heap *heap, size_t alignment,
                                size_t size);

/*
 * Changes the length of a block of the heap to `size` bytes, as realloc(3)
 * does; NULL as block is a request, and 0 bytes free the block and return NULL.
 * NULL with ENOMEM: no memory, and the block is as it was.
 */
void *bifold_heap_realloc(bifold_heap *heap, void *block, size_t size);

/*
 * Frees a block, as free(3) does, which is as good: errno stays, NULL is
 * nothing to free, and what is no block ends the process with a line on
 * standard error.
 */
void bifold_heap_free(bifold_heap *heap, void *block);

/*
 * Gives everything that is wholly free back to the kernel, from every thread's
 * heap. Returns how many bytes that were.
 */
size_t bifold_trim(void);

/* The version, for example "0.1.0". */
const char *bifold_version(void);

#ifdef __cplusplus
}
#endif

#endif
