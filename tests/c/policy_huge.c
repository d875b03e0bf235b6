// Transparent huge pages, and pools of huge pages.

#include "policy.h"

static const char *mode_file = "/sys/kernel/mm/transparent_hugepage/enabled";

static void need_huge_pages(void) {
    char text[64] = "";
    int file = open(mode_file, O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof text - 1) <= 0 ||
        strstr(text, "[never]"))
        SKIP("the system has no transparent huge pages");
    close(file);
}

// The mode of the system is not to matter where bifold asks for none.
static int is_always(void) {
    char text[64] = "";
    int file = open(mode_file, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    return length > 0 && strstr(text, "[always]");
}

static size_t of_56(uint64_t *state) {
    (void)state;
    return 56;
}

// A block of the first span, one of a grown heap, and a mapping.
static char *probes[3];

static void take_probes(void) {
    need_bifold();
    need_huge_pages();
    probes[0] = malloc(50);
    hold(64 * MIB, of_56);
    probes[1] = malloc(56);
    probes[2] = malloc(8 * MIB);
    CHECK(probes[0] && probes[1] && probes[2]);
}

static void check_flags(const char *flag, int expected) {
    for (size_t i = 0; i < COUNT(probes); i++)
        CHECK_THAT(has_flag(probes[i], flag) == expected, "%s of probe %zu",
                   flag, i);
}

static void never(void) {
    take_probes();
    memset(probes[2], 1, 8 * MIB);
    check_flags("hg", 0);
    check_flags("nh", 1);
    CHECK_THAT(smaps_kib("AnonHugePages", probes[1]) == 0 &&
                   smaps_kib("AnonHugePages", probes[2]) == 0,
               "there are huge pages");
}

static void always(void) {
    // The heap's first 2 MiB are not among them.
    hold(4 * MIB, of_56);
    take_probes();
    check_flags("hg", 1);
    check_flags("nh", 0);
    CHECK(smaps_kib("AnonHugePages", probes[1]) > 0);
    memset(probes[2], 1, 8 * MIB);
    CHECK(smaps_kib("AnonHugePages", probes[2]) > 0);
}

static void as_the_system_says(void) {
    take_probes();
    check_flags("hg", 0);
    check_flags("nh", 0);
    if (!is_always())
        CHECK(smaps_kib("AnonHugePages", probes[1]) == 0);
}

static void adaptive_small_heap(void) {
    need_bifold();
    need_huge_pages();
    hold(12 * MIB, of_56);
    char *block = malloc(56);
    CHECK(!has_flag(block, "hg") && has_flag(block, "nh"));
    CHECK(smaps_kib("AnonHugePages", block) == 0);
}

static void adaptive_large_heap(void) {
    need_bifold();
    need_huge_pages();
    hold(200 * MIB, of_56);
    char *block = malloc(56);
    CHECK(has_flag(block, "hg"));
    size_t huge = smaps_kib("AnonHugePages", NULL);
    CHECK_THAT(huge > 100 * KIB, "%zu KiB in huge pages", huge);
}

// Takes blocks of some length, of which this much is touched; returns the last.
static char *hold_touched(size_t bytes, size_t length, size_t touched) {
    char *block = NULL;
    for (size_t sum = 0; sum < bytes; sum += length) {
        block = malloc(length);
        CHECK(block);
        memset(block, 1, touched);
    }
    return block;
}

// Two pages of each are touched, which is no reason for two MiB.
static void adaptive_sparse_runs(void) {
    need_bifold();
    need_huge_pages();
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
    size_t before = resident_kib();
    char *block = hold_touched(200 * MIB, 200 * KIB, 8 * KIB);
    CHECK(!has_flag(block, "hg"));
    size_t more_kib = resident_kib() - before;
    CHECK_THAT(more_kib < 16 * KIB, "%zu KiB", more_kib);
}

static size_t of_20000(uint64_t *state) {
    (void)state;
    return 20000;
}

// Long blocks, too, if they are filled; but some units tell whether the next ones are.
static void adaptive_filled_blocks(void) {
    need_bifold();
    need_huge_pages();
    hold(200 * MIB, of_20000);
    size_t huge = smaps_kib("AnonHugePages", NULL);
    CHECK_THAT(huge > 100 * KIB, "%zu KiB in huge pages", huge);
    size_t all = resident_kib();
    CHECK_THAT(huge + 16 * KIB < all, "%zu of %zu KiB", huge, all);
}

// A program that has filled its blocks does so no more: after 32 MiB, and what it has
// grown by at the time, it gets pages again.
static void adaptive_sparse_later(void) {
    need_bifold();
    need_huge_pages();
    hold(64 * MIB, of_20000);
    size_t before = resident_kib();
    char *block = hold_touched(400 * MIB, 60000, 1);
    CHECK(!has_flag(block, "hg"));
    size_t more_kib = resident_kib() - before;
    CHECK_THAT(more_kib < 64 * KIB, "%zu KiB", more_kib);
}

// Huge pages would add a third.
static void adaptive_partly_filled(void) {
    need_bifold();
    need_huge_pages();
    CHECK(!has_flag(hold_touched(64 * MIB, 60000, 45000), "hg"));
}

static void adaptive_partly_filled_later(void) {
    need_bifold();
    need_huge_pages();
    hold(64 * MIB, of_20000);
    hold_touched(300 * MIB, 60000, 45000);
    size_t huge = smaps_kib("AnonHugePages", NULL);
    CHECK(!has_flag(hold_touched(300 * MIB, 60000, 45000), "hg"));
    size_t later = smaps_kib("AnonHugePages", NULL);
    CHECK_THAT(later == huge, "%zu KiB, and then %zu", huge, later);
}

// What trim takes out of a huge page stays out, as the kernel gets no more of them there.
static void adaptive_split_by_trim(void) {
    need_bifold();
    need_huge_pages();
    static char *blocks[8000];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = malloc(20000);
        CHECK(blocks[i]);
        memset(blocks[i], 1, 20000);
    }
    size_t full = resident_kib(), split = 0;
    CHECK(smaps_kib("AnonHugePages", NULL) > 50 * KIB);
    for (size_t i = 0; i < COUNT(blocks); i++)
        if (i % 16)
            free(blocks[i]);
    CHECK(malloc_trim(0) == 1);
    size_t left = resident_kib();
    CHECK_THAT(left < full / 2, "%zu KiB of %zu left", left, full);
    for (size_t i = 0; i < COUNT(blocks); i += 160)
        split += has_flag(blocks[i], "nh");
    CHECK_THAT(split == COUNT(blocks) / 160, "%zu blocks in pages", split);
}

