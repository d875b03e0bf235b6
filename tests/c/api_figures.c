// malloc_usable_size, and the figures of mallinfo and mallinfo2.

#include "check.h"
#include <malloc.h>
#include <pthread.h>

static void usable_size_of_null(void) {
    void *volatile null = NULL;
    CHECK(malloc_usable_size(null) == 0);
}

// All of it may be written, and belongs to nobody else.
static void usable_size_can_be_written(void) {
    enum { BLOCKS = 40 };
    for (size_t size = 0; size <= 5 * MIB;
         size = size < 300 ? size + 1 : size + size / 3) {
        void *blocks[BLOCKS];
        size_t count = size > 200000 ? 4 : BLOCKS;
        for (unsigned i = 0; i < count; i++) {
            blocks[i] = malloc(size);
            CHECK(blocks[i]);
            size_t usable = malloc_usable_size(blocks[i]);
            CHECK_THAT(usable >= size, "%zu of %zu", usable, size);
            fill(blocks[i], usable, i);
        }
        for (unsigned i = 0; i < count; i++) {
            size_t usable = malloc_usable_size(blocks[i]);
            CHECK_THAT(is_filled(blocks[i], usable, i), "size %zu", size);
            free(blocks[i]);
        }
    }
}

static void usable_size_does_not_change(void) {
    void *blocks[100];
    size_t usable[100];
    for (unsigned i = 0; i < 100; i++) {
        blocks[i] = malloc(1 + i * i * 40);
        usable[i] = malloc_usable_size(blocks[i]);
    }
    for (unsigned i = 0; i < 100; i++) {
        CHECK(malloc_usable_size(blocks[i]) == usable[i]);
        if (i % 2)
            free(blocks[i]);
    }
    for (unsigned i = 0; i < 100; i += 2) {
        CHECK(malloc_usable_size(blocks[i]) == usable[i]);
        free(blocks[i]);
    }
}

static size_t difference(size_t after, size_t before) {
    return after > before ? after - before : 0;
}

// In use by the program, mappings included whether or not they are counted in
// `uordblks` as well.
static void check_grown(struct mallinfo2 before, struct mallinfo2 now,
                        size_t small, size_t mapped, size_t mappings) {
    size_t in_use = difference(now.uordblks, before.uordblks);
    size_t in_mappings = difference(now.hblkhd, before.hblkhd);
    CHECK_THAT(in_use + in_mappings >= small + mapped &&
                   in_use <= 2 * small + 2 * mapped + MIB,
               "uordblks grew by %zu, hblkhd by %zu, for %zu and %zu", in_use,
               in_mappings, small, mapped);
    CHECK_THAT(in_mappings >= mapped &&
                   in_mappings <= mapped + mapped / 10 + mappings * 8192,
               "hblkhd grew by %zu for %zu", in_mappings, mapped);
    CHECK_THAT(now.hblks - before.hblks == mappings,
               "hblks grew by %zu for %zu", now.hblks - before.hblks,
               mappings);
    CHECK(now.arena + now.hblkhd >= small + mapped);
}

static void check_back(struct mallinfo2 before, struct mallinfo2 now) {
    // glibc counts what waits in a thread's cache as in use.
    CHECK_THAT(now.uordblks < before.uordblks + 512 * KIB,
               "uordblks %zu before, %zu after", before.uordblks,
               now.uordblks);
    CHECK(now.hblkhd == before.hblkhd && now.hblks == before.hblks);
}

static void mallinfo2_counts_small_blocks(void) {
    enum { BLOCKS = 100000, SIZE = 100 };
    static void *blocks[BLOCKS];
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(SIZE);
    check_grown(before, mallinfo2(), (size_t)BLOCKS * SIZE, 0, 0);
    for (unsigned i = 0; i < BLOCKS / 2; i++)
        free(blocks[i]);
    struct mallinfo2 half = mallinfo2();
    check_grown(before, half, (size_t)BLOCKS / 2 * SIZE, 0, 0);
    CHECK(difference(half.uordblks, before.uordblks) <
          (size_t)BLOCKS * SIZE * 3 / 4);
    for (unsigned i = BLOCKS / 2; i < BLOCKS; i++)
        free(blocks[i]);
    check_back(before, mallinfo2());
}

