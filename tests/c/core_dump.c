// Dies and leaves a core dump, with a word in ordinary memory and another in a
// locked heap. The words are put together here, so that they are nowhere else.

#include "heaps.h"

static void put(char *block, const char *start, size_t times) {
    for (size_t i = 0; i < times; i++)
        block = stpcpy(stpcpy(block, start), "-word.");
}

int main(void) {
    bifold_heap *heap = make_locked(BIFOLD_HEAP_LOCKED);
    for (size_t i = 0; i < COUNT(heap_sizes); i++) {
        char *secret = API(bifold_heap_malloc)(heap, heap_sizes[i]);
        char *open = malloc(1000);
        CHECK(secret && open);
        put(secret, "secret", heap_sizes[i] / 16);
        put(open, "plain", 10);
    }
    abort();
}
