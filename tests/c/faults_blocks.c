// Blocks of all kinds while system calls fail: requests fail, and nothing is lost.

#include "faults.h"

#define SCENARIO(name)                 \
    static void scenario_##name(void); \
    static void name(void) {           \
        survive(scenario_##name);      \
    }                                  \
    static void scenario_##name(void)

SCENARIO(small_blocks) {
    for (size_t size = 1; size <= 1024; size += 73)
        for (size_t i = 0; i < 1 + 120 * KIB / (size + 15); i += 1 + i / 8)
            keep(malloc(size), size);
    for (int i = 0; i < 700; i++)
        keep(malloc(3000), 3000);
    drop(0, 3);
}

SCENARIO(medium_blocks) {
    const size_t sizes[] = {5000, 9000, 20000, 40000, 64 * KIB};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int k = 0; k < 12; k++)
            keep(malloc(sizes[i]), sizes[i]);
    drop(1, 2);
}

SCENARIO(runs) {
    for (size_t pages = 17; pages <= 32; pages++)
        for (int k = 0; k < 4; k++)
            keep(malloc(pages * 4096), pages * 4096);
    drop(0, 2);
    for (size_t pages = 17; pages <= 32; pages++)
        keep(malloc(pages * 4096 - 1), pages * 4096 - 1);
}

SCENARIO(large_blocks) {
    const size_t sizes[] = {600 * KIB, 1 * MIB, 3 * MIB, 5 * MIB, 9 * MIB};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT(sizes); i++)
            for (int k = 0; k < 2; k++)
                keep(malloc(sizes[i]), sizes[i]);
        drop(0, 2);
    }
}

// The table of them grows.
SCENARIO(many_large_blocks) {
    for (int i = 0; i < 70; i++)
        keep(malloc(600 * KIB), 600 * KIB);
    drop(3, 2);
}

// Mappings that are kept for a moment serve again, whole, cut and lengthened.
SCENARIO(large_blocks_in_turn) {
    const size_t sizes[] = {MIB, 2 * MIB, 3 * MIB, 700 * KIB, 4 * MIB, 5 * MIB};
    for (int i = 0; i < 12; i++) {
        size_t size = sizes[i % COUNT(sizes)] + (size_t)i * 8192;
        if (keep(malloc(size), size))
            drop(held_count - 1, 1);
    }
    keep(malloc(7 * MIB), 7 * MIB);
}

// And in parts, together.
SCENARIO(large_blocks_of_parts) {
    for (int i = 0; i < 20; i++)
        keep(malloc(2 * MIB), 2 * MIB);
    drop(0, 2);
    keep(malloc(9 * MIB), 9 * MIB);
    if (held_count > 0 && held[held_count - 1].size == 9 * MIB) {
        struct held *one = &held[held_count - 1];
        change(one, realloc(one->block, 6 * MIB), 6 * MIB);
        change(one, realloc(one->block, 11 * MIB), 11 * MIB);
    }
    keep(malloc(5 * MIB), 5 * MIB);
}

SCENARIO(aligned) {
    for (size_t alignment = 32; alignment <= 8 * MIB; alignment *= 2) {
        for (size_t size = 100; size <= MIB; size *= 20) {
            void *block = keep(aligned_alloc(alignment, size), size);
            ENSURE(is_aligned(block, alignment));
            void *other = NULL;
            errno = ENOMEM;
            int error = posix_memalign(&other, alignment, size + 1);
            ENSURE(error == (other ? 0 : ENOMEM));
            keep(other, size + 1);
            ENSURE(is_aligned(other, alignment));
        }
    }
}

SCENARIO(zeros) {
    for (int round = 0; round < 2; round++) {
        for (size_t size = 10; size <= 4 * MIB; size += size / 2) {
            void *block = calloc(1, size);
            ENSURE(!block || is_zero(block, size < 9000 ? size : 9000));
            ENSURE(!block || is_zero((char *)block + size - size / 8, size / 8));
            keep(block, size);
        }
        drop(0, 1);
        malloc_trim(0);
    }
}

SCENARIO(longer_and_shorter) {
    const size_t sizes[] = {10,      100,     1000,      10000,   90000, 130000,
                            MIB,     3 * MIB, 5 * MIB,   2 * MIB, MIB,   200000,
                            100000,  70000,   20000,     900,     3};
    for (int i = 0; i < 3; i++)
        keep(malloc(7), 7);
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t k = 0; k < held_count; k++)
            change(&held[k], realloc(held[k].block, sizes[i]), sizes[i]);
}

// What is free goes back, and comes again.
SCENARIO(trim) {
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 200; i++)
            keep(malloc(4000), 4000);
        for (int i = 0; i < 40; i++)
            keep(malloc(30000), 30000);
        for (int i = 0; i < 20; i++)
            keep(malloc(100000), 100000);
        for (int i = 0; i < 4; i++)
            keep(malloc(2 * MIB), 2 * MIB);
        drop(0, round ? 1 : 2);
        malloc_trim(0);
    }
}

