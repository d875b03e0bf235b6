// Explicit heaps of bifold.h: every function, its results and its errors.

#include "heaps.h"
#include <malloc.h>

static const unsigned kinds[] = {0, BIFOLD_HEAP_LOCKED,
                                 BIFOLD_HEAP_LOCKED_ON_FAULT};

static void creation_knows_its_flags(void) {
    for (size_t i = 0; i < COUNT(kinds); i++)
        API(bifold_heap_destroy)(make_heap(kinds[i]));
    for (unsigned flags = 3; flags; flags += flags < 300 ? 1 : flags) {
        errno = 0;
        CHECK(!API(bifold_heap_create)(flags) && errno == EINVAL);
    }
    errno = 5;
    API(bifold_heap_destroy)(NULL);
    API(bifold_heap_destroy)(make_heap(0));
    CHECK(errno == 5);
}

static void every_function_serves(void) {
    for (size_t i = 0; i < COUNT(kinds); i++) {
        bifold_heap *heap = make_locked(kinds[i]);
        errno = 5;
        for (size_t k = 0; k < COUNT(heap_sizes); k++) {
            size_t size = heap_sizes[k];
            char *blocks[5] = {
                API(bifold_heap_malloc)(heap, size),
                API(bifold_heap_calloc)(heap, size, 1),
                API(bifold_heap_calloc)(heap, 1, size),
                API(bifold_heap_aligned_alloc)(heap, 1 << k, size),
                API(bifold_heap_realloc)(heap, NULL, size),
            };
            for (size_t b = 0; b < COUNT(blocks); b++) {
                CHECK(blocks[b] && malloc_usable_size(blocks[b]) >= size);
                CHECK(is_aligned(blocks[b], 16));
                for (size_t other = 0; other < b; other++)
                    CHECK(blocks[b] != blocks[other]);
            }
            CHECK(is_zero(blocks[1], size) && is_zero(blocks[2], size));
            CHECK(is_aligned(blocks[3], (size_t)1 << k));
            for (unsigned b = 0; b < COUNT(blocks); b++)
                fill(blocks[b], size, b);
            for (unsigned b = 0; b < COUNT(blocks); b++) {
                CHECK(is_filled(blocks[b], size, b));
                if (b % 2)
                    free(blocks[b]);
                else
                    API(bifold_heap_free)(heap, blocks[b]);
            }
        }
        API(bifold_heap_free)(heap, NULL);
        API(bifold_heap_destroy)(heap);
        CHECK(errno == 5);
    }
}

static void calloc_is_zero_after_other_uses(void) {
    for (size_t i = 0; i < COUNT(kinds); i++) {
        bifold_heap *heap = make_locked(kinds[i]);
        for (int round = 0; round < 4; round++)
            for (size_t k = 0; k < COUNT(heap_sizes); k++) {
                char *blocks[20];
                for (size_t b = 0; b < COUNT(blocks); b++) {
                    blocks[b] = API(bifold_heap_calloc)(heap, 1, heap_sizes[k]);
                    CHECK(blocks[b]);
                    CHECK(is_zero(blocks[b], heap_sizes[k]));
                    memset(blocks[b], 0xff, malloc_usable_size(blocks[b]));
                    if (heap_sizes[k] > 100000) {
                        free(blocks[b]);
                        blocks[b] = NULL;
                    }
                }
                for (size_t b = 0; b < COUNT(blocks); b++)
                    free(blocks[b]);
            }
        API(bifold_heap_destroy)(heap);
    }
}

static void realloc_keeps_contents(void) {
    for (size_t i = 0; i < COUNT(kinds); i++) {
        bifold_heap *heap = make_locked(kinds[i]);
        for (size_t from = 1; from < COUNT(heap_sizes); from++)
            for (size_t to = 1; to < COUNT(heap_sizes); to++) {
                size_t old = heap_sizes[from], new = heap_sizes[to];
                char *block = API(bifold_heap_malloc)(heap, old);
                CHECK(block);
                fill(block, old, 3);
                block = (from + to) % 2
                            ? realloc(block, new)
                            : API(bifold_heap_realloc)(heap, block, new);
                CHECK_THAT(block && is_filled(block, old < new ? old : new, 3),
                           "%zu to %zu", old, new);
                fill(block, new, 4);
                CHECK(!API(bifold_heap_realloc)(heap, block, 0));
            }
        API(bifold_heap_destroy)(heap);
    }
}

