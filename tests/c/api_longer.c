// A class without a slab takes a block of a longer one: what the program sees of it.

#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>

enum { SHORTEST = 140, LONGEST = 60000 };

// About a size of each class.
static size_t shorter(size_t size) {
    return size - size / 11;
}

static size_t longer(size_t size) {
    return size + size / 10;
}

static int by_address(const void *a, const void *b) {
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

// A program that wants one block of each size, written to from end to end.
static void one_block_of_each_size(void) {
    static uintptr_t pages[1024];
    size_t count = 0;
    for (size_t size = LONGEST; size >= SHORTEST; size = shorter(size)) {
        char *block = malloc(size);
        CHECK(block);
        memset(block, 1, size);
        uintptr_t first = (uintptr_t)block / 4096;
        uintptr_t last = ((uintptr_t)block + size - 1) / 4096;
        for (uintptr_t page = first; page <= last; page++) {
            CHECK(count < COUNT(pages));
            pages[count++] = page;
        }
        free(block);
    }
    qsort(pages, count, sizeof *pages, by_address);
    size_t different = 1;
    for (size_t i = 1; i < count; i++)
        different += pages[i] != pages[i - 1];
    // From slabs of their own they are 74 pages.
    CHECK_THAT(different <= 52, "%zu pages", different);
}

static void aligned_blocks(void) {
    for (size_t size = SHORTEST; size <= LONGEST / 2; size = longer(size)) {
        for (size_t alignment = 32; alignment <= 4096; alignment *= 2) {
            size_t rounded = (size + alignment - 1) / alignment * alignment;
            void *other = malloc(longer(rounded));
            free(other);
            void *plain = malloc(rounded);
            void *more[4];
            for (unsigned i = 0; i < COUNT(more); i++) {
                more[i] = aligned_alloc(alignment, rounded);
                CHECK_THAT(is_aligned(more[i], alignment), "%zu at %zu: %p",
                           rounded, alignment, more[i]);
                fill(more[i], rounded, i);
            }
            for (unsigned i = 0; i < COUNT(more); i++) {
                CHECK(is_filled(more[i], rounded, i));
                free(more[i]);
            }
            free(plain);
        }
    }
}

static void zeros(void) {
    for (size_t size = SHORTEST; size <= LONGEST; size = longer(size)) {
        size_t room = longer(longer(size));
        char *other = malloc(room);
        CHECK(other);
        memset(other, 0xff, room);
        free(other);
        char *block = calloc(1, size);
        CHECK(block);
        for (size_t i = 0; i < size; i++)
            CHECK_THAT(!block[i], "byte %zu of %zu", i, size);
        free(block);
    }
}

static void the_same_size_stays(void) {
    for (size_t size = LONGEST; size >= SHORTEST; size -= 13) {
        char *block = malloc(size);
        CHECK(block);
        uintptr_t old = (uintptr_t)block;
        block = realloc(block, size);
        CHECK_THAT((uintptr_t)block == old, "%zu bytes", size);
        CHECK(malloc_usable_size(block) >= size);
        free(block);
    }
}

enum { KEPT = 200 };
static sem_t trimmed, used;

static void *use(void *unused) {
    char *kept[KEPT];
    size_t sizes[KEPT];
    uint64_t state = 1;
    for (int round = 0; round < 50; round++) {
        for (unsigned i = 0; i < KEPT; i++) {
            sizes[i] = SHORTEST + next_random(&state) % 9000;
            kept[i] = malloc(sizes[i]);
            CHECK(kept[i]);
            fill(kept[i], sizes[i], i);
            if (i % 3 == 1) {
                CHECK(is_filled(kept[i - 1], sizes[i - 1], i - 1));
                free(kept[i - 1]);
                kept[i - 1] = NULL;
            }
        }
        for (unsigned i = 0; i < KEPT; i++) {
            CHECK(!kept[i] || is_filled(kept[i], sizes[i], i));
            free(kept[i]);
        }
        sem_post(&used);
        sem_wait(&trimmed);
    }
    return unused;
}

// Trim takes the slabs of a thread that waits, also those that serve two classes.
static void trimmed_by_another_thread(void) {
    sem_init(&trimmed, 0, 0);
    sem_init(&used, 0, 0);
    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, use, NULL));
    for (int round = 0; round < 50; round++) {
        sem_wait(&used);
        malloc_trim(0);
        sem_post(&trimmed);
    }
    pthread_join(thread, NULL);
}

MAIN(CASE(one_block_of_each_size), CASE(aligned_blocks), CASE(zeros),
     CASE(the_same_size_stays), CASE(trimmed_by_another_thread))
