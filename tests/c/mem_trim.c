// Four threads allocate 40 MB each over many size classes. All of it is freed,
// half by the thread itself and half by the main thread, and while the four
// live and idle, the main thread calls malloc_trim(0): the share of what had
// been allocated that is no longer resident.

#include "mem.h"

#include <malloc.h>

enum { THREADS = 4, BYTES = 40 * 1000 * 1000, MOST = 200000 };

struct worker {
    size_t count;
    void *block[MOST];
};

static struct worker worker[THREADS];
static pthread_barrier_t allocated, freed, done;

// Sizes spread evenly over the powers of two from 16 bytes to 64 KiB.
static size_t mixed(uint64_t *state) {
    uint64_t random = next_random(state);
    size_t floor = (size_t)16 << (random >> 32) % 12;
    return floor + (random & 0xffff) % floor;
}

static void *work(void *own) {
    struct worker *w = own;
    uint64_t state = (uintptr_t)(w - worker) + 1;
    size_t bytes = 0;
    while (bytes < BYTES && w->count < MOST) {
        size_t size = mixed(&state);
        bytes += size;
        w->block[w->count++] = filled(size);
    }
    pthread_barrier_wait(&allocated);
    for (size_t k = 0; k < w->count; k += 2)
        free(w->block[k]);
    pthread_barrier_wait(&freed);
    pthread_barrier_wait(&done);
    return NULL;
}

int main(void) {
    pthread_t thread[THREADS];
    // The test's own tables are resident before the first figure is taken.
    memset(worker, 1, sizeof worker);
    for (int t = 0; t < THREADS; t++)
        worker[t].count = 0;
    pthread_barrier_init(&allocated, NULL, THREADS + 1);
    pthread_barrier_init(&freed, NULL, THREADS + 1);
    pthread_barrier_init(&done, NULL, THREADS + 1);

    long before = resident();
    for (int t = 0; t < THREADS; t++)
        thread[t] = start(work, &worker[t]);
    pthread_barrier_wait(&allocated);
    long held = resident() - before;
    for (int t = 0; t < THREADS; t++)
        for (size_t k = 1; k < worker[t].count; k += 2)
            free(worker[t].block[k]);
    pthread_barrier_wait(&freed);
    long idle = resident() - before;
    malloc_trim(0);
    long trimmed = resident() - before;
    pthread_barrier_wait(&done);
    for (int t = 0; t < THREADS; t++)
        pthread_join(thread[t], NULL);

    figure("held_kib", held);
    figure("freed_kib", idle);
    figure("trimmed_kib", trimmed);
    figure("given_back_percent", 100.0 * (held - trimmed) / held);
    return 0;
}
