// Memory that is locked as it is mapped: mlockall(MCL_FUTURE).

#include "check.h"
#include <grp.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>

static void lock_all(void) {
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        SKIP("mlockall: %s", strerror(errno));
}

static const size_t sizes[] = {1,     100,    1000,    5000,   20000,
                               60000, 150000, 1 << 20, 5 << 20};

static void use_all_sizes(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *blocks[8];
        for (unsigned k = 0; k < COUNT(blocks); k++) {
            blocks[k] = malloc(sizes[i]);
            CHECK(blocks[k]);
            fill(blocks[k], sizes[i], k);
        }
        for (unsigned k = 0; k < COUNT(blocks); k++) {
            CHECK(is_filled(blocks[k], sizes[i], k));
            blocks[k] = realloc(blocks[k], sizes[i] * 2);
            CHECK(blocks[k] && is_filled(blocks[k], sizes[i], k));
            free(blocks[k]);
        }
    }
}

static void allocates(void) {
    lock_all();
    for (int i = 0; i < 3; i++)
        use_all_sizes();
}

// Reserved addresses are no memory until they are used.
static void locks_only_what_is_used(void) {
    lock_all();
    void *first = malloc(100);
    CHECK(first);
    size_t locked = status_kib("VmLck:");
    CHECK_THAT(locked < 64 * KIB, "%zu KiB locked at the start", locked);
    char *blocks[2000];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = malloc(5000);
        CHECK(blocks[i]);
    }
    locked = status_kib("VmLck:");
    CHECK_THAT(locked < 96 * KIB, "%zu KiB locked with 10 MB in use", locked);
}

static void *use_in_thread(void *unused) {
    use_all_sizes();
    return unused;
}

static void threads_allocate(void) {
    lock_all();
    for (int round = 0; round < 3; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&threads[i], NULL, use_in_thread, NULL) == 0);
        for (int i = 0; i < 4; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

// Locked pages can't be given back by madvise(MADV_DONTNEED): they keep what
// was in them, and calloc must know.
static void calloc_is_zero(void) {
    lock_all();
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            void *blocks[50];
            size_t count = sizes[i] > 100000 ? 4 : COUNT(blocks);
            for (unsigned k = 0; k < count; k++) {
                blocks[k] = malloc(sizes[i]);
                CHECK(blocks[k]);
                memset(blocks[k], 0xa5, sizes[i]);
                HIDE(blocks[k]);
            }
            for (unsigned k = 0; k < count; k++)
                free(blocks[k]);
            malloc_trim(0);
            for (size_t j = 0; j < COUNT(sizes); j++) {
                void *block = calloc(1, sizes[j]);
                CHECK(block);
                CHECK_THAT(is_zero(block, sizes[j]), "%zu after %zu", sizes[j],
                           sizes[i]);
                free(block);
            }
        }
    }
}

// The same for pages that are locked later, one by one.
static void calloc_is_zero_after_mlock(void) {
    enum { BLOCKS = 200 };
    static char *blocks[BLOCKS];
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t count = sizes[i] > 100000 ? 8 : BLOCKS;
        for (unsigned k = 0; k < count; k++) {
            blocks[k] = malloc(sizes[i]);
            CHECK(blocks[k]);
            memset(blocks[k], 0xa5, sizes[i]);
            if (mlock(blocks[k], sizes[i]) != 0)
                SKIP("mlock: %s", strerror(errno));
        }
        for (unsigned k = 0; k < count; k++)
            free(blocks[k]);
        malloc_trim(0);
        for (size_t j = 0; j < COUNT(sizes); j++) {
            count = sizes[j] > 100000 ? 8 : BLOCKS;
            for (unsigned k = 0; k < count; k++) {
                blocks[k] = calloc(1, sizes[j]);
                CHECK(blocks[k]);
                CHECK_THAT(is_zero(blocks[k], sizes[j]), "%zu after %zu",
                           sizes[j], sizes[i]);
            }
            for (unsigned k = 0; k < count; k++)
                free(blocks[k]);
        }
    }
}

// Anyone but root may lock so much and no more; then mmap fails.
static void at_the_limit_of_locked_memory(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (limit.rlim_max < 4 * MIB)
        SKIP("too little may be locked");
    if (limit.rlim_max > 32 * MIB)
        limit.rlim_max = 32 * MIB;
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setgid(12345) != 0 || setuid(12345) != 0))
        SKIP("root can't become another user");
    if (mlockall(MCL_FUTURE) != 0)
        SKIP("mlockall: %s", strerror(errno));
    static void *blocks[20000];
    for (int round = 0; round < 3; round++) {
        size_t count = 0;
        errno = 0;
        while (count < COUNT(blocks) && (blocks[count] = malloc(5000)))
            memset(blocks[count++], 1, 5000);
        CHECK_THAT(count < COUNT(blocks) && errno == ENOMEM,
                   "%zu blocks, errno %d", count, errno);
        CHECK_THAT(count > limit.rlim_cur / 2 / 5000, "%zu blocks", count);
        while (count > 0)
            free(blocks[--count]);
    }
}

MAIN(CASE(allocates), CASE(locks_only_what_is_used), CASE(threads_allocate),
     CASE(calloc_is_zero), CASE(calloc_is_zero_after_mlock),
     CASE(at_the_limit_of_locked_memory))
