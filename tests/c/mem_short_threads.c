// 4,000 threads one after another. Each allocates and frees 400 blocks, and
// leaves 20 behind that the main thread frees once the thread is gone.

#include "mem.h"

enum { THREADS = 4000, WARM = 400, BLOCKS = 400, LEFT = 20 };

static void *left[LEFT];

static void *brief(void *seed) {
    uint64_t state = (uintptr_t)seed * 0x9e3779b97f4a7c15;
    void *block[BLOCKS];
    for (int k = 0; k < BLOCKS; k++)
        block[k] = filled(16 + next_random(&state) % 1024);
    for (int k = 0; k < BLOCKS; k++) {
        if (k < LEFT)
            left[k] = block[k];
        else
            free(block[k]);
    }
    return NULL;
}

int main(void) {
    struct flatness flat = {0, 0};
    for (uintptr_t k = 0; k < THREADS; k++) {
        pthread_join(start(brief, (void *)(k + 1)), NULL);
        for (int b = 0; b < LEFT; b++)
            free(left[b]);
        if (k % 50 == 49)
            sample(&flat, k < WARM);
    }
    report_flatness(&flat);
    return 0;
}
