// One pattern of malloc and free, run a given number of times and nothing
// else, so that an instruction counter can take the difference of two runs.
//
//     patterns PATTERN ITERATIONS
//
// Prints the object that serves malloc, which shows whether a preloaded
// library is really in force. ITERATIONS counts blocks allocated and freed, and
// is a multiple of 1,000 so that every batch is whole.
//
// Time stands still: under an instruction counter a program is some fifty times
// as slow, more on a busy machine, and what an allocator does every few
// milliseconds would weigh that much more. Link with -rdynamic.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// The C library's in every object of the process.
int clock_gettime(clockid_t clock, struct timespec *now) {
    (void)clock;
    *now = (struct timespec){.tv_sec = 1000};
    return 0;
}

static uint64_t state = 0x9e3779b97f4a7c15;

// A xorshift: cheap, and its low bits are good enough to pick a slot with.
static inline uint64_t next_random(void) {
    uint64_t x = state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return state = x;
}

static void pair(long iterations) {
    for (long i = 0; i < iterations; i++) {
        char *block = malloc(64);
        *block = 1;
        free(block);
    }
}

static void last_first(long iterations) {
    void *block[100];
    for (long i = 0; i < iterations; i += 100) {
        for (int k = 0; k < 100; k++)
            block[k] = malloc(48);
        for (int k = 100; k-- > 0;)
            free(block[k]);
    }
}

static void first_first(long iterations) {
    static void *block[1000];
    for (long i = 0; i < iterations; i += 1000) {
        for (int k = 0; k < 1000; k++)
            block[k] = malloc(112);
        for (int k = 0; k < 1000; k++)
            free(block[k]);
    }
}

// Replaces one of `slots` live blocks, a power of two, by one of `least` to
// `least + span - 1` bytes, `span` a power of two as well.
static inline void replace(long iterations, uint64_t slots, size_t least,
                           size_t span) {
    static void *block[8192];
    for (uint64_t k = 0; k < slots; k++)
        block[k] = malloc(least + (next_random() >> 32) % span);
    for (long i = 0; i < iterations; i++) {
        uint64_t random = next_random();
        void **slot = &block[random % slots];
        free(*slot);
        *slot = malloc(least + (random >> 32) % span);
    }
}

// The test's own share is a random number, a slot and a size: 15 instructions
// more than in `pair`.
static void small(long iterations) { replace(iterations, 8192, 16, 512); }

static void medium(long iterations) { replace(iterations, 64, 2000, 32768); }

static void zeroed(long iterations) {
    for (long i = 0; i < iterations; i++) {
        char *block = calloc(1, 64);
        *block = 1;
        free(block);
    }
}

static void grown(long iterations) {
    for (long i = 0; i < iterations; i++) {
        char *block = malloc(40);
        *block = 1;
        block = realloc(block, 44);
        *block = 1;
        free(block);
    }
}

enum { HANDED = 1000 };
static void *handed[HANDED];
static sem_t are_there, are_gone;

static void *free_handed(void *iterations) {
    for (long i = 0; i < *(long *)iterations; i += HANDED) {
        sem_wait(&are_there);
        for (int k = 0; k < HANDED; k++)
            free(handed[k]);
        sem_post(&are_gone);
    }
    return NULL;
}

// Every block is freed by another thread.
static void remote(long iterations) {
    pthread_t thread;
    sem_init(&are_there, 0, 0);
    sem_init(&are_gone, 0, 0);
    if (pthread_create(&thread, NULL, free_handed, &iterations))
        exit(2);
    for (long i = 0; i < iterations; i += HANDED) {
        for (int k = 0; k < HANDED; k++)
            handed[k] = malloc(64);
        sem_post(&are_there);
        sem_wait(&are_gone);
    }
    pthread_join(thread, NULL);
}

static const struct {
    const char *name;
    void (*run)(long);
} PATTERNS[] = {
    {"pair", pair},     {"last_first", last_first}, {"first_first", first_first},
    {"small", small},   {"medium", medium},         {"zeroed", zeroed},
    {"grown", grown},   {"remote", remote},
};

int main(int argc, char **argv) {
    Dl_info object;
    if (argc != 3 || !dladdr((void *)malloc, &object))
        return 2;
    printf("%s\n", object.dli_fname);
    for (size_t k = 0; k < sizeof PATTERNS / sizeof *PATTERNS; k++) {
        if (!strcmp(argv[1], PATTERNS[k].name)) {
            PATTERNS[k].run(atol(argv[2]));
            return 0;
        }
    }
    return 2;
}
