// malloc, calloc, free and what refuses to allocate.

#include "check.h"
#include <malloc.h>
#include <sys/mman.h>

// At least one size for each way in which a request can be served.
static const size_t sizes[] = {
    1,      8,         16,        17,          100,      512,
    1000,   1024,      1025,      2000,        4096,     5000,
    10000,  20000,     32 * KIB,  33000,       50000,    65536,
    100000, 127 * KIB, 128 * KIB, 129 * KIB,   200000,   256 * KIB,
    300000, 1 * MIB,   3 * MIB,   5 * MIB + 1, 32 * MIB,
};

static void alignment_of_every_size_to_5000(void) {
    for (size_t size = 0; size <= 5000; size++) {
        void *blocks[3] = {malloc(size), calloc(1, size), realloc(NULL, size)};
        for (size_t i = 0; i < COUNT(blocks); i++) {
            CHECK_THAT(blocks[i], "size %zu", size);
            CHECK_THAT(is_aligned(blocks[i], 16), "size %zu: %p", size,
                       blocks[i]);
            CHECK(malloc_usable_size(blocks[i]) >= size);
            fill(blocks[i], size, (unsigned)i);
        }
        for (size_t i = 0; i < COUNT(blocks); i++) {
            CHECK_THAT(is_filled(blocks[i], size, (unsigned)i), "size %zu",
                       size);
            free(blocks[i]);
        }
    }
}

static void alignment_of_random_sizes(void) {
    uint64_t state = 1;
    void *blocks[64] = {0};
    size_t lengths[64] = {0};
    for (unsigned i = 0; i < 20000; i++) {
        unsigned slot = i % 64;
        if (blocks[slot])
            CHECK(is_filled(blocks[slot], lengths[slot], slot));
        free(blocks[slot]);
        size_t bits = 6 + next_random(&state) % 16;
        size_t size = next_random(&state) % ((size_t)1 << bits);
        blocks[slot] = malloc(size);
        CHECK(blocks[slot]);
        CHECK_THAT(is_aligned(blocks[slot], 16), "size %zu: %p", size,
                   blocks[slot]);
        // The ends of a big block tell as much as its middle.
        lengths[slot] = size < 4096 ? size : 4096;
        fill(blocks[slot], lengths[slot], slot);
        if (size)
            ((volatile char *)blocks[slot])[size - 1] = 0;
        if (size && size <= lengths[slot])
            ((volatile char *)blocks[slot])[size - 1] =
                (char)filler(slot, size - 1);
    }
    for (unsigned slot = 0; slot < 64; slot++)
        free(blocks[slot]);
}

static void malloc_of_every_range(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *block = malloc(sizes[i]);
        CHECK(block);
        fill(block, sizes[i], (unsigned)i);
        CHECK(is_filled(block, sizes[i], (unsigned)i));
        free(block);
    }
}

static void malloc_of_nothing_is_unique(void) {
    static void *blocks[5000];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        switch (i % 5) {
        case 0:
            blocks[i] = malloc(0);
            break;
        case 1:
            blocks[i] = calloc(0, 8);
            break;
        case 2:
            blocks[i] = calloc(8, 0);
            break;
        case 3:
            blocks[i] = realloc(NULL, 0);
            break;
        case 4:
            blocks[i] = memalign(64, 0);
            break;
        }
        CHECK(blocks[i]);
    }
    for (size_t i = 0; i < COUNT(blocks); i++)
        for (size_t j = 0; j < i; j++)
            CHECK(blocks[i] != blocks[j]);
    for (size_t i = 0; i < COUNT(blocks); i++)
        free(blocks[i]);
}

static void dirty(size_t size, size_t count) {
    void *blocks[64];
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i]);
        memset(blocks[i], 0xa5, malloc_usable_size(blocks[i]));
        HIDE(blocks[i]);
    }
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
}

static void check_calloc(size_t size) {
    size_t count = size <= 32 * KIB ? 64 : size <= MIB ? 16 : 2;
    for (int round = 0; round < 3; round++) {
        dirty(size, count);
        void *blocks[64];
        for (size_t i = 0; i < count; i++) {
            blocks[i] = i % 2 ? calloc(size, 1) : calloc(1, size);
            CHECK(blocks[i]);
            CHECK_THAT(is_zero(blocks[i], size), "calloc(%zu) is not zero",
                       size);
            memset(blocks[i], 0x5a, size);
        }
        for (size_t i = 0; i < count; i++)
            free(blocks[i]);
    }
}

static void calloc_is_zero_small(void) {
    for (size_t size = 1; size <= 1024; size += size < 130 ? 1 : 61)
        check_calloc(size);
}

