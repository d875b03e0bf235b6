// Writes to freed blocks, after which the program allocates no more: nobody but
// a check of the whole heap would find them.

#include <pthread.h>

#include "check.h"

enum { BLOCKS = 64, SIZE = 48 };

static char *blocks[BLOCKS];

// Frees three blocks; the last is the first of its slab's list.
static void free_three(void) {
    for (int i = 0; i < BLOCKS; i++)
        CHECK((blocks[i] = malloc(SIZE)));
    for (int i = 20; i < 23; i++)
        free(blocks[i]);
}

static void write_word(char *block, int word, size_t value) {
    memcpy(block + 8 * word, &value, sizeof value);
}

static void link_of_a_free_block(void) {
    free_three();
    write_word(blocks[21], 0, (size_t)blocks[40] + 16);
}

static void list_in_a_loop(void) {
    free_three();
    write_word(blocks[20], 0, (size_t)blocks[22]);
}

static void mark_of_a_free_block(void) {
    free_three();
    write_word(blocks[21], 1, 0);
}

static void *free_two(void *unused) {
    free(blocks[20]);
    free(blocks[21]);
    return unused;
}

static void link_of_a_block_freed_elsewhere(void) {
    for (int i = 0; i < BLOCKS; i++)
        CHECK((blocks[i] = malloc(SIZE)));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_two, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    write_word(blocks[21], 0, (size_t)blocks[40] + 16);
}

MAIN(CASE(link_of_a_free_block), CASE(list_in_a_loop),
     CASE(mark_of_a_free_block), CASE(link_of_a_block_freed_elsewhere))
