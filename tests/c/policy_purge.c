// When free memory goes back to the kernel, and how.

#include "policy.h"

#include <pthread.h>
#include <sys/wait.h>

// The program's own data, so that what stays is held against something.
static char own[16 * MIB];

static size_t start_kib(void) {
    need_bifold();
    memset(own, 1, sizeof own);
    free(malloc(1));
    return resident_kib();
}

// Twenty calls a second, for so long.
static size_t same_size(uint64_t *state) {
    (void)state;
    return 100;
}

static size_t small_sizes(uint64_t *state) {
    return 1 + next_random(state) % 1000;
}

static void tick_along(unsigned milliseconds, size_of_block *size_of) {
    uint64_t state = 4711;
    for (unsigned i = 0; i < milliseconds / 50; i++) {
        void *block = malloc(size_of(&state));
        CHECK(block);
        free(block);
        pause_ms(50);
    }
}

static void check_back(size_t start) {
    size_t end = resident_kib();
    CHECK_THAT(end <= start + start / 10, "%zu KiB at the start, %zu then",
               start, end);
}

static void check_kept(size_t start, size_t least) {
    size_t end = resident_kib();
    CHECK_THAT(end >= start + least, "%zu KiB at the start, %zu then", start,
               end);
}

static void goes_back(size_of_block *held, size_of_block *ticks) {
    size_t start = start_kib();
    let_go(hold(400 * MIB, held));
    tick_along(5000, ticks);
    check_back(start);
}

static void mixed_then_one_size(void) {
    goes_back(mixed_sizes, same_size);
}
static void mixed_then_small_sizes(void) {
    goes_back(mixed_sizes, small_sizes);
}
// With huge pages behind most of it.
static void small_then_small_sizes(void) {
    goes_back(small_sizes, small_sizes);
}
static void long_then_one_size(void) {
    goes_back(long_sizes, same_size);
}

static void *hold_and_let_go(void *unused) {
    let_go(hold(400 * MIB, mixed_sizes));
    return unused;
}

static void *tick_in_thread(void *unused) {
    tick_along(5000, small_sizes);
    return unused;
}

static void run_thread(void *(*body)(void *)) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void another_thread_ticks(void) {
    size_t start = start_kib();
    hold_and_let_go(NULL);
    run_thread(tick_in_thread);
    check_back(start);
}

static void a_dead_thread_has_freed(void) {
    size_t start = start_kib();
    run_thread(hold_and_let_go);
    tick_along(5000, small_sizes);
    check_back(start);
}

static void *let_go_in_thread(void *first) {
    let_go(first);
    return NULL;
}

static void another_thread_frees(void) {
    size_t start = start_kib();
    pthread_t thread;
    struct held *first = hold(400 * MIB, mixed_sizes);
    CHECK(pthread_create(&thread, NULL, let_go_in_thread, first) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    tick_along(5000, small_sizes);
    check_back(start);
}

// purge=now: not one call later. What is left are the last slabs of the classes
// that were in use.
static void at_once(void) {
    size_t start = start_kib();
    let_go(hold(100 * MIB, long_sizes));
    size_t end = resident_kib();
    CHECK_THAT(end <= start + KIB, "%zu KiB at the start, %zu then", start, end);
    let_go(hold(100 * MIB, small_sizes));
    end = resident_kib();
    CHECK_THAT(end <= start + 4 * KIB, "%zu KiB at the start, %zu then", start,
               end);
}

static pthread_barrier_t turn;

static void *hold_and_sleep(void *held) {
    *(struct held **)held = hold(100 * MIB, small_sizes);
    pthread_barrier_wait(&turn);
    // It calls malloc no more.
    pthread_barrier_wait(&turn);
    return NULL;
}

// purge=now: who frees the last block of a slab gives it back, though the thread
// that it belongs to sleeps.
static void blocks_of_a_sleeper(void) {
    size_t start = start_kib();
    pthread_t thread;
    struct held *first;
    CHECK(pthread_barrier_init(&turn, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, hold_and_sleep, &first) == 0);
    pthread_barrier_wait(&turn);
    let_go(first);
    size_t end = resident_kib();
    CHECK_THAT(end <= start + 8 * KIB, "%zu KiB at the start, %zu then", start,
               end);
    pthread_barrier_wait(&turn);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void never_but_by_trim(void) {
    size_t start = start_kib();
    let_go(hold(100 * MIB, mixed_sizes));
    tick_along(1500, same_size);
    check_kept(start, 95 * KIB);
    CHECK(malloc_trim(0) == 1);
    check_back(start);
}

static void after_100_ms(void) {
    size_t start = start_kib();
    let_go(hold(100 * MIB, mixed_sizes));
    tick_along(1500, same_size);
    check_back(start);
}

static void not_after_3_s(void) {
    size_t start = start_kib();
    let_go(hold(100 * MIB, mixed_sizes));
    tick_along(3000, same_size);
    check_kept(start, 90 * KIB);
}

static void lazily(void) {
    size_t start = start_kib();
    let_go(hold(100 * MIB, mixed_sizes));
    tick_along(1500, same_size);
    // Given up, and still there.
    check_kept(start, 60 * KIB);
    size_t lazy = smaps_kib("LazyFree", NULL);
    CHECK_THAT(lazy >= 60 * KIB, "%zu KiB are lazily free", lazy);
    // What was given up so is no zeros, and calloc knows.
    uint64_t state = 815;
    for (size_t sum = 0; sum < 100 * MIB;) {
        size_t size = mixed_sizes(&state);
        void *block = calloc(1, size);
        CHECK(block && is_zero(block, size));
        sum += size;
    }
}

static void all_but_64_mib(void) {
    size_t start = start_kib();
    let_go(hold(200 * MIB, mixed_sizes));
    tick_along(3000, same_size);
    check_kept(start, 54 * KIB);
    size_t end = resident_kib();
    CHECK_THAT(end <= start + 68 * KIB, "%zu KiB at the start, %zu then", start,
               end);
}

MAIN(CASE(mixed_then_one_size), CASE(mixed_then_small_sizes),
     CASE(small_then_small_sizes), CASE(long_then_one_size), CASE(another_thread_ticks),
     CASE(a_dead_thread_has_freed), CASE(another_thread_frees), CASE(at_once), CASE(blocks_of_a_sleeper),
     CASE(never_but_by_trim), CASE(after_100_ms), CASE(not_after_3_s),
     CASE(lazily), CASE(all_but_64_mib))
