// arena_max: so many threads have a heap of their own, the others share one.

#include "policy.h"

#include <pthread.h>

enum { THREADS = 8, BLOCKS = 3000 };

static pthread_barrier_t allocated, looked, passed;
static void *blocks[THREADS][BLOCKS];

static size_t size_of(size_t k) {
    return 16 + k * 37 % 3000;
}

// Each frees its neighbour's blocks.
static void *work(void *number) {
    size_t own = (size_t)number;
    for (size_t k = 0; k < BLOCKS; k++) {
        blocks[own][k] = malloc(size_of(k));
        CHECK(blocks[own][k]);
        fill(blocks[own][k], size_of(k), (unsigned)own);
    }
    pthread_barrier_wait(&allocated);
    pthread_barrier_wait(&looked);
    size_t next = (own + 1) % THREADS;
    for (size_t k = 0; k < BLOCKS; k++) {
        CHECK(is_filled(blocks[next][k], size_of(k), (unsigned)next));
        free(blocks[next][k]);
    }
    pthread_barrier_wait(&passed);
    for (size_t k = 0; k < BLOCKS; k++)
        free(malloc(size_of(k)));
    return NULL;
}

// How many heaps there are, by the figures.
static char figures[1 << 16];
static size_t length;

static void append(void *unused, const char *text, size_t more_bytes) {
    (void)unused;
    if (length + more_bytes < sizeof figures) {
        memcpy(figures + length, text, more_bytes);
        length += more_bytes;
    }
}

static size_t heaps(void) {
    void (*json)(void (*)(void *, const char *, size_t), void *);
    *(void **)&json = look_up("bifold_stats_json");
    CHECK(json);
    length = 0;
    memset(figures, 0, sizeof figures);
    json(append, NULL);
    const char *name = "\"heaps\":";
    char *at = strstr(figures, name);
    CHECK_THAT(at, "no heaps in the figures");
    return strtoull(at + strlen(name), NULL, 10);
}

static void further_threads_share_one(void) {
    need_bifold();
    CHECK(more_count == 1);
    size_t most = strtoull(more[0], NULL, 10);
    pthread_barrier_init(&allocated, NULL, THREADS + 1);
    pthread_barrier_init(&looked, NULL, THREADS + 1);
    pthread_barrier_init(&passed, NULL, THREADS);
    free(malloc(1));
    for (int round = 0; round < 3; round++) {
        pthread_t threads[THREADS];
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
        pthread_barrier_wait(&allocated);
        size_t count = heaps();
        CHECK_THAT(count == most, "%zu heaps", count);
        pthread_barrier_wait(&looked);
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
    }
    struct mallinfo2 info = mallinfo2();
    CHECK_THAT(info.uordblks < 256 * KIB, "%zu bytes left", info.uordblks);
}

MAIN(CASE(further_threads_share_one))
