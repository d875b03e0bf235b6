// Running out of memory: under a limit of the address space or of data, which
// is set before the program starts, or before a case goes on.
//
// What the cases hold is chained through the blocks themselves: a table would
// need memory of its own.

#include "check.h"
#include <malloc.h>
#include <pthread.h>

struct link {
    struct link *next;
    size_t size;
};

static void check_limited(void) {
    struct rlimit space, data;
    CHECK(getrlimit(RLIMIT_AS, &space) == 0 &&
          getrlimit(RLIMIT_DATA, &data) == 0);
    CHECK(space.rlim_cur != RLIM_INFINITY || data.rlim_cur != RLIM_INFINITY);
}

// Allocates until NULL, with ENOMEM; the sum of the sizes.
static size_t exhaust(struct link **chain,
                      size_t (*size_of)(unsigned number)) {
    size_t sum = 0;
    for (unsigned number = 0;; number++) {
        size_t size = size_of(number);
        errno = 0;
        struct link *link = malloc(size);
        if (!link) {
            CHECK_THAT(errno == ENOMEM, "errno %d", errno);
            return sum;
        }
        CHECK(is_aligned(link, 16) && malloc_usable_size(link) >= size);
        memset(link, 0x77, size);
        link->next = *chain;
        link->size = size;
        *chain = link;
        sum += size;
        CHECK_THAT(sum < 2 * GIB, "no limit is felt");
    }
}

static void free_all(struct link **chain) {
    while (*chain) {
        struct link *link = *chain;
        *chain = link->next;
        for (size_t i = sizeof *link; i < link->size; i++)
            CHECK(((unsigned char *)link)[i] == 0x77);
        free(link);
    }
}

static size_t small(unsigned number) {
    return 16 + number * 16 % 1000;
}
static size_t medium(unsigned number) {
    return 2000 + number * 977 % 30000;
}
static size_t runs(unsigned number) {
    return 40000 + number * 9973 % 90000;
}
static size_t large(unsigned number) {
    return 200000 + number * 99991 % 400000;
}
static size_t mixed(unsigned number) {
    return number % 1000 == 0 ? 300000
           : number % 10      ? small(number)
                              : medium(number);
}

// Three times the same: what was freed can be had again, or the most part of
// it.
static void check_exhaustion(size_t (*size_of)(unsigned number)) {
    struct link *chain = NULL;
    check_limited();
    size_t first = exhaust(&chain, size_of);
    CHECK_THAT(first >= 40 * MIB, "%zu KiB", first / KIB);
    for (int round = 0; round < 3; round++) {
        free_all(&chain);
        size_t again = exhaust(&chain, size_of);
        CHECK_THAT(again >= first / 6 * 5, "%zu KiB at first, %zu then",
                   first / KIB, again / KIB);
    }
    free_all(&chain);
}

static void small_blocks(void) {
    check_exhaustion(small);
}
static void medium_blocks(void) {
    check_exhaustion(medium);
}
static void run_blocks(void) {
    check_exhaustion(runs);
}
static void large_blocks(void) {
    check_exhaustion(large);
}
static void mixed_blocks(void) {
    check_exhaustion(mixed);
}

// What one size has given back serves another.
static void one_size_after_another(void) {
    size_t (*const kinds[])(unsigned) = {small, large, medium, runs,
                                         small, mixed, large};
    check_limited();
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct link *chain = NULL;
        size_t sum = exhaust(&chain, kinds[i]);
        CHECK_THAT(sum >= 32 * MIB, "%zu KiB of kind %zu", sum / KIB, i);
        free_all(&chain);
    }
}

