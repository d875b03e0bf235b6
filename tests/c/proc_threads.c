// Threads: many, short, detached, cancelled, with little stack; and blocks that
// pass between them.

#include "ledger.h"
#include <limits.h>
#include <malloc.h>
#include <sys/wait.h>

static pthread_t start(void *(*function)(void *), void *argument) {
    pthread_t thread;
    int result = pthread_create(&thread, NULL, function, argument);
    CHECK_THAT(result == 0, "pthread_create: %d", result);
    return thread;
}

static void join(pthread_t thread) { CHECK(pthread_join(thread, NULL) == 0); }

static void use_all_sizes(unsigned tag) {
    const size_t sizes[] = {1, 24, 100, 600, 3000, 20000, 70000, 200000};
    void *blocks[COUNT(sizes)];
    for (size_t i = 0; i < COUNT(sizes); i++) {
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i]);
        fill(blocks[i], sizes[i], tag);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        CHECK(is_filled(blocks[i], sizes[i], tag));
        blocks[i] = realloc(blocks[i], sizes[i] + 50);
        CHECK(is_filled(blocks[i], sizes[i], tag));
        free(blocks[i]);
    }
}

enum { LIVE = 300, EACH = 50 };

static void *shared[LIVE][EACH];
static pthread_barrier_t all_made, all_freed;

// Frees what its neighbour has made.
static void *live_thread(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;
    use_all_sizes(thread);
    for (unsigned i = 0; i < EACH; i++) {
        shared[thread][i] = malloc(16 + i * 20);
        CHECK(shared[thread][i]);
        ledger_enter(shared[thread][i], 16 + i * 20);
        fill(shared[thread][i], 16 + i * 20, thread);
    }
    pthread_barrier_wait(&all_made);
    unsigned neighbour = (thread + 1) % LIVE;
    for (unsigned i = 0; i < EACH; i++) {
        CHECK(is_filled(shared[neighbour][i], 16 + i * 20, neighbour));
        ledger_strike(shared[neighbour][i], 16 + i * 20);
        free(shared[neighbour][i]);
    }
    pthread_barrier_wait(&all_freed);
    use_all_sizes(thread);
    return NULL;
}

static void three_hundred_live(void) {
    pthread_t threads[LIVE];
    pthread_barrier_init(&all_made, NULL, LIVE);
    pthread_barrier_init(&all_freed, NULL, LIVE);
    for (int round = 0; round < 3; round++) {
        for (uintptr_t i = 0; i < LIVE; i++)
            threads[i] = start(live_thread, (void *)i);
        for (unsigned i = 0; i < LIVE; i++)
            join(threads[i]);
    }
}

static void *passed_on[64];
static volatile unsigned lives;

static void *short_thread(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;
    use_all_sizes(thread);
    // Some blocks outlive the thread; it frees those of the one before.
    for (size_t i = 0; i < COUNT(passed_on); i++) {
        free(passed_on[i]);
        passed_on[i] = malloc(i * 10 + 1);
        CHECK(passed_on[i]);
        memset(passed_on[i], 1, i * 10 + 1);
    }
    __atomic_fetch_add(&lives, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void check_flat(size_t before, size_t after, size_t most_kib) {
    CHECK_THAT(after <= before + most_kib, "%zu KiB before, %zu after", before, after);
}

static void four_thousand_short(void) {
    size_t after_a_thousand = 0;
    for (uintptr_t i = 0; i < 4000; i++) {
        join(start(short_thread, (void *)i));
        if (i == 1000)
            after_a_thousand = status_kib("VmRSS:");
    }
    check_flat(after_a_thousand, status_kib("VmRSS:"), KIB);
}

static void detached(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (unsigned i = 0; i < 1000; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attributes, short_thread, (void *)(uintptr_t)i) == 0);
        // One at a time touches the blocks that are passed on.
        while (__atomic_load_n(&lives, __ATOMIC_ACQUIRE) != i + 1)
            sched_yield();
    }
}

enum { LEFT = 200000, LEFT_SIZE = 200 };

static void *left[LEFT];

static void *leave_blocks(void *unused) {
    for (unsigned i = 0; i < LEFT; i++) {
        left[i] = malloc(LEFT_SIZE);
        CHECK(left[i]);
        memset(left[i], 1, LEFT_SIZE);
    }
    return unused;
}

// Three in four blocks of a dead thread are freed, and none of its slabs is
// empty: whoever needs blocks of the kind gets them from there.
static void memory_of_a_dead_thread_is_used_again(void) {
    join(start(leave_blocks, NULL));
    size_t before = status_kib("VmRSS:");
    for (unsigned i = 0; i < LEFT; i++)
        if (i % 4)
            free(left[i]);
    for (unsigned i = 0; i < LEFT; i++) {
        if (i % 4) {
            left[i] = malloc(LEFT_SIZE);
            CHECK(left[i]);
            memset(left[i], 1, LEFT_SIZE);
        }
    }
    // In glibc the freed blocks stay with the dead thread's arena.
    if (on_bifold())
        check_flat(before, status_kib("VmRSS:"), 4 * KIB);
    for (unsigned i = 0; i < LEFT; i++)
        free(left[i]);
}

