// Blocks that pass from one thread to another.

#include "ledger.h"
#include <malloc.h>

static pthread_t start(void *(*function)(void *), void *argument) {
    pthread_t thread;
    int result = pthread_create(&thread, NULL, function, argument);
    CHECK_THAT(result == 0, "pthread_create: %d", result);
    return thread;
}

static void join(pthread_t thread) {
    CHECK(pthread_join(thread, NULL) == 0);
}

static void check_flat(size_t before, size_t after, size_t most_kib) {
    CHECK_THAT(after <= before + most_kib, "%zu KiB before, %zu after", before,
               after);
}

enum { RING = 1024, PASSED = 2000000 };

static void *ring[RING];
static volatile size_t written, consumed;

static void *only_free(void *unused) {
    for (size_t i = 0; i < PASSED; i++) {
        while (__atomic_load_n(&written, __ATOMIC_ACQUIRE) == i)
            sched_yield();
        free(ring[i % RING]);
        __atomic_store_n(&consumed, i + 1, __ATOMIC_RELEASE);
    }
    return unused;
}

static void thread_that_only_frees(void) {
    pthread_t consumer = start(only_free, NULL);
    size_t before = 0;
    for (size_t i = 0; i < PASSED; i++) {
        while (i - __atomic_load_n(&consumed, __ATOMIC_ACQUIRE) >= RING)
            sched_yield();
        size_t size = 16 + i % 61 * 16;
        ring[i % RING] = malloc(size);
        CHECK(ring[i % RING]);
        memset(ring[i % RING], 1, size);
        __atomic_store_n(&written, i + 1, __ATOMIC_RELEASE);
        if (i == PASSED / 4)
            before = status_kib("VmRSS:");
    }
    join(consumer);
    check_flat(before, status_kib("VmRSS:"), 4 * KIB);
}

enum { SLOTS_OF_ALL = 4096, STEPS = 60000, WORKERS = 8 };

// Blocks that any thread may take and free. Each knows its size and its mark.
struct block {
    size_t size;
    uint64_t mark;
};

static struct block *of_all[SLOTS_OF_ALL];

static void check_block(struct block *block) {
    size_t size = block->size;
    CHECK(block->mark == ((uintptr_t)block ^ size));
    CHECK(((unsigned char *)block)[size - 1] == (unsigned char)size ||
          size == sizeof *block);
}

static struct block *make_block(void *(*allocate)(size_t), size_t size) {
    struct block *block = allocate(size);
    CHECK(block && is_aligned(block, 16));
    ledger_enter(block, size);
    if (size > sizeof *block)
        ((unsigned char *)block)[size - 1] = (unsigned char)size;
    block->size = size;
    block->mark = (uintptr_t)block ^ size;
    return block;
}

static void *by_calloc(size_t size) {
    struct block *block = calloc(1, size);
    CHECK(is_zero(block, size));
    return block;
}

static void *by_memalign(size_t size) {
    return memalign((size_t)16 << size % 9, size);
}

static void *by_realloc(size_t size) {
    return realloc(malloc(size / 2 + 1), size);
}

static void *stress(void *argument) {
    static void *(*const ways[])(size_t) = {malloc, by_calloc, malloc,
                                            by_memalign, by_realloc};
    uint64_t state = (uintptr_t)argument + 1;
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t choice = next_random(&state);
        size_t bits = choice % 100 < 80 ? 10 : choice % 100 < 98 ? 15 : 18;
        size_t size =
            sizeof(struct block) + next_random(&state) % ((size_t)1 << bits);
        struct block *mine =
            step % 4
                ? make_block(ways[next_random(&state) % COUNT(ways)], size)
                : NULL;
        struct block **slot = &of_all[next_random(&state) % SLOTS_OF_ALL];
        struct block *other =
            __atomic_exchange_n(slot, mine, __ATOMIC_ACQ_REL);
        if (other) {
            check_block(other);
            ledger_strike(other, other->size);
            free(other);
        }
    }
    return NULL;
}

static void stress_with_a_ledger(void) {
    for (int round = 0; round < 2; round++) {
        pthread_t threads[WORKERS];
        for (uintptr_t i = 0; i < WORKERS; i++)
            threads[i] = start(stress, (void *)(i + 10 * (uintptr_t)round));
        for (unsigned i = 0; i < WORKERS; i++)
            join(threads[i]);
    }
    for (size_t i = 0; i < SLOTS_OF_ALL; i++) {
        if (of_all[i])
            check_block(of_all[i]);
        free(of_all[i]);
    }
}

MAIN(CASE(thread_that_only_frees), CASE(stress_with_a_ledger))
