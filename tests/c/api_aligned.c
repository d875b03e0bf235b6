// Blocks with an alignment of their own.

#include "check.h"
#include <malloc.h>

static const size_t sizes[] = {0, 1, 100, 5000, 100000, 300000};

enum { LEAST = 16, MOST = 4 << 20 };

static void *by_aligned_alloc(size_t alignment, size_t size) {
    return aligned_alloc(alignment, size);
}

static void *by_memalign(size_t alignment, size_t size) {
    return memalign(alignment, size);
}

static void *by_posix_memalign(size_t alignment, size_t size) {
    void *block = NULL;
    CHECK(posix_memalign(&block, alignment, size) == 0);
    return block;
}

// Each pair of alignment and size, several blocks at a time, with contents.
static void check_all(void *(*allocate)(size_t alignment, size_t size)) {
    enum { BLOCKS = 4 };
    for (size_t alignment = LEAST; alignment <= MOST; alignment *= 2) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            size_t size = sizes[i];
            void *blocks[BLOCKS];
            for (unsigned k = 0; k < BLOCKS; k++) {
                blocks[k] = allocate(alignment, size);
                CHECK_THAT(blocks[k], "%zu at %zu", size, alignment);
                CHECK_THAT(is_aligned(blocks[k], alignment), "%zu at %zu: %p",
                           size, alignment, blocks[k]);
                CHECK(malloc_usable_size(blocks[k]) >= size);
                fill(blocks[k], size, k);
            }
            for (unsigned k = 0; k < BLOCKS; k++) {
                CHECK_THAT(is_filled(blocks[k], size, k), "%zu at %zu", size,
                           alignment);
                free(blocks[k]);
            }
        }
    }
}

static void aligned_alloc_all(void) {
    check_all(by_aligned_alloc);
}
static void memalign_all(void) {
    check_all(by_memalign);
}
static void posix_memalign_all(void) {
    check_all(by_posix_memalign);
}

static void posix_memalign_of_a_pointer(void) {
    void *block = NULL;
    CHECK(posix_memalign(&block, sizeof(void *), 24) == 0);
    CHECK(block && is_aligned(block, 16));
    free(block);
}

static void posix_memalign_refuses_bad_alignments(void) {
    volatile size_t alignments[] = {0,
                                    1,
                                    2,
                                    3,
                                    4,
                                    7,
                                    9,
                                    12,
                                    24,
                                    48,
                                    4095,
                                    4097,
                                    SIZE_MAX,
                                    SIZE_MAX - 7,
                                    ((size_t)1 << 63) + 8};
    char mark;
    for (size_t i = 0; i < COUNT(alignments); i++) {
        for (size_t j = 0; j < COUNT(sizes); j++) {
            void *untouched = &mark;
            int result = posix_memalign(&untouched, alignments[i], sizes[j]);
            CHECK_THAT(result == EINVAL, "alignment %zu: %d", alignments[i],
                       result);
            CHECK(untouched == &mark);
        }
    }
}

static void posix_memalign_leaves_its_argument_alone(void) {
    volatile size_t impossible[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX,
                                    PTRDIFF_MAX, (size_t)1 << 60};
    char mark;
    for (size_t i = 0; i < COUNT(impossible); i++) {
        for (size_t alignment = 8; alignment <= 4 * MIB; alignment *= 2) {
            void *untouched = &mark;
            CHECK(posix_memalign(&untouched, alignment, impossible[i]) ==
                  ENOMEM);
            CHECK(untouched == &mark);
        }
    }
}

static void posix_memalign_keeps_errno(void) {
    void *block = NULL;
    errno = 4242;
    CHECK(posix_memalign(&block, 64, 1000) == 0);
    CHECK(errno == 4242);
    free(block);
}

// The manual has EINVAL for what is not a power of two; glibc before 2.38
// rounded up instead.
static void aligned_alloc_refuses_bad_alignments(void) {
    volatile size_t alignments[] = {0,   3,    24,
                                    100, 4097, ((size_t)1 << 20) + 1};
    for (size_t i = 0; i < COUNT(alignments); i++) {
        errno = 0;
        void *block = aligned_alloc(alignments[i], 1000);
        if (on_bifold() || !block)
            CHECK_THAT(!block && errno == EINVAL,
                       "alignment %zu: %p, errno %d", alignments[i], block,
                       errno);
        free(block);
    }
}