// thp_from=1M.
static void adaptive_from_1_mib(void) {
    need_bifold();
    need_huge_pages();
    hold(12 * MIB, of_56);
    CHECK(has_flag(malloc(56), "hg"));
    CHECK(smaps_kib("AnonHugePages", NULL) >= 4 * KIB);
}

// Whether a block lies in pages of so many KiB.
static int is_in_pages_of(const void *block, size_t kib) {
    return smaps_kib("KernelPageSize", block) == kib;
}

// The kernel calls a page of 1 GiB shared, whoever has it.
static size_t hugetlb_kib(void) {
    return smaps_kib("Private_Hugetlb", NULL) +
           smaps_kib("Shared_Hugetlb", NULL);
}

// The argument is the size of the pages in KiB, of which there are 64 MiB or
// more.
static void pool_is_used_first(void) {
    need_bifold();
    CHECK(more_count == 1);
    size_t kib = strtoull(more[0], NULL, 10);
    static const size_t sizes[] = {5000, 20000, 60000, 100 * KIB};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        // A first span of ordinary pages is there in any case.
        hold(2 * MIB, of_56);
        char *block = malloc(sizes[i]);
        CHECK(block);
        fill(block, sizes[i], (unsigned)i);
        CHECK(is_filled(block, sizes[i], (unsigned)i));
    }
    CHECK(is_in_pages_of(malloc(56), kib));
    CHECK(is_in_pages_of(malloc(100 * KIB), kib));
    CHECK(hugetlb_kib() >= kib);
}

static void calloc_is_zero_in_a_pool(void) {
    need_bifold();
    CHECK(more_count == 1);
    size_t kib = strtoull(more[0], NULL, 10);
    for (int round = 0; round < 3; round++) {
        let_go(hold(30 * MIB, mixed_sizes));
        malloc_trim(0);
        struct held *first = NULL;
        uint64_t state = 815;
        for (size_t sum = 0; sum < 30 * MIB;) {
            size_t size = mixed_sizes(&state);
            struct held *block = calloc(1, size);
            CHECK(block && is_zero(block, size));
            memset(block, 0xff, size);
            *block = (struct held){first, size};
            first = block;
            sum += size;
        }
        CHECK(hugetlb_kib() >= kib);
        let_go(first);
    }
}

// More than the pool has: the rest is ordinary memory.
static void goes_on_beyond_the_pool(void) {
    need_bifold();
    struct held *first = hold(200 * MIB, mixed_sizes);
    let_go(first);
}

MAIN(CASE(never), CASE(always), CASE(as_the_system_says),
     CASE(adaptive_small_heap), CASE(adaptive_large_heap),
     CASE(adaptive_sparse_runs), CASE(adaptive_filled_blocks),
     CASE(adaptive_sparse_later), CASE(adaptive_partly_filled),
     CASE(adaptive_partly_filled_later), CASE(adaptive_split_by_trim),
     CASE(adaptive_from_1_mib),
     CASE(pool_is_used_first), CASE(calloc_is_zero_in_a_pool),
     CASE(goes_on_beyond_the_pool))