static void mallinfo2_counts_every_size(void) {
    const size_t sizes[] = {16, 1000, 5000, 20000, 50000, 100000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        static void *blocks[2000];
        size_t count = 4 * MIB / sizes[i] < 2000 ? 4 * MIB / sizes[i] : 2000;
        struct mallinfo2 before = mallinfo2();
        for (unsigned k = 0; k < count; k++)
            blocks[k] = malloc(sizes[i]);
        check_grown(before, mallinfo2(), count * sizes[i], 0, 0);
        for (unsigned k = 0; k < count; k++)
            free(blocks[k]);
        check_back(before, mallinfo2());
    }
}

static void mallinfo2_counts_mappings(void) {
    enum { BLOCKS = 30, SIZE = 1000000 };
    // The threshold adapts to what is freed, unless it is set.
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    void *blocks[BLOCKS];
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(SIZE);
    check_grown(before, mallinfo2(), 0, (size_t)BLOCKS * SIZE, BLOCKS);
    for (unsigned i = 0; i < BLOCKS; i += 2)
        free(blocks[i]);
    check_grown(before, mallinfo2(), 0, (size_t)BLOCKS / 2 * SIZE, BLOCKS / 2);
    for (unsigned i = 1; i < BLOCKS; i += 2)
        free(blocks[i]);
    check_back(before, mallinfo2());
}

enum { THREADS = 4, EACH = 20000, EACH_SIZE = 200 };

static pthread_barrier_t allocated, counted, freed, counted_again;

static void *hold_blocks(void *argument) {
    void **blocks = argument;
    for (unsigned i = 0; i < EACH; i++)
        blocks[i] = malloc(EACH_SIZE);
    pthread_barrier_wait(&allocated);
    pthread_barrier_wait(&counted);
    for (unsigned i = 0; i < EACH; i++)
        free(blocks[i]);
    pthread_barrier_wait(&freed);
    pthread_barrier_wait(&counted_again);
    return NULL;
}

static void mallinfo2_counts_live_threads(void) {
    static void *blocks[THREADS][EACH];
    pthread_t threads[THREADS];
    pthread_barrier_t *barriers[] = {&allocated, &counted, &freed,
                                     &counted_again};
    for (size_t i = 0; i < COUNT(barriers); i++)
        pthread_barrier_init(barriers[i], NULL, THREADS + 1);
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, hold_blocks, blocks[i]) == 0);
    pthread_barrier_wait(&allocated);
    check_grown(before, mallinfo2(), (size_t)THREADS * EACH * EACH_SIZE, 0, 0);
    pthread_barrier_wait(&counted);
    pthread_barrier_wait(&freed);
    check_back(before, mallinfo2());
    pthread_barrier_wait(&counted_again);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    check_back(before, mallinfo2());
}

static void *leave_blocks(void *argument) {
    void **blocks = argument;
    for (unsigned i = 0; i < EACH; i++)
        blocks[i] = malloc(EACH_SIZE);
    return NULL;
}

static void mallinfo2_counts_dead_threads(void) {
    static void *blocks[THREADS][EACH];
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, leave_blocks, blocks[i]) == 0);
        pthread_join(thread, NULL);
    }
    check_grown(before, mallinfo2(), (size_t)THREADS * EACH * EACH_SIZE, 0, 0);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < EACH; k++)
            free(blocks[i][k]);
    check_back(before, mallinfo2());
}

static void mallinfo_agrees_with_mallinfo2(void) {
    void *blocks[1000];
    for (unsigned i = 0; i < 1000; i++)
        blocks[i] = malloc(i * 3);
    struct mallinfo narrow = mallinfo();
    struct mallinfo2 wide = mallinfo2();
    CHECK(difference((size_t)narrow.uordblks, wide.uordblks) < 64 * KIB);
    CHECK(difference(wide.uordblks, (size_t)narrow.uordblks) < 64 * KIB);
    CHECK((size_t)narrow.hblkhd == wide.hblkhd);
    CHECK(wide.uordblks >= 1000 * 999 / 2 * 3);
    for (unsigned i = 0; i < 1000; i++)
        free(blocks[i]);
}

MAIN(CASE(usable_size_of_null), CASE(usable_size_can_be_written),
     CASE(usable_size_does_not_change), CASE(mallinfo2_counts_small_blocks),
     CASE(mallinfo2_counts_every_size), CASE(mallinfo2_counts_mappings),
     CASE(mallinfo2_counts_live_threads), CASE(mallinfo2_counts_dead_threads),
     CASE(mallinfo_agrees_with_mallinfo2))
