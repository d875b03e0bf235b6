// A shared library that allocates as it is loaded, and frees as it goes.

#include "check.h"

static void *blocks[50];
static __thread char local[5000];

__attribute__((constructor)) static void load(void) {
    for (size_t i = 0; i < COUNT(blocks); i++)
        blocks[i] = malloc(i * i * 10);
}

__attribute__((destructor)) static void unload(void) {
    for (size_t i = 0; i < COUNT(blocks); i++)
        free(blocks[i]);
}

void *make(unsigned tag) {
    local[tag % sizeof local] = 1;
    void *block = realloc(malloc(100), 300);
    fill(block, 300, tag);
    return block;
}
