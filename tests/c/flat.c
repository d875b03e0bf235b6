// What one step of the allocator's work takes in a heap with many live blocks.
//
//     flat STEP LIVE TIMES
//
// Fills the heap with LIVE small blocks, then does the step TIMES times and
// nothing else, so that an instruction counter can take the difference of two
// runs. Prints how many blocks live.

#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static uint64_t state = 0x9e3779b97f4a7c15;

static inline uint64_t next_random(void) {
    uint64_t x = state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return state = x;
}

static void **live;
static long count;

static void *take(size_t size) {
    char *block = malloc(size);
    if (!block)
        exit(3);
    *block = 1;
    return block;
}

// 16 to 79 bytes.
static size_t small(void) { return 16 + (next_random() >> 32) % 64; }

static void pair(void) { free(take(64)); }

// Among so many that each is in another slab.
static void replace(void) {
    void **place = &live[next_random() % (uint64_t)count];
    free(*place);
    *place = take(small());
}

// Slabs of a class that nothing else uses: some come, and all go again.
static void slabs(void) {
    void *block[2000];
    for (int k = 0; k < 2000; k++)
        block[k] = take(1000);
    for (int k = 0; k < 2000; k++)
        free(block[k]);
}

// Runs of pages, each too long for a slab.
static void runs(void) {
    void *block[16];
    for (int k = 0; k < 16; k++)
        block[k] = take(100000);
    for (int k = 0; k < 16; k++)
        free(block[k]);
}

// Mappings of their own.
static void large(void) { free(take(8 << 20)); }

// Free memory goes back to the kernel.
static void purge(void) {
    runs();
    malloc_trim(0);
}

static const struct {
    const char *name;
    void (*run)(void);
} STEPS[] = {
    {"pair", pair}, {"replace", replace}, {"slabs", slabs},
    {"runs", runs}, {"large", large},     {"purge", purge},
};

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    count = atol(argv[2]);
    long times = atol(argv[3]);
    live = mmap(NULL, (count + 1) * sizeof *live, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (live == MAP_FAILED)
        return 3;
    for (long k = 0; k < count; k++)
        live[k] = take(small());
    printf("live %ld\n", count);
    fflush(stdout);
    for (size_t k = 0; k < sizeof STEPS / sizeof *STEPS; k++) {
        if (!strcmp(argv[1], STEPS[k].name)) {
            for (long i = 0; i < times; i++)
                STEPS[k].run();
            return 0;
        }
    }
    return 2;
}