static void every_function_fails_with_enomem(void) {
    struct link *chain = NULL;
    check_limited();
    exhaust(&chain, large);
    exhaust(&chain, small);
    char mark;
    void *untouched = &mark;
    errno = 0;
    CHECK(!calloc(100, 50000) && errno == ENOMEM);
    errno = 0;
    CHECK(!memalign(4096, 5000000) && errno == ENOMEM);
    errno = 0;
    CHECK(!aligned_alloc(64, 5000000) && errno == ENOMEM);
    CHECK(posix_memalign(&untouched, 64, 5000000) == ENOMEM &&
          untouched == &mark);
    errno = 0;
    CHECK(!valloc(5000000) && errno == ENOMEM);
    errno = 0;
    CHECK(!pvalloc(5000000) && errno == ENOMEM);
    size_t size = chain->size;
    for (size_t huge = 5000000; huge < 100000000; huge *= 2) {
        errno = 0;
        CHECK(!realloc(chain, huge) && errno == ENOMEM);
        CHECK(chain->size == size);
        errno = 0;
        CHECK(!reallocarray(chain, 10, huge / 10) && errno == ENOMEM);
    }
    // To fail is no reason to have lost anything.
    malloc_trim(0);
    CHECK(mallinfo2().uordblks + mallinfo2().hblkhd > 40 * MIB);
    free_all(&chain);
    void *block = malloc(20 * MIB);
    CHECK(block);
    free(block);
}

static void shrinking_at_the_limit(void) {
    struct link *chain = NULL;
    check_limited();
    exhaust(&chain, large);
    exhaust(&chain, small);
    // Fails or not, the contents stay.
    for (struct link **place = &chain; *place; place = &(*place)->next) {
        size_t size = (*place)->size / 2;
        if (size < sizeof(struct link))
            continue;
        struct link *shrunk = realloc(*place, size);
        if (!shrunk) {
            CHECK(errno == ENOMEM);
            continue;
        }
        shrunk->size = size;
        *place = shrunk;
    }
    free_all(&chain);
}

static size_t sum_of_threads;

static void *exhaust_in_thread(void *unused) {
    for (int round = 0; round < 3; round++) {
        struct link *chain = NULL;
        size_t sum = exhaust(&chain, mixed);
        __atomic_fetch_add(&sum_of_threads, sum, __ATOMIC_RELAXED);
        free_all(&chain);
    }
    return unused;
}

static void several_threads_at_the_limit(void) {
    pthread_t threads[4];
    pthread_attr_t attributes;
    check_limited();
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, 256 * KIB) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], &attributes, exhaust_in_thread,
                             NULL) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_THAT(sum_of_threads > 40 * MIB, "%zu", sum_of_threads);
    // The dead threads' memory is everyone's.
    struct link *chain = NULL;
    size_t sum = exhaust(&chain, small);
    // glibc's arenas belong to threads, and most are empty now.
    size_t expected = on_bifold() ? 32 * MIB : 10 * MIB;
    CHECK_THAT(sum >= expected, "%zu KiB after the threads", sum / KIB);
    free_all(&chain);
}

static void the_limit_is_lifted(void) {
    struct link *chain = NULL;
    check_limited();
    exhaust(&chain, mixed);
    struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &none) == 0 &&
          setrlimit(RLIMIT_DATA, &none) == 0);
    void *block = malloc(500 * MIB);
    CHECK(block);
    free(block);
    for (int i = 0; i < 100000; i++)
        CHECK(malloc(1000));
    free_all(&chain);
}

// A limit that comes when the heap is in use: less than what is mapped.
static void a_limit_below_what_is_used(void) {
    static void *blocks[20000];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = malloc(1000);
        CHECK(blocks[i]);
    }
    struct rlimit tight = {8 * MIB, 8 * MIB};
    CHECK(setrlimit(RLIMIT_AS, &tight) == 0);
    errno = 0;
    CHECK(!malloc(4 * MIB) && errno == ENOMEM);
    for (int round = 0; round < 3; round++) {
        for (size_t i = round % 2; i < COUNT(blocks); i += 2)
            free(blocks[i]);
        for (size_t i = round % 2; i < COUNT(blocks); i += 2) {
            blocks[i] = malloc(1000);
            CHECK(blocks[i]);
        }
    }
}

// Nothing but a start, under a limit that leaves little room.
static void starts(void) {
    check_limited();
    for (size_t size = 1; size < 200000; size = size * 3 / 2 + 1) {
        void *block = malloc(size);
        CHECK(block);
        fill(block, size, 1);
        free(block);
    }
}

MAIN(CASE(small_blocks), CASE(medium_blocks), CASE(run_blocks),
     CASE(large_blocks), CASE(mixed_blocks), CASE(one_size_after_another),
     CASE(every_function_fails_with_enomem), CASE(shrinking_at_the_limit),
     CASE(several_threads_at_the_limit), CASE(the_limit_is_lifted),
     CASE(a_limit_below_what_is_used), CASE(starts))