// More than 256 free descriptors: their memory goes back, too.
SCENARIO(trim_of_descriptors) {
    for (int i = 0; i < 270; i++)
        keep(malloc(17 * 4096), 17 * 4096);
    drop(0, 1);
    malloc_trim(0);
}

// Free runs make room for a mapping.
SCENARIO(room_from_free_runs) {
    for (int i = 0; i < 100; i++)
        keep(malloc(100000), 100000);
    drop(0, 1);
    for (int i = 0; i < 3; i++)
        keep(malloc(5 * MIB), 5 * MIB);
    for (int i = 0; i < 100; i++)
        keep(malloc(100000), 100000);
}

SCENARIO(figures) {
    keep(malloc(100), 100);
    keep(malloc(3 * MIB), 3 * MIB);
    figure_of("\"heaps\":");
    ENSURE(mallinfo2().uordblks > 0 || may_fail);
}

// Allocates, frees what others have left, leaves something, and dies.
static void *work(void *argument) {
    size_t size = (size_t)argument;
    for (int i = 0; i < 40; i++) {
        keep(malloc(size), size);
        keep(malloc(size * 40), size * 40);
    }
    return NULL;
}

static void threads_of(int count, int at_once) {
    pthread_t threads[12];
    for (int i = 0; i < count; i++) {
        int error =
            pthread_create(&threads[i], NULL, work, (void *)(size_t)(16 + 50 * i));
        ENSURE(!error || (may_fail && (error == EAGAIN || error == ENOMEM)));
        if (error)
            threads[i] = pthread_self();
        else if (!at_once)
            pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < count && at_once; i++)
        if (!pthread_equal(threads[i], pthread_self()))
            pthread_join(threads[i], NULL);
}

SCENARIO(threads) {
    threads_of(12, 0);
    drop(0, 2);
    threads_of(4, 1);
    drop(1, 3);
    // Zeros are made resident where there were several threads.
    for (int i = 0; i < 4; i++) {
        void *block = calloc(1, 300000);
        ENSURE(!block || is_zero(block, 300000));
        keep(block, 300000);
    }
}

static void *wait_for_trim(void *barriers) {
    pthread_barrier_t *barrier = barriers;
    for (int i = 0; i < 200; i++)
        keep(malloc(1000), 1000);
    pthread_barrier_wait(&barrier[0]);
    // The other thread frees, trims, and has this one go on.
    pthread_barrier_wait(&barrier[1]);
    work((void *)1000);
    return NULL;
}

// Trim takes a live thread's pages.
SCENARIO(trim_of_a_thread) {
    pthread_barrier_t barrier[2];
    pthread_t thread;
    for (int i = 0; i < 2; i++)
        pthread_barrier_init(&barrier[i], NULL, 2);
    if (pthread_create(&thread, NULL, wait_for_trim, barrier) != 0) {
        ENSURE(may_fail);
        return;
    }
    pthread_barrier_wait(&barrier[0]);
    drop(0, 1);
    malloc_trim(0);
    malloc_trim(0);
    pthread_barrier_wait(&barrier[1]);
    pthread_join(thread, NULL);
}

static volatile int all_are_there;

static void *crowded(void *argument) {
    while (!all_are_there)
        sched_yield();
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 20; i++)
            keep(malloc(100000), 100000);
        for (int i = 0; i < 20; i++) {
            pthread_mutex_lock(&held_lock);
            struct held one = {0};
            if (held_count > 0)
                one = held[--held_count];
            pthread_mutex_unlock(&held_lock);
            if (one.block)
                let_go(one.block, one.size);
        }
        // Under the lock, and long.
        malloc_trim(0);
    }
    return argument;
}

// Threads wait for one lock.
SCENARIO(waiting_for_a_lock) {
    pthread_t threads[4];
    size_t count = 0;
    all_are_there = 0;
    while (count < COUNT(threads) &&
           pthread_create(&threads[count], NULL, crowded, NULL) == 0)
        count++;
    ENSURE(count == COUNT(threads) || may_fail);
    all_are_there = 1;
    while (count > 0)
        pthread_join(threads[--count], NULL);
}

SCENARIO(forks) {
    for (int i = 0; i < 40; i++)
        keep(malloc(3000), 3000);
    keep(malloc(3 * MIB), 3 * MIB);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 400; i++)
            keep(malloc(3000), 3000);
        drop(0, 1);
        malloc_trim(0);
        _exit(0);
    }
    int status;
    ENSURE(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    drop(0, 2);
}

MAIN(CASE(small_blocks), CASE(medium_blocks), CASE(runs), CASE(large_blocks),
     CASE(many_large_blocks), CASE(large_blocks_in_turn),
     CASE(large_blocks_of_parts), CASE(aligned),
     CASE(zeros), CASE(longer_and_shorter), CASE(trim),
     CASE(trim_of_descriptors), CASE(room_from_free_runs), CASE(figures),
     CASE(threads), CASE(trim_of_a_thread), CASE(waiting_for_a_lock),
     CASE(forks))
