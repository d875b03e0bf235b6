// realloc and reallocarray.

#include "check.h"
#include <malloc.h>

// Several of each range: small, medium, runs, large, and where they meet.
static const size_t sizes[] = {
    1,      15,     16,       17,    40,      44,          100,    128,
    129,    500,    1000,     1024,  1025,    2000,        4096,   5000,
    9000,   20000,  32 * KIB, 32769, 40000,   65536,       100000, 128 * KIB,
    131073, 200000, 300000,   MIB,   3 * MIB, 8 * MIB + 1,
};

static size_t lesser(size_t a, size_t b) {
    return a < b ? a : b;
}

static void of_null_allocates(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *block = realloc(NULL, sizes[i]);
        CHECK(block && is_aligned(block, 16));
        fill(block, sizes[i], 1);
        CHECK(malloc_usable_size(block) >= sizes[i]);
        free(block);
    }
}

static void to_nothing_frees(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t rounds = sizes[i] > 100000 ? 2000 : 20000;
        // Far more than memory allows, were nothing freed.
        for (size_t j = 0; j < rounds; j++) {
            void *block = malloc(sizes[i]);
            CHECK(block);
            *(volatile char *)block = 1;
            CHECK_THAT(!realloc(block, 0), "size %zu", sizes[i]);
        }
    }
    CHECK(status_kib("VmRSS:") < 64 * KIB);
    CHECK(status_kib("VmSize:") < 2 * MIB);
}

static void check_pair(size_t from, size_t to) {
    void *block = malloc(from);
    CHECK(block);
    fill(block, from, 5);
    void *moved = realloc(block, to);
    CHECK(moved && is_aligned(moved, 16));
    CHECK_THAT(is_filled(moved, lesser(from, to), 5), "from %zu to %zu", from,
               to);
    CHECK(malloc_usable_size(moved) >= to);
    fill(moved, to, 6);
    moved = realloc(moved, from);
    CHECK(moved);
    CHECK_THAT(is_filled(moved, lesser(from, to), 6), "from %zu back to %zu",
               to, from);
    free(moved);
}

static void keeps_contents_between_all_ranges(void) {
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t j = 0; j < COUNT(sizes); j++)
            check_pair(sizes[i], sizes[j]);
}

// The same with live neighbours, which must not be touched.
static void leaves_neighbours_alone(void) {
    enum { BLOCKS = 60 };
    for (size_t i = 0; i + 2 < COUNT(sizes); i++) {
        for (size_t j = 0; j + 2 < COUNT(sizes); j += 3) {
            void *blocks[BLOCKS];
            for (unsigned k = 0; k < BLOCKS; k++) {
                blocks[k] = malloc(sizes[i]);
                CHECK(blocks[k]);
                fill(blocks[k], lesser(sizes[i], 5000), k);
            }
            for (unsigned k = 1; k < BLOCKS; k += 7) {
                blocks[k] = realloc(blocks[k], sizes[j]);
                CHECK(blocks[k]);
                CHECK(is_filled(blocks[k],
                                lesser(lesser(sizes[i], sizes[j]), 5000), k));
                memset(blocks[k], 0xee, sizes[j]);
            }
            for (unsigned k = 0; k < BLOCKS; k++) {
                if (k % 7 != 1)
                    CHECK(is_filled(blocks[k], lesser(sizes[i], 5000), k));
                free(blocks[k]);
            }
        }
    }
}

static void grows_step_by_step(void) {
    const size_t steps[] = {1, 16, 111, 4096};
    for (size_t i = 0; i < COUNT(steps); i++) {
        unsigned char *block = NULL;
        size_t end = steps[i] == 1 ? 5000 : steps[i] * 1500;
        for (size_t size = steps[i]; size <= end; size += steps[i]) {
            block = realloc(block, size);
            CHECK(block);
            for (size_t place = size - steps[i]; place < size; place++)
                block[place] = filler(9, place);
        }
        CHECK(is_filled(block, end, 9));
        free(block);
    }
}

static void shrinks_step_by_step(void) {
    size_t size = 6 * MIB;
    unsigned char *block = malloc(size);
    CHECK(block);
    fill(block, size, 3);
    while (size > 1) {
        size = size * 9 / 10;
        block = realloc(block, size);
        CHECK(block);
        CHECK(is_filled(block, size, 3));
    }
    free(block);
}

// Both directions through mremap, at sizes where it moves and where it stays.
static void of_mappings(void) {
    const size_t large[] = {256 * KIB, MIB,      2 * MIB,
                            7 * MIB,   33 * MIB, 64 * MIB + 4097};
    for (size_t i = 0; i < COUNT(large); i++)
        for (size_t j = 0; j < COUNT(large); j++)
            check_pair(large[i], large[j]);
}

