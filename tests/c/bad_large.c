// Second frees of blocks that are mappings of their own: `bad_large KIND SIZE`.
//
// Whatever is allocated is so before the first free, so that the address can't
// have come to a new block by the time of the second.

#include "check.h"
#include <malloc.h>
#include <pthread.h>

enum { OTHERS = 1000 };

static char *block;
static char *others[OTHERS];

static size_t argument(int index) {
    CHECK(index < more_count);
    return strtoull(more[index], NULL, 0);
}

static void allocate(void) {
    // Each free would raise the threshold above the sizes here.
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    block = malloc(argument(0));
    CHECK(block);
    memset(block, 1, 5000);
}

static void again(char *pointer) {
    HIDE(pointer);
    say("%p\n", (void *)pointer);
    free(pointer);
    FAIL("came back from the second free");
}

static void at_once(void) {
    allocate();
    free(block);
    again(block);
}

static void after_others(size_t first_size, size_t step) {
    allocate();
    for (unsigned i = 0; i < OTHERS; i++) {
        others[i] = malloc(first_size + i * step);
        CHECK(others[i]);
    }
    free(block);
    for (unsigned i = 0; i < OTHERS; i++)
        free(others[i]);
    again(block);
}

static void after_small_frees(void) {
    after_others(1, 13);
}
static void after_large_frees(void) {
    after_others(argument(0) + MIB, 4096);
}

static void after_a_few_large_frees(void) {
    allocate();
    for (unsigned i = 0; i < 4; i++)
        others[i] = malloc(argument(0) + MIB);
    free(block);
    for (unsigned i = 0; i < 4; i++)
        free(others[i]);
    again(block);
}

static void after_trim(void) {
    allocate();
    free(block);
    malloc_trim(0);
    again(block);
}

static void *free_it(void *unused) {
    HIDE(block);
    free(block);
    return unused;
}

static void first_in_a_thread(void) {
    allocate();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_it, NULL) == 0);
    pthread_join(thread, NULL);
    again(block);
}

static void *free_it_again(void *unused) {
    again(block);
    return unused;
}

static void second_in_a_thread(void) {
    allocate();
    pthread_t thread;
    free(block);
    CHECK(pthread_create(&thread, NULL, free_it_again, NULL) == 0);
    pthread_join(thread, NULL);
}

static void after_a_move(void) {
    allocate();
    // Something has to be in the way.
    for (unsigned i = 0; i < 20; i++)
        others[i] = malloc(argument(0));
    char *moved = realloc(block, argument(0) * 8);
    CHECK(moved);
    HIDE(moved);
    if (moved == block)
        SKIP("realloc does not move");
    again(block);
}

static void after_shrinking_to_small(void) {
    allocate();
    char *moved = realloc(block, 100);
    CHECK(moved);
    HIDE(moved);
    if (moved == block)
        SKIP("realloc does not move");
    again(block);
}

static void after_realloc_to_nothing(void) {
    allocate();
    CHECK(!realloc(block, 0));
    again(block);
}

static void realloc_of_freed(void) {
    allocate();
    free(block);
    HIDE(block);
    say("%p\n", (void *)block);
    block = realloc(block, argument(0) * 2);
    FAIL("came back from realloc");
}

static void realloc_of_freed_to_less(void) {
    allocate();
    free(block);
    HIDE(block);
    say("%p\n", (void *)block);
    block = realloc(block, 1000);
    FAIL("came back from realloc");
}

static void inside_a_freed_one(void) {
    allocate();
    free(block);
    again(block + 4096);
}

// May be answered, with nothing, or be fatal.
static void usable_size_of_freed(void) {
    allocate();
    free(block);
    HIDE(block);
    CHECK(malloc_usable_size(block) == 0);
}

MAIN(CASE(at_once), CASE(after_small_frees), CASE(after_large_frees),
     CASE(after_a_few_large_frees), CASE(after_trim), CASE(first_in_a_thread),
     CASE(second_in_a_thread), CASE(after_a_move),
     CASE(after_shrinking_to_small), CASE(after_realloc_to_nothing),
     CASE(realloc_of_freed), CASE(realloc_of_freed_to_less),
     CASE(inside_a_freed_one), CASE(usable_size_of_freed))
