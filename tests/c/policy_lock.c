// Locked memory: all of bifold's, and nothing else.

#include "policy.h"

#include <grp.h>
#include <pthread.h>

static const size_t sizes[] = {16, 1000, 20000, 100 * KIB, MIB, 5 * MIB};

static void *blocks_are_locked(void *unused) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char *block = malloc(sizes[i]);
        CHECK(block);
        CHECK_THAT(has_flag(block, "lo"), "a block of %zu is not locked",
                   sizes[i]);
        free(block);
    }
    return unused;
}

static void need_locks(void) {
    need_bifold();
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (geteuid() != 0 && limit.rlim_cur < 256 * MIB)
        SKIP("RLIMIT_MEMLOCK is too low");
}

// Not the stack, not the program.
static void only_what_is_allocated(void) {
    static char data[64 * KIB];
    char local = 1;
    memset(data, 1, sizeof data);
    CHECK(!has_flag(data, "lo") && !has_flag(&local, "lo"));
}

static void at_once(void) {
    need_locks();
    blocks_are_locked(NULL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, blocks_are_locked, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    char *block = malloc(20 * MIB);
    size_t locked = smaps_kib("Locked", block);
    CHECK_THAT(locked >= 20 * KIB, "%zu KiB locked", locked);
    CHECK(status_kib("VmLck:") >= 20 * KIB);
    CHECK(smaps_kib("Rss", block) >= 20 * KIB);
    only_what_is_allocated();
}

static void as_it_is_touched(void) {
    need_locks();
    blocks_are_locked(NULL);
    char *block = malloc(20 * MIB);
    CHECK(block && has_flag(block, "lo"));
    CHECK(smaps_kib("Rss", block) < KIB);
    memset(block, 1, 10 * MIB);
    size_t resident = smaps_kib("Rss", block);
    CHECK_THAT(resident >= 10 * KIB && resident < 11 * KIB, "%zu KiB", resident);
    only_what_is_allocated();
}

static void not_at_all(void) {
    need_bifold();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char *block = malloc(sizes[i]);
        CHECK(block && !has_flag(block, "lo"));
    }
    CHECK(status_kib("VmLck:") == 0);
}

// What is free goes back though it was locked.
static void trimmed(void) {
    need_locks();
    size_t before = resident_kib();
    let_go(hold(60 * MIB, mixed_sizes));
    malloc_trim(0);
    size_t after = resident_kib();
    // Linux before 5.18 can't.
    if (after > before + 50 * KIB)
        SKIP("the kernel purges no locked memory");
    CHECK_THAT(after < before + 16 * KIB, "%zu KiB, then %zu", before, after);
    for (int i = 0; i < 1000; i++) {
        void *block = calloc(1, 50000);
        CHECK(block && is_zero(block, 50000));
    }
    CHECK(has_flag(malloc(50000), "lo"));
}

static void give_up_privileges(void) {
    if (geteuid() == 0) {
        CHECK(setgroups(0, NULL) == 0);
        CHECK(setresgid(65534, 65534, 65534) == 0);
        CHECK(setresuid(65534, 65534, 65534) == 0);
    }
}

static void beyond_the_limit(void) {
    need_bifold();
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (limit.rlim_max < 4 * MIB)
        SKIP("too little may be locked");
    if (limit.rlim_max > 16 * MIB)
        limit.rlim_max = 16 * MIB;
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    give_up_privileges();
    static const size_t kinds[] = {100, 50000, 200 * KIB, 3 * MIB};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct held *first = NULL;
        size_t sum = 0;
        for (;;) {
            errno = 0;
            struct held *block = malloc(kinds[i]);
            if (!block)
                break;
            memset(block, 1, kinds[i]);
            *block = (struct held){first, kinds[i]};
            first = block;
            sum += kinds[i];
            CHECK_THAT(sum <= limit.rlim_cur, "blocks of %zu beyond the limit",
                       kinds[i]);
            if (kinds[i] >= 50000)
                CHECK(has_flag(block, "lo"));
        }
        CHECK_THAT(errno == ENOMEM, "errno %d", errno);
        CHECK_THAT(sum >= limit.rlim_cur / 4, "%zu KiB of blocks of %zu", sum / KIB,
                   kinds[i]);
        CHECK(status_kib("VmLck:") <= limit.rlim_cur / KIB);
        let_go(first);
    }
}

MAIN(CASE(at_once), CASE(as_it_is_touched), CASE(not_at_all), CASE(trimmed),
     CASE(beyond_the_limit))
