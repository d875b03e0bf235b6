// A thread that only frees, for two that only allocate: 200 rounds of 2 x 10,000
// blocks, freed out of order. The sizes change from round to round, so that
// what is freed in one class must serve another.

#include "mem.h"

enum { ROUNDS = 200, WARM = 20, PRODUCERS = 2, BLOCKS = 10000 };

static void *block[PRODUCERS][BLOCKS];
static pthread_barrier_t full, empty;

static void *produce(void *number) {
    uintptr_t own = (uintptr_t)number;
    uint64_t state = own + 1;
    for (int round = 0; round < ROUNDS; round++) {
        size_t span = (size_t)64 << (round % 4);
        for (int k = 0; k < BLOCKS; k++)
            block[own][k] = filled(16 + next_random(&state) % span);
        pthread_barrier_wait(&full);
        pthread_barrier_wait(&empty);
    }
    return NULL;
}

// 7,919 is prime and no divisor of the number of blocks: every block once.
static void *only_free(void *unused) {
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&full);
        for (long k = 0; k < BLOCKS; k++)
            for (int p = 0; p < PRODUCERS; p++)
                free(block[p][k * 7919 % BLOCKS]);
        pthread_barrier_wait(&empty);
    }
    return unused;
}

int main(void) {
    struct flatness flat = {0, 0};
    pthread_t thread[PRODUCERS + 1];
    pthread_barrier_init(&full, NULL, PRODUCERS + 2);
    pthread_barrier_init(&empty, NULL, PRODUCERS + 2);
    for (uintptr_t p = 0; p < PRODUCERS; p++)
        thread[p] = start(produce, (void *)p);
    thread[PRODUCERS] = start(only_free, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&full);
        sample(&flat, round < WARM);
        pthread_barrier_wait(&empty);
    }
    for (int k = 0; k <= PRODUCERS; k++)
        pthread_join(thread[k], NULL);
    report_flatness(&flat);
    return 0;
}
