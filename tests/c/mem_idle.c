// A process with 16 MiB of its own takes 400 MB in blocks of 64 bytes to 64 KiB,
// writes to them, frees them all, and goes on with twenty calls of malloc and free
// a second: what is resident five seconds later, in percent of what was at the
// start.

#include "mem.h"

#include <time.h>

enum { BYTES = 400 * 1000 * 1000, CALLS = 100, OWN = 16 << 20 };

struct block {
    struct block *next;
};

static char own[OWN];

// Sizes spread evenly over the powers of two.
static size_t mixed(uint64_t *state) {
    uint64_t random = next_random(state);
    size_t floor = (size_t)64 << (random >> 32) % 10;
    return floor + (random & 0xffff) % floor;
}

int main(void) {
    memset(own, 1, sizeof own);
    free(malloc(1));
    long start = resident();
    uint64_t state = 4711;
    struct block *first = NULL;
    for (size_t sum = 0; sum < BYTES;) {
        size_t size = mixed(&state);
        struct block *block = filled(size);
        block->next = first;
        first = block;
        sum += size;
    }
    long held = resident();
    while (first) {
        struct block *next = first->next;
        free(first);
        first = next;
    }
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    for (int i = 0; i < CALLS; i++) {
        free(filled(1 + next_random(&state) % 1000));
        nanosleep(&pause, NULL);
    }
    long end = resident();
    figure("start_kib", (double)start);
    figure("held_kib", (double)held);
    figure("idle_kib", (double)end);
    figure("of_start_percent", 100.0 * (double)end / (double)start);
    return 0;
}