static void calloc_is_zero_medium(void) {
    for (size_t size = 1025; size <= 32 * KIB; size += 1511)
        check_calloc(size);
    check_calloc(32 * KIB);
}

static void calloc_is_zero_runs(void) {
    for (size_t size = 32 * KIB + 1; size <= 128 * KIB; size += 9973)
        check_calloc(size);
    check_calloc(128 * KIB);
}

static void calloc_is_zero_large(void) {
    for (size_t size = 128 * KIB + 1; size <= 600 * KIB; size += 76543)
        check_calloc(size);
}

static void calloc_is_zero_huge(void) {
    check_calloc(2 * MIB);
    check_calloc(3 * MIB + 5);
    check_calloc(9 * MIB);
    check_calloc(40 * MIB);
}

// Memory that was dirty in one size class must not show up in another.
static void calloc_is_zero_after_other_sizes(void) {
    uint64_t state = 7;
    for (int round = 0; round < 40; round++) {
        size_t before = sizes[next_random(&state) % (COUNT(sizes) - 1)];
        dirty(before, before <= 32 * KIB ? 64 : 8);
        malloc_trim(0);
        for (size_t i = 0; i + 1 < COUNT(sizes); i++) {
            void *block = calloc(1, sizes[i]);
            CHECK(block);
            CHECK_THAT(is_zero(block, sizes[i]), "%zu after %zu", sizes[i],
                       before);
            memset(block, 0xff, sizes[i]);
            free(block);
        }
    }
}

static void calloc_overflow(void) {
    volatile size_t pairs[][2] = {
        {SIZE_MAX, 2},           {2, SIZE_MAX},
        {SIZE_MAX, SIZE_MAX},    {(size_t)1 << 32, (size_t)1 << 32},
        {SIZE_MAX / 16 + 2, 16}, {(size_t)1 << 63, 2},
        {SIZE_MAX / 3 + 1, 3},   {PTRDIFF_MAX, 2},
        {SIZE_MAX, 1},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        errno = 0;
        void *block = calloc(pairs[i][0], pairs[i][1]);
        CHECK_THAT(!block, "calloc(%zu, %zu)", pairs[i][0], pairs[i][1]);
        CHECK(errno == ENOMEM);
    }
}

static void free_of_null(void) {
    void *volatile null = NULL;
    errno = 4242;
    for (int i = 0; i < 100; i++)
        free(null);
    CHECK(errno == 4242);
}

static void free_keeps_errno(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *blocks[20];
        for (size_t j = 0; j < COUNT(blocks); j++) {
            blocks[j] = malloc(sizes[i]);
            CHECK(blocks[j]);
            *(volatile char *)blocks[j] = 1;
        }
        for (size_t j = 0; j < COUNT(blocks); j++) {
            errno = 1000 + (int)j;
            free(blocks[j]);
            CHECK_THAT(errno == 1000 + (int)j, "size %zu: errno %d", sizes[i],
                       errno);
        }
    }
}

// munmap and madvise fail on memory that is locked or at the limit of
// mappings; free must not let the failure out.
static void free_keeps_errno_when_purging_fails(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *block = malloc(sizes[i]);
        CHECK(block);
        memset(block, 1, sizes[i]);
        uintptr_t page = (uintptr_t)block & ~(uintptr_t)4095;
        uintptr_t end = ((uintptr_t)block + sizes[i]) & ~(uintptr_t)4095;
        int locked = end > page && mlock((void *)page, end - page) == 0;
        errno = 4242;
        free(block);
        CHECK_THAT(errno == 4242, "size %zu (locked: %d): errno %d", sizes[i],
                   locked, errno);
    }
    malloc_trim(0);
}

// A success says nothing about errno, but glibc's leaves it alone, and programs
// have come to rely on it.
static void success_keeps_errno(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        errno = 4242;
        void *block = malloc(sizes[i]);
        CHECK(block && errno == 4242);
        block = realloc(block, sizes[i] * 2);
        CHECK(block && errno == 4242);
        void *zero = calloc(1, sizes[i]);
        CHECK(zero && errno == 4242);
        free(block);
        free(zero);
        CHECK(errno == 4242);
    }
}

static char mark;

