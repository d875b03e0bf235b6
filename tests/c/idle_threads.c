// 200 threads that each hold 20 small blocks of 16 to 512 bytes and wait:
// what a thread costs, its stack included.

#include "mem.h"

enum { THREADS = 200, BLOCKS = 20 };

static pthread_barrier_t all_hold, all_may_go;

static void *idle(void *unused) {
    void *block[BLOCKS];
    for (int k = 0; k < BLOCKS; k++)
        block[k] = filled(16 + k * (512 - 16) / (BLOCKS - 1));
    pthread_barrier_wait(&all_hold);
    pthread_barrier_wait(&all_may_go);
    for (int k = 0; k < BLOCKS; k++)
        free(block[k]);
    return unused;
}

int main(void) {
    pthread_t thread[THREADS];
    pthread_barrier_init(&all_hold, NULL, THREADS + 1);
    pthread_barrier_init(&all_may_go, NULL, THREADS + 1);
    long before = resident();
    for (int k = 0; k < THREADS; k++)
        thread[k] = start(idle, NULL);
    pthread_barrier_wait(&all_hold);
    long after = resident();
    pthread_barrier_wait(&all_may_go);
    for (int k = 0; k < THREADS; k++)
        pthread_join(thread[k], NULL);
    figure("kib_a_thread", (double)(after - before) / THREADS);
    return 0;
}