// memalign has always rounded up, or refused: never a block that is not
// aligned.
static void memalign_of_bad_alignments(void) {
    volatile size_t alignments[] = {3, 24, 100, 4097};
    const size_t rounded[] = {16, 32, 128, 8192};
    for (size_t i = 0; i < COUNT(alignments); i++) {
        errno = 0;
        void *block = memalign(alignments[i], 1000);
        if (block)
            CHECK_THAT(is_aligned(block, rounded[i]), "alignment %zu: %p",
                       alignments[i], block);
        else
            CHECK(errno == EINVAL);
        free(block);
    }
}

static void huge_alignments(void) {
    for (size_t alignment = 8 * MIB; alignment <= GIB; alignment *= 4) {
        void *block = memalign(alignment, 1000);
        CHECK(block && is_aligned(block, alignment));
        fill(block, 1000, 1);
        free(block);
    }
    volatile size_t impossible[] = {(size_t)1 << 62, (size_t)1 << 63};
    for (size_t i = 0; i < COUNT(impossible); i++) {
        errno = 0;
        CHECK(!aligned_alloc(impossible[i], 1) && errno != 0);
        char mark;
        void *untouched = &mark;
        CHECK(posix_memalign(&untouched, impossible[i], 1) == ENOMEM);
        CHECK(untouched == &mark);
    }
}

static void valloc_is_page_aligned(void) {
    size_t page = os_page();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *block = valloc(sizes[i]);
        CHECK(block && is_aligned(block, page));
        CHECK(malloc_usable_size(block) >= sizes[i]);
        fill(block, sizes[i], 1);
        free(block);
    }
}

static void pvalloc_rounds_up_to_pages(void) {
    size_t page = os_page();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *blocks[3];
        size_t rounded = (sizes[i] + page - 1) / page * page;
        for (unsigned k = 0; k < COUNT(blocks); k++) {
            blocks[k] = pvalloc(sizes[i]);
            CHECK(blocks[k] && is_aligned(blocks[k], page));
            CHECK_THAT(malloc_usable_size(blocks[k]) >= rounded, "%zu of %zu",
                       malloc_usable_size(blocks[k]), rounded);
            fill(blocks[k], rounded, k);
        }
        for (unsigned k = 0; k < COUNT(blocks); k++) {
            CHECK(is_filled(blocks[k], rounded, k));
            free(blocks[k]);
        }
    }
}

// A page cache asks for thousands of aligned blocks; were each to cost a
// mapping, the process would run out of them at 65,530.
static void a_hundred_thousand_pages(void) {
    enum { BLOCKS = 100000 };
    static void *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK(posix_memalign(&blocks[i], 4096, 4096) == 0);
        CHECK(is_aligned(blocks[i], 4096));
        memcpy(blocks[i], &i, sizeof i);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK(!memcmp(blocks[i], &i, sizeof i));
        free(blocks[i]);
    }
}

static void mixed_with_malloc_at_random(void) {
    enum { BLOCKS = 300 };
    static void *blocks[BLOCKS];
    static size_t lengths[BLOCKS];
    uint64_t state = 5;
    for (unsigned i = 0; i < 60000; i++) {
        unsigned slot = (unsigned)(next_random(&state) % BLOCKS);
        CHECK(is_filled(blocks[slot], lengths[slot], slot));
        free(blocks[slot]);
        size_t alignment = (size_t)16 << next_random(&state) % 14;
        size_t size =
            next_random(&state) % ((size_t)1 << next_random(&state) % 18);
        blocks[slot] = i % 3 ? memalign(alignment, size) : malloc(size);
        CHECK(blocks[slot] &&
              is_aligned(blocks[slot], i % 3 ? alignment : 16));
        lengths[slot] = size < 1000 ? size : 1000;
        fill(blocks[slot], lengths[slot], slot);
    }
    for (unsigned slot = 0; slot < BLOCKS; slot++)
        free(blocks[slot]);
}

MAIN(CASE(aligned_alloc_all), CASE(memalign_all), CASE(posix_memalign_all),
     CASE(posix_memalign_of_a_pointer),
     CASE(posix_memalign_refuses_bad_alignments),
     CASE(posix_memalign_leaves_its_argument_alone),
     CASE(posix_memalign_keeps_errno),
     CASE(aligned_alloc_refuses_bad_alignments),
     CASE(memalign_of_bad_alignments), CASE(huge_alignments),
     CASE(valloc_is_page_aligned), CASE(pvalloc_rounds_up_to_pages),
     CASE(a_hundred_thousand_pages), CASE(mixed_with_malloc_at_random))