static void refuse(size_t size) {
    volatile size_t hidden = size;
    errno = 0;
    CHECK_THAT(!malloc(hidden) && errno == ENOMEM, "malloc(%zu)", size);
    errno = 0;
    CHECK_THAT(!calloc(1, hidden) && errno == ENOMEM, "calloc(1, %zu)", size);
    errno = 0;
    CHECK_THAT(!calloc(hidden, 1) && errno == ENOMEM, "calloc(%zu, 1)", size);
    errno = 0;
    CHECK_THAT(!realloc(NULL, hidden) && errno == ENOMEM, "realloc(NULL, %zu)",
               size);
    errno = 0;
    CHECK_THAT(!reallocarray(NULL, 1, hidden) && errno == ENOMEM,
               "reallocarray(NULL, 1, %zu)", size);
    size_t alignments[] = {16, 64, 4096, MIB};
    for (size_t i = 0; i < COUNT(alignments); i++) {
        size_t alignment = alignments[i];
        errno = 0;
        CHECK_THAT(!memalign(alignment, hidden) && errno == ENOMEM,
                   "memalign(%zu, %zu)", alignment, size);
        errno = 0;
        CHECK_THAT(!aligned_alloc(alignment, hidden) && errno == ENOMEM,
                   "aligned_alloc(%zu, %zu)", alignment, size);
        void *untouched = &mark;
        CHECK_THAT(posix_memalign(&untouched, alignment, hidden) == ENOMEM,
                   "posix_memalign(%zu, %zu)", alignment, size);
        CHECK(untouched == &mark);
    }
    errno = 0;
    CHECK_THAT(!valloc(hidden) && errno == ENOMEM, "valloc(%zu)", size);
    errno = 0;
    CHECK_THAT(!pvalloc(hidden) && errno == ENOMEM, "pvalloc(%zu)", size);
}

static void sizes_above_ptrdiff_max(void) {
    refuse((size_t)PTRDIFF_MAX + 1);
    refuse((size_t)PTRDIFF_MAX + 4096);
    refuse(SIZE_MAX - 2 * MIB);
    refuse(SIZE_MAX - 65536);
    refuse(SIZE_MAX - 4096);
    refuse(SIZE_MAX - 4095);
    refuse(SIZE_MAX - 100);
    refuse(SIZE_MAX - 16);
    refuse(SIZE_MAX - 15);
    refuse(SIZE_MAX);
}

// Not too large for the type, but for the address space.
static void sizes_that_cannot_be_mapped(void) {
    refuse(PTRDIFF_MAX);
    refuse(PTRDIFF_MAX - 16);
    refuse(PTRDIFF_MAX - 4096);
    refuse((size_t)1 << 62);
    refuse((size_t)1 << 56);
}

static void allocation_goes_on_after_a_refusal(void) {
    for (int i = 0; i < 1000; i++) {
        volatile size_t huge = SIZE_MAX / 2 + 1 - (i % 3);
        CHECK(!malloc(huge));
        void *block = malloc(100);
        CHECK(block);
        fill(block, 100, 1);
        CHECK(is_filled(block, 100, 1));
        free(block);
    }
}

// 300,000 blocks of many sizes at once, each with contents of its own.
static void many_live_blocks(void) {
    enum { BLOCKS = 300000 };
    static unsigned char *blocks[BLOCKS];
    uint64_t state = 3;
    for (unsigned i = 0; i < BLOCKS; i++) {
        size_t size = 8 + next_random(&state) % 500;
        blocks[i] = malloc(size);
        CHECK(blocks[i]);
        memcpy(blocks[i], &i, sizeof i);
        blocks[i][size - 1] = (unsigned char)i;
        blocks[i][sizeof i] = (unsigned char)size;
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        CHECK(!memcmp(blocks[i], &i, sizeof i));
    for (unsigned i = 0; i < BLOCKS; i += 2)
        free(blocks[i]);
    for (unsigned i = 1; i < BLOCKS; i += 2) {
        CHECK(!memcmp(blocks[i], &i, sizeof i));
        free(blocks[i]);
    }
}

MAIN(CASE(alignment_of_every_size_to_5000), CASE(alignment_of_random_sizes),
     CASE(malloc_of_every_range), CASE(malloc_of_nothing_is_unique),
     CASE(calloc_is_zero_small), CASE(calloc_is_zero_medium),
     CASE(calloc_is_zero_runs), CASE(calloc_is_zero_large),
     CASE(calloc_is_zero_huge), CASE(calloc_is_zero_after_other_sizes),
     CASE(calloc_overflow), CASE(free_of_null), CASE(free_keeps_errno),
     CASE(free_keeps_errno_when_purging_fails), CASE(success_keeps_errno),
     CASE(sizes_above_ptrdiff_max), CASE(sizes_that_cannot_be_mapped),
     CASE(allocation_goes_on_after_a_refusal), CASE(many_live_blocks))
