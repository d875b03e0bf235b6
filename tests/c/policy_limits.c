// The limits of one's own: how much can be had, and that it can be had again.

#include "policy.h"

#include <pthread.h>

// The limit in force, as the test has set it, in MiB; behind it, how many percent
// of it must be had, if that is not 90.
static size_t limit(void) {
    need_bifold();
    CHECK(more_count >= 1);
    return strtoull(more[0], NULL, 10) * MIB;
}

// Blocks of a size until there is no more; the sum.
static size_t exhaust(struct held **first, size_t size) {
    size_t sum = 0;
    for (;;) {
        errno = 0;
        struct held *block = malloc(size);
        if (!block) {
            CHECK_THAT(errno == ENOMEM, "errno %d", errno);
            return sum;
        }
        memset(block, 0x77, size);
        *block = (struct held){*first, size};
        *first = block;
        sum += size;
        CHECK_THAT(sum < 2 * GIB, "no limit is felt");
    }
}

static void check_resident(size_t most) {
    size_t resident = resident_kib();
    CHECK_THAT(resident <= (most + 4 * MIB) / KIB, "%zu KiB resident", resident);
}

static void fill_and_fill_again(size_t size) {
    size_t most = limit();
    struct held *first = NULL;
    size_t sum = exhaust(&first, size);
    size_t percent = more_count >= 2 ? strtoull(more[1], NULL, 10) : 90;
    CHECK_THAT(sum >= most / 100 * percent && sum <= most,
               "%zu KiB of blocks of %zu", sum / KIB, size);
    check_resident(most);
    for (int round = 0; round < 2; round++) {
        let_go(first);
        first = NULL;
        size_t again = exhaust(&first, size);
        CHECK_THAT(again >= sum - sum / 50, "%zu KiB of blocks of %zu, then %zu",
                   sum / KIB, size, again / KIB);
        check_resident(most);
    }
    let_go(first);
}

static void blocks_of_16(void) {
    fill_and_fill_again(16);
}
static void blocks_of_500(void) {
    fill_and_fill_again(500);
}
static void blocks_of_5000(void) {
    fill_and_fill_again(5000);
}
static void blocks_of_100k(void) {
    fill_and_fill_again(100 * 1000);
}
static void blocks_of_3m(void) {
    fill_and_fill_again(3 * 1000 * 1000);
}

// What was one size becomes another's.
static void one_size_after_another(void) {
    size_t most = limit();
    static const size_t sizes[] = {16, 3000000, 500, 100000, 5000, 16};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct held *first = NULL;
        size_t sum = exhaust(&first, sizes[i]);
        CHECK_THAT(sum >= most / 10 * 9 && sum <= most,
                   "%zu KiB of blocks of %zu", sum / KIB, sizes[i]);
        check_resident(most);
        let_go(first);
    }
}

static void realloc_at_the_limit(void) {
    size_t most = limit();
    char *block = malloc(most / 2);
    CHECK(block);
    fill(block, most / 2, 1);
    errno = 0;
    CHECK(!realloc(block, most + MIB) && errno == ENOMEM);
    errno = 0;
    CHECK(!calloc(most + MIB, 1) && errno == ENOMEM);
    CHECK(is_filled(block, most / 2, 1));
    block = realloc(block, most / 4 * 3);
    CHECK(block && is_filled(block, most / 2, 1));
    free(block);
    check_resident(most);
}

// A block that is two mappings to the kernel: mremap(2) refuses to lengthen it.
static char *two_mappings(size_t size) {
    char *block = malloc(size);
    CHECK(block);
    fill(block, size, 1);
    CHECK(madvise(block + size / 2, size / 2, MADV_DONTDUMP) == 0);
    return block;
}

// What is refused is charged for no longer, and what there was still is.
static void two_mappings_at_the_limit(void) {
    size_t most = limit();
    for (int round = 0; round < 20; round++) {
        // The block and its copy are within the limit.
        char *block = realloc(two_mappings(most / 8 * 3), most / 16 * 9);
        CHECK_THAT(block && is_filled(block, most / 8 * 3, 1), "round %d", round);
        free(block);
        malloc_trim(0);
        // What is kept of some is no block twice as long.
        for (int i = 0; i < 4; i++)
            free(two_mappings(most / 4));
        block = malloc(most / 16 * 7);
        CHECK_THAT(block, "round %d", round);
        fill(block, most / 16 * 7, 2);
        free(block);
        malloc_trim(0);
    }
    struct held *first = NULL;
    size_t sum = exhaust(&first, 3 * MIB);
    CHECK_THAT(sum >= most / 100 * 90, "%zu KiB of the limit", sum / KIB);
    let_go(first);
    check_resident(most);
}

// What is mapped for the sake of an alignment is given back, and not charged.
static void aligned_at_the_limit(void) {
    size_t most = limit();
    for (size_t alignment = MIB; alignment <= GIB; alignment *= 4) {
        char *block = aligned_alloc(alignment, most / 4 * 3);
        CHECK_THAT(block && is_aligned(block, alignment), "%zu", alignment);
        free(block);
        errno = 0;
        CHECK(!aligned_alloc(alignment, most + 1) && errno == ENOMEM);
    }
}

static void *exhaust_in_thread(void *unused) {
    for (int round = 0; round < 3; round++) {
        struct held *first = NULL;
        exhaust(&first, 700);
        let_go(first);
    }
    return unused;
}

static void threads_at_the_limit(void) {
    size_t most = limit();
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, exhaust_in_thread, NULL) == 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    check_resident(most);
    struct held *first = NULL;
    size_t sum = exhaust(&first, 700);
    CHECK_THAT(sum >= most / 10 * 9, "%zu KiB after the threads", sum / KIB);
    check_resident(most);
}

static size_t of_100k(uint64_t *state) {
    (void)state;
    return 100 * KIB;
}

// Half of 100 MiB is free, in pieces that are too short for what is taken then:
// what is resident before that, and after.
static void free_memory_goes_first(void) {
    need_bifold();
    struct held *next = hold(100 * MIB, of_100k), *kept = NULL;
    for (int i = 0; next; i++) {
        struct held *block = next;
        next = block->next;
        if (i % 2) {
            free(block);
        } else {
            block->next = kept;
            kept = block;
        }
    }
    size_t freed = resident_kib();
    for (int i = 0; i < 20; i++) {
        void *block = malloc(1900 * KIB);
        CHECK(block);
        memset(block, 1, 1900 * KIB);
    }
    say("%zu %zu\n", freed, resident_kib());
}

// Of a share of the memory that the process may have.
static void share_of_the_cgroup(void) {
    size_t most = limit();
    struct held *first = NULL;
    for (int round = 0; round < 3; round++) {
        size_t sum = exhaust(&first, 1000);
        CHECK_THAT(sum >= most / 10 * 9 && sum <= most, "%zu KiB", sum / KIB);
        let_go(first);
        first = NULL;
    }
}

MAIN(CASE(blocks_of_16), CASE(blocks_of_500), CASE(blocks_of_5000),
     CASE(blocks_of_100k), CASE(blocks_of_3m), CASE(one_size_after_another),
     CASE(realloc_at_the_limit), CASE(two_mappings_at_the_limit),
     CASE(aligned_at_the_limit), CASE(threads_at_the_limit),
     CASE(free_memory_goes_first), CASE(share_of_the_cgroup))
