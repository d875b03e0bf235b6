// Threads: many at once, many one after another, detached, with little stack,
// and their ends.

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

static void join(pthread_t thread) {
    CHECK(pthread_join(thread, NULL) == 0);
}

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
    need_exact_memory();
    CHECK_THAT(after <= before + most_kib, "%zu KiB before, %zu after", before,
               after);
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
        CHECK(pthread_create(&thread, &attributes, short_thread,
                             (void *)(uintptr_t)i) == 0);
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
    CHECK(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN) ==
          0);
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attributes, use_little_stack, NULL) ==
              0);
        join(thread);
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
        CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x",
                   status);
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
     CASE(with_the_smallest_stack), CASE(exit_while_others_allocate),
     CASE(main_thread_ends_first))