static void *use_little_stack(void *argument) {
    for (unsigned i = 0; i < 20; i++)
        use_all_sizes(i);
    void *block = memalign(65536, 100);
    CHECK(block);
    free(block);
    malloc_trim(0);
    CHECK(mallinfo2().uordblks > 0);
    return argument;
}

static void with_the_smallest_stack(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN) == 0);
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attributes, use_little_stack, NULL) == 0);
        join(thread);
    }
}

static void release_slot(void *slot) {
    free(*(void **)slot);
    *(void **)slot = NULL;
}

static void *allocate_until_cancelled(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;
    for (;;) {
        void *slot = malloc(100 + thread);
        pthread_cleanup_push(release_slot, &slot);
        for (unsigned i = 0; i < 100; i++) {
            slot = realloc(slot, 1 + i * thread % 7000);
            CHECK(slot);
            if (i % 10 == 0)
                pthread_testcancel();
        }
        pthread_cleanup_pop(1);
    }
    return NULL;
}

static void cancelled(void) {
    for (int round = 0; round < 100; round++) {
        pthread_t threads[8];
        for (uintptr_t i = 0; i < 8; i++)
            threads[i] = start(allocate_until_cancelled, (void *)i);
        usleep((useconds_t)(round * 37 % 1000));
        for (unsigned i = 0; i < 8; i++)
            CHECK(pthread_cancel(threads[i]) == 0);
        for (unsigned i = 0; i < 8; i++) {
            void *result;
            CHECK(pthread_join(threads[i], &result) == 0);
            CHECK(result == PTHREAD_CANCELED);
        }
        use_all_sizes(1);
    }
}

static volatile int is_pending, has_passed;

// None of these is a cancellation point: what a thread holds would be lost.
static void *allocate_with_a_request_pending(void *argument) {
    while (!is_pending)
        ;
    for (unsigned i = 0; i < 200; i++) {
        use_all_sizes(i);
        free(calloc(3, MIB));
        void *block = memalign(MIB, 5 * MIB);
        CHECK(block);
        free(block);
    }
    malloc_trim(0);
    has_passed = 1;
    pthread_testcancel();
    return argument;
}

static void no_function_is_a_cancellation_point(void) {
    pthread_t thread = start(allocate_with_a_request_pending, NULL);
    CHECK(pthread_cancel(thread) == 0);
    is_pending = 1;
    void *result;
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && has_passed);
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
    CHECK(((unsigned char *)block)[size - 1] == (unsigned char)size || size == sizeof *block);
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

static void *by_memalign(size_t size) { return memalign((size_t)16 << size % 9, size); }

static void *by_realloc(size_t size) { return realloc(malloc(size / 2 + 1), size); }

static void *stress(void *argument) {
    static void *(*const ways[])(size_t) = {malloc, by_calloc, malloc, by_memalign, by_realloc};
    uint64_t state = (uintptr_t)argument + 1;
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t choice = next_random(&state);
        size_t bits = choice % 100 < 80 ? 10 : choice % 100 < 98 ? 15 : 18;
        size_t size = sizeof(struct block) + next_random(&state) % ((size_t)1 << bits);
        struct block *mine =
            step % 4 ? make_block(ways[next_random(&state) % COUNT(ways)], size) : NULL;
        struct block **slot = &of_all[next_random(&state) % SLOTS_OF_ALL];
        struct block *other = __atomic_exchange_n(slot, mine, __ATOMIC_ACQ_REL);
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

static void *never_stop(void *argument) {
    for (unsigned i = 0;; i++)
        use_all_sizes(i);
    return argument;
}

static void exit_while_others_allocate(void) {
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            for (int k = 0; k < 4; k++)
                start(never_stop, NULL);
            usleep((useconds_t)(i * 13 % 500));
            exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
    }
}

static pthread_t main_thread;

static void *outlive_main(void *unused) {
    join(main_thread);
    for (unsigned i = 0; i < 100; i++)
        use_all_sizes(i);
    for (size_t i = 0; i < COUNT(passed_on); i++)
        free(passed_on[i]);
    return unused;
}

// The process goes on without its main thread, and ends with the last one.
static void main_thread_ends_first(void) {
    short_thread(NULL);
    main_thread = pthread_self();
    start(outlive_main, NULL);
    pthread_exit(NULL);
}

MAIN(CASE(three_hundred_live), CASE(four_thousand_short), CASE(detached),
     CASE(memory_of_a_dead_thread_is_used_again),
     CASE(with_the_smallest_stack), CASE(cancelled), CASE(no_function_is_a_cancellation_point),
     CASE(thread_that_only_frees), CASE(stress_with_a_ledger), CASE(exit_while_others_allocate),
     CASE(main_thread_ends_first))
