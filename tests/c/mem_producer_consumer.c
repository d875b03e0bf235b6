// One thread allocates 4 million blocks, another frees them, through a ring
// of 1,024 places.

#include "mem.h"

#include <sched.h>
#include <stdatomic.h>

enum { BLOCKS = 4000000, WARM = BLOCKS / 10, STEP = BLOCKS / 100, RING = 1024 };

static _Atomic(void *) ring[RING];

static void *consume(void *unused) {
    for (long k = 0; k < BLOCKS; k++) {
        void *block;
        while (!(block = atomic_exchange(&ring[k % RING], NULL)))
            sched_yield();
        free(block);
    }
    return unused;
}

int main(void) {
    struct flatness flat = {0, 0};
    uint64_t state = 1;
    pthread_t consumer = start(consume, NULL);
    for (long k = 0; k < BLOCKS; k++) {
        size_t size = 16 + next_random(&state) % 512;
        void *block = malloc(size);
        memset(block, 1, 16);
        while (atomic_load(&ring[k % RING]))
            sched_yield();
        atomic_store(&ring[k % RING], block);
        if (k % STEP == STEP - 1)
            sample(&flat, k < WARM);
    }
    pthread_join(consumer, NULL);
    report_flatness(&flat);
    return 0;
}
