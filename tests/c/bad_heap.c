// Misuse of a locked heap's blocks. Arguments: the size.

#include "heaps.h"
#include <pthread.h>

static bifold_heap *heap;
static size_t size;

static char *block_of_size(void) {
    if (!heap) {
        heap = make_locked(BIFOLD_HEAP_LOCKED);
        size = strtoull(more[0], NULL, 10);
        // Others keep the slab.
        CHECK(API(bifold_heap_malloc)(heap, size));
    }
    char *block = API(bifold_heap_malloc)(heap, size);
    CHECK(block);
    return block;
}

static void tell(void *address) {
    say("0x%zx\n", (size_t)address);
}

static void twice_at_once(void) {
    char *block = block_of_size();
    free(block);
    tell(block);
    API(bifold_heap_free)(heap, block);
}

static void twice_among_others(void) {
    char *blocks[7];
    for (int i = 0; i < 7; i++)
        blocks[i] = block_of_size();
    for (int i = 0; i < 7; i++)
        free(blocks[i]);
    tell(blocks[3]);
    free(blocks[3]);
}

static void *free_in_thread(void *block) {
    free(block);
    return NULL;
}

static void twice_in_two_threads(void) {
    char *block = block_of_size();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_in_thread, block) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    tell(block);
    free(block);
}

static void realloc_of_freed(void) {
    char *block = block_of_size();
    free(block);
    tell(block);
    CHECK(!API(bifold_heap_realloc)(heap, block, 2 * size));
}

static void free_of_the_middle(void) {
    char *block = block_of_size();
    tell(block + 16);
    free(block + 16);
}

static void realloc_of_the_middle(void) {
    char *block = block_of_size();
    tell(block + 16);
    CHECK(!realloc(block + 16, size));
}

static void free_of_a_guard(void) {
    char *block = block_of_size();
    while (mapping_of(block).is_readable)
        block = (char *)mapping_of(block).end;
    tell(block);
    free(block);
}

static void after_the_heap(void) {
    char *block = block_of_size();
    API(bifold_heap_destroy)(heap);
    tell(block);
    free(block);
}

MAIN(CASE(twice_at_once), CASE(twice_among_others), CASE(twice_in_two_threads),
     CASE(realloc_of_freed), CASE(free_of_the_middle),
     CASE(realloc_of_the_middle), CASE(free_of_a_guard), CASE(after_the_heap))