static void requests_that_cannot_be_met(void) {
    for (size_t i = 0; i < COUNT(kinds); i++) {
        bifold_heap *heap = make_locked(kinds[i]);
        char *block = API(bifold_heap_malloc)(heap, 100);
        CHECK(block);
        fill(block, 100, 1);
        // Volatile: the compiler knows what can't be.
        volatile size_t huge[] = {SIZE_MAX, (size_t)1 << 63,
                                  ((size_t)1 << 63) - 1};
        for (size_t k = 0; k < COUNT(huge); k++) {
            errno = 0;
            CHECK(!API(bifold_heap_malloc)(heap, huge[k]) && errno == ENOMEM);
            errno = 0;
            CHECK(!API(bifold_heap_calloc)(heap, huge[k], 1) &&
                  errno == ENOMEM);
            errno = 0;
            CHECK(!API(bifold_heap_calloc)(heap, huge[k], 8) &&
                  errno == ENOMEM);
            errno = 0;
            CHECK(!API(bifold_heap_aligned_alloc)(heap, 4096, huge[k]) &&
                  errno == ENOMEM);
            errno = 0;
            CHECK(!API(bifold_heap_realloc)(heap, block, huge[k]) &&
                  errno == ENOMEM);
        }
        CHECK(is_filled(block, 100, 1));
        size_t bad[] = {0, 3, 24, 4095};
        for (size_t k = 0; k < COUNT(bad); k++) {
            errno = 0;
            CHECK(!API(bifold_heap_aligned_alloc)(heap, bad[k], 100) &&
                  errno == EINVAL);
        }
        API(bifold_heap_destroy)(heap);
    }
}

static void destruction_frees_all(void) {
    bifold_heap *heaps[50];
    size_t before = 0;
    for (int round = 0; round < 30; round++) {
        for (size_t i = 0; i < COUNT(heaps); i++) {
            heaps[i] = make_heap(0);
            for (int k = 0; k < 100; k++) {
                char *block = API(bifold_heap_malloc)(heaps[i], 3000);
                CHECK(block);
                memset(block, 1, 3000);
            }
        }
        for (size_t i = 0; i < COUNT(heaps); i++)
            API(bifold_heap_destroy)(heaps[i]);
        API(bifold_trim)();
        size_t now = status_kib("VmRSS:");
        if (round == 2)
            before = now;
        CHECK_THAT(round <= 2 || now < before + 2 * KIB, "%zu KiB, %zu before",
                   now, before);
    }
}

static void trim_gives_memory_back(void) {
    bifold_heap *heap = make_heap(0);
    void *blocks[1000];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        CHECK((blocks[i] = API(bifold_heap_malloc)(heap, 10000)));
        memset(blocks[i], 1, 10000);
    }
    size_t before = status_kib("VmRSS:");
    for (size_t i = 0; i < COUNT(blocks); i++)
        free(blocks[i]);
    size_t bytes = API(bifold_trim)();
    size_t after = status_kib("VmRSS:");
    CHECK_THAT(bytes > 0 && after + 8 * KIB < before,
               "%zu bytes, %zu to %zu KiB", bytes, before, after);
}

// A heap's inbox, which other threads write to, has its lines for itself. These
// processors fetch two lines of 64 bytes at a time.
static void heaps_begin_at_a_line(void) {
    size_t line = 64;
#if defined(__x86_64__) || defined(__aarch64__)
    line = 128;
#endif
    for (int i = 0; i < 50; i++) {
        bifold_heap *heap = make_heap(0);
        CHECK_THAT((uintptr_t)heap % line == 0, "%p", (void *)heap);
    }
}

MAIN(CASE(creation_knows_its_flags), CASE(every_function_serves),
     CASE(calloc_is_zero_after_other_uses), CASE(realloc_keeps_contents),
     CASE(requests_that_cannot_be_met), CASE(destruction_frees_all),
     CASE(trim_gives_memory_back), CASE(heaps_begin_at_a_line))
