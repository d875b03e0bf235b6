// Goes round until it is killed: threads that come and go and free one another's
// blocks, blocks of all lengths, and children that fork in the middle of it. After each round nothing is live; what bifold has then goes into
// the file that is named first:
//
//     soak FILE [LEAK]      LEAK: bytes that each round forgets

#include "mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { THREADS = 4, BLOCKS = 600, KEPT = 200 };

// What one thread leaves for the next to free.
static void *_Atomic passed[THREADS][KEPT];

static size_t length(uint64_t *state) {
    uint64_t word = next_random(state);
    size_t most = word % 64 == 0 ? 600000 : word % 8 == 0 ? 20000 : 600;
    return 1 + (word >> 8) % most;
}

static void *churn(void *argument) {
    size_t number = (uintptr_t)argument % THREADS;
    uint64_t state = (uintptr_t)argument * 0x9e3779b97f4a7c15;
    void *block[BLOCKS] = {0};
    for (int k = 0; k < BLOCKS * 4; k++) {
        void **at = &block[next_random(&state) % BLOCKS];
        if (*at && next_random(&state) % 4 == 0) {
            void *moved = realloc(*at, length(&state));
            *at = moved ? moved : *at;
        } else {
            free(*at);
            *at = filled(length(&state));
        }
    }
    for (int k = 0; k < BLOCKS; k++) {
        size_t to = (number + 1) % THREADS;
        if (k < KEPT)
            block[k] = atomic_exchange(&passed[to][k], block[k]);
        free(block[k]);
    }
    return NULL;
}

// A child of a process whose other threads allocate: it does the same.
static void fork_one(uintptr_t seed) {
    pid_t child = fork();
    if (child == 0) {
        churn((void *)seed);
        _exit(0);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "a child ends with %#x\n", (unsigned)status);
        _exit(1);
    }
}

static void write_down(const char *file, size_t round) {
    struct mallinfo2 info = mallinfo2();
    char text[100];
    int length = snprintf(text, sizeof text, "live_kib %zu\nrounds %zu\n",
                          (info.uordblks + info.hblkhd) / 1024, round);
    int out = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (out < 0 || pwrite(out, text, (size_t)length, 0) != length)
        _exit(1);
    close(out);
}

int main(int count, char **words) {
    if (count < 2)
        return 2;
    size_t leak = count > 2 ? strtoull(words[2], NULL, 10) : 0;
    for (uintptr_t round = 1;; round++) {
        pthread_t threads[THREADS];
        for (uintptr_t k = 0; k < THREADS; k++)
            threads[k] = start(churn, (void *)(round * THREADS + k));
        fork_one(round * THREADS);
        for (int k = 0; k < THREADS; k++)
            pthread_join(threads[k], NULL);
        for (int k = 0; k < THREADS; k++)
            for (int b = 0; b < KEPT; b++)
                free(atomic_exchange(&passed[k][b], NULL));
        if (leak)
            filled(leak);
        write_down(words[1], round);
    }
}