// A block whose second half the kernel has as a mapping of its own. No mremap(2)
// lengthens both at once: it fails with EFAULT.
static char *two_mappings(size_t size, unsigned tag) {
    char *block = malloc(size);
    CHECK(block);
    fill(block, size, tag);
    char *half = block + size / 2;
    half -= (uintptr_t)half % os_page();
    size_t rest = (size_t)(block + size - half) / os_page() * os_page();
    CHECK(madvise(half, rest, MADV_DONTDUMP) == 0);
    return block;
}

static void of_two_mappings(void) {
    for (size_t size = MIB; size <= 8 * MIB; size *= 2) {
        char *block = two_mappings(size, 1);
        char *other = malloc(size);
        CHECK(other);
        fill(other, size, 2);
        block = realloc(block, 2 * size);
        CHECK_THAT(block && is_filled(block, size, 1), "%zu twice", size);
        fill(block, 2 * size, 3);
        CHECK_THAT(is_filled(other, size, 2), "next to %zu", size);
        free(block);
        // Past the middle, before it, and where it is.
        const size_t shorter[] = {size / 4 * 3, size / 2, size / 4};
        for (size_t i = 0; i < COUNT(shorter); i++) {
            block = realloc(two_mappings(size, 4), shorter[i]);
            CHECK_THAT(block && is_filled(block, shorter[i], 4), "%zu to %zu",
                       size, shorter[i]);
            free(block);
        }
        CHECK_THAT(is_filled(other, size, 2), "next to %zu", size);
        free(other);
    }
}

// They are freed, and a longer block is wanted of what is kept of them.
static void after_two_mappings(void) {
    char *held[16];
    for (unsigned i = 0; i < COUNT(held); i++) {
        size_t size = 2 * MIB + i * 8 * KIB;
        // Mappings stay for a moment where several were freed.
        for (unsigned k = 0; k < 4; k++)
            free(two_mappings(size, k));
        held[i] = malloc(3 * MIB);
        CHECK(held[i]);
        fill(held[i], 3 * MIB, i);
        for (unsigned k = 0; k <= i; k++)
            CHECK_THAT(is_filled(held[k], 3 * MIB, k), "block %u of %u", k, i);
    }
    for (unsigned i = 0; i < COUNT(held); i++)
        free(held[i]);
}

static void shrinking_a_mapping_gives_memory_back(void) {
    unsigned char *block = malloc(64 * MIB);
    CHECK(block);
    memset(block, 7, 64 * MIB);
    size_t before = status_kib("VmRSS:");
    block = realloc(block, 256 * KIB);
    CHECK(block && block[256 * KIB - 1] == 7);
    size_t after = status_kib("VmRSS:");
    CHECK_THAT(after + 60 * KIB < before, "%zu KiB before, %zu after", before,
               after);
    free(block);
}

// Growing a block of 1 GiB by copying would take twice its memory.
static void growing_a_mapping_does_not_touch_it(void) {
    need_exact_memory();
    unsigned char *block = malloc(256 * MIB);
    CHECK(block);
    block[0] = 1;
    block[256 * MIB - 1] = 2;
    size_t before = status_kib("VmRSS:");
    for (size_t size = 256 * MIB; size < GIB; size += 64 * MIB) {
        block = realloc(block, size);
        CHECK(block && block[0] == 1 && block[256 * MIB - 1] == 2);
    }
    CHECK(status_kib("VmRSS:") < before + 16 * KIB);
    free(block);
}

static void to_the_same_size_stays(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *block = malloc(sizes[i]);
        CHECK(block);
        fill(block, sizes[i], 2);
        uintptr_t old = (uintptr_t)block;
        block = realloc(block, sizes[i]);
        CHECK_THAT((uintptr_t)block == old, "size %zu", sizes[i]);
        size_t usable = malloc_usable_size(block);
        block = realloc(block, usable);
        // glibc moves a mapping that has become too small for its header.
        if (on_bifold())
            CHECK_THAT((uintptr_t)block == old, "size %zu to the usable %zu",
                       sizes[i], usable);
        CHECK(is_filled(block, sizes[i], 2));
        free(block);
    }
}

