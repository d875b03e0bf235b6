// Blocks of one size, all of them in the ledger, for the programs that free
// some of them twice.

#ifndef BLOCKS_H
#define BLOCKS_H

#include "ledger.h"
#include <pthread.h>

enum { MOST_BLOCKS = 1000000, MOST_BYTES = 256 << 20, TABLE = 200000 };

static size_t size;
static char *blocks[TABLE];
static unsigned count;

HELPER size_t argument(int index) {
    CHECK(index < more_count);
    return strtoull(more[index], NULL, 0);
}

HELPER char *allocate(void) {
    char *block = malloc(size);
    CHECK(block);
    HIDE(block);
    ledger_enter(block, size);
    // As a program does, that has asked for it.
    memset(block, 0xa5, size < 64 ? size : 64);
    return block;
}

HELPER void release(char *block) {
    ledger_strike(block, size);
    free(block);
}

// What the ledger knows nothing of.
HELPER void release_again(char *block) {
    HIDE(block);
    free(block);
}

HELPER void fill_table(unsigned wanted) {
    size = argument(0);
    size_t most = 64 * MIB / (size ? size : 1);
    count = wanted < most ? wanted : (unsigned)(most < 8 ? 8 : most);
    for (unsigned i = 0; i < count; i++)
        blocks[i] = allocate();
}

// A slab that was full may be looked at again only once a part of it is free.
// Leaves alone those with a number that is divisible by four.
HELPER void release_every_fourth(void) {
    for (unsigned i = 1; i < count; i += 4)
        release(blocks[i]);
}

HELPER unsigned middle(void) {
    return count / 2 & ~3u;
}

// Allocates until the double free must have been met.
HELPER void drain(void) {
    size_t bytes = 0;
    for (unsigned i = 0; i < MOST_BLOCKS && bytes < MOST_BYTES;
         i++, bytes += size)
        allocate();
    FAIL("%zu bytes more, and nobody has noticed", bytes);
}

HELPER void *run(void *function) {
    ((void (*)(void))(uintptr_t)function)();
    return NULL;
}

HELPER void in_thread(void (*function)(void)) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, (void *)(uintptr_t)function) ==
          0);
    CHECK(pthread_join(thread, NULL) == 0);
}

#endif