static void failure_keeps_the_block(void) {
    volatile size_t impossible[] = {
        (size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 4096, PTRDIFF_MAX,
        (size_t)1 << 60,
    };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *block = malloc(sizes[i]);
        CHECK(block);
        fill(block, sizes[i], 4);
        for (size_t j = 0; j < COUNT(impossible); j++) {
            errno = 0;
            CHECK_THAT(!realloc(block, impossible[j]), "to %zu",
                       impossible[j]);
            CHECK(errno == ENOMEM);
            CHECK_THAT(is_filled(block, sizes[i], 4), "size %zu", sizes[i]);
        }
        // Still a block like any other.
        CHECK(malloc_usable_size(block) >= sizes[i]);
        block = realloc(block, sizes[i] + 1);
        CHECK(block && is_filled(block, sizes[i], 4));
        free(block);
    }
}

static void of_a_block_of_nothing(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *block = realloc(malloc(0), sizes[i]);
        CHECK(block);
        fill(block, sizes[i], 1);
        free(block);
    }
}

// An aligned block may lose its alignment, but never its contents.
static void of_aligned_blocks(void) {
    for (size_t alignment = 32; alignment <= 4 * MIB; alignment *= 2) {
        for (size_t i = 0; i < COUNT(sizes); i += 4) {
            for (size_t j = 0; j < COUNT(sizes); j += 5) {
                void *block = memalign(alignment, sizes[i]);
                CHECK(block && is_aligned(block, alignment));
                fill(block, sizes[i], 8);
                block = realloc(block, sizes[j]);
                CHECK(block && is_aligned(block, 16));
                CHECK_THAT(is_filled(block, lesser(sizes[i], sizes[j]), 8),
                           "alignment %zu from %zu to %zu", alignment,
                           sizes[i], sizes[j]);
                memset(block, 1, sizes[j]);
                free(block);
            }
        }
    }
}

static void many_at_random(void) {
    enum { BLOCKS = 500 };
    static void *blocks[BLOCKS];
    static size_t lengths[BLOCKS];
    uint64_t state = 11;
    for (unsigned i = 0; i < 100000; i++) {
        unsigned slot = (unsigned)(next_random(&state) % BLOCKS);
        size_t bits = 3 + next_random(&state) % 14;
        if (i % 1000 == 0)
            bits = 20;
        size_t size = 1 + next_random(&state) % ((size_t)1 << bits);
        blocks[slot] = realloc(blocks[slot], size);
        CHECK(blocks[slot]);
        CHECK(is_filled(blocks[slot], lesser(lengths[slot], size), slot));
        lengths[slot] = lesser(size, 2000);
        fill(blocks[slot], lengths[slot], slot);
    }
    for (unsigned slot = 0; slot < BLOCKS; slot++)
        free(blocks[slot]);
}

static void array_allocates_and_grows(void) {
    unsigned char *block = reallocarray(NULL, 10, 10);
    CHECK(block);
    fill(block, 100, 1);
    block = reallocarray(block, 1000, 300);
    CHECK(block && is_filled(block, 100, 1));
    fill(block, 300000, 2);
    block = reallocarray(block, 5, 7);
    CHECK(block && is_filled(block, 35, 2));
    free(block);
}

static void array_overflow_keeps_the_block(void) {
    volatile size_t pairs[][2] = {
        {SIZE_MAX, 2},
        {2, SIZE_MAX},
        {(size_t)1 << 32, (size_t)1 << 32},
        {SIZE_MAX / 8 + 2, 8},
        {(size_t)1 << 63, 2},
        {PTRDIFF_MAX, 2},
        {SIZE_MAX, 1},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        void *block = malloc(100);
        CHECK(block);
        fill(block, 100, 3);
        errno = 0;
        CHECK_THAT(!reallocarray(block, pairs[i][0], pairs[i][1]),
                   "%zu times %zu", pairs[i][0], pairs[i][1]);
        CHECK(errno == ENOMEM);
        CHECK(is_filled(block, 100, 3));
        free(block);
        errno = 0;
        CHECK(!reallocarray(NULL, pairs[i][0], pairs[i][1]) &&
              errno == ENOMEM);
    }
}

MAIN(CASE(of_null_allocates), CASE(to_nothing_frees),
     CASE(keeps_contents_between_all_ranges), CASE(leaves_neighbours_alone),
     CASE(grows_step_by_step), CASE(shrinks_step_by_step), CASE(of_mappings),
     CASE(of_two_mappings), CASE(after_two_mappings),
     CASE(shrinking_a_mapping_gives_memory_back),
     CASE(growing_a_mapping_does_not_touch_it), CASE(to_the_same_size_stays),
     CASE(failure_keeps_the_block), CASE(of_a_block_of_nothing),
     CASE(of_aligned_blocks), CASE(many_at_random),
     CASE(array_allocates_and_grows), CASE(array_overflow_keeps_the_block))
