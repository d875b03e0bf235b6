// mallopt(3) and the variables that glibc reads: the same values, the same
// answers, the same effects. The cases hold on glibc, too.

#include "policy.h"

// glibc maps only what has no room at the end of its heap.
static void use_up_top(void) {
    while (!on_bifold() && mallinfo2().keepcost > 40 * KIB)
        CHECK(malloc(30 * KIB));
}

// Whether a block of this size is a mapping of its own; it is freed again.
static int is_mapped(size_t size) {
    use_up_top();
    size_t before = mallinfo2().hblks;
    void *block = malloc(size);
    CHECK(block);
    size_t blocks = mallinfo2().hblks - before;
    CHECK(blocks <= 1);
    size_t usable = malloc_usable_size(block);
    CHECK(usable >= size);
    if (blocks) {
        // glibc keeps two words of it for itself.
        size_t own = on_bifold() ? 0 : 2 * sizeof(size_t);
        CHECK_THAT((usable + own) % os_page() == 0, "%zu usable", usable);
        CHECK(usable + own < size + own + os_page());
    }
    free(block);
    return blocks == 1;
}

static void answers(void) {
    // Of a threshold above HEAP_MAX_SIZE / 2, glibc before 2.35 says 0.
    int high = on_bifold() ? 1 : mallopt(M_MMAP_THRESHOLD, -1);
    const struct {
        int parameter, value, answer;
    } known[] = {
        {M_MMAP_THRESHOLD, 0, 1},         {M_MMAP_THRESHOLD, 65536, 1},
        {M_MMAP_THRESHOLD, 32 << 20, 1},  {M_MMAP_THRESHOLD, 33 << 20, high},
        {M_MMAP_THRESHOLD, -1, high},     {M_MMAP_MAX, 0, 1},
        {M_MMAP_MAX, 65536, 1},           {M_MMAP_MAX, -1, 1},
        {M_TOP_PAD, 0, 1},                {M_TOP_PAD, 1 << 20, 1},
        {M_TOP_PAD, -1, 1},               {M_TRIM_THRESHOLD, 0, 1},
        {M_TRIM_THRESHOLD, 1 << 20, 1},   {M_TRIM_THRESHOLD, -1, 1},
        {M_PERTURB, 0x5a, 1},             {M_PERTURB, 0, 1},
        {M_ARENA_MAX, 4, 1},              {M_ARENA_MAX, 0, 1},
        {M_ARENA_MAX, -3, 1},             {M_ARENA_TEST, 2, 1},
        {M_ARENA_TEST, 0, 1},             {M_MXFAST, 0, 1},
        {M_MXFAST, 160, 1},               {M_MXFAST, 161, 0},
        {M_MXFAST, -1, 0},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        int answer = mallopt(known[i].parameter, known[i].value);
        CHECK_THAT(answer == known[i].answer, "mallopt(%d, %d) is %d",
                   known[i].parameter, known[i].value, answer);
    }
    // What was set last is one more way to allocate.
    void *block = malloc(100);
    CHECK(block);
    free(block);
}

static void threshold_is_64k(void) {
    CHECK(!is_mapped(60 * KIB));
    CHECK(is_mapped(70 * KIB));
    CHECK(is_mapped(100 * KIB));
    // It does not adapt any more.
    CHECK(is_mapped(100 * KIB));
}

static void threshold_by_mallopt(void) {
    CHECK(mallopt(M_MMAP_THRESHOLD, 64 << 10) == 1);
    threshold_is_64k();
}

static void threshold_adapts(void) {
    CHECK(!is_mapped(100 * KIB));
    CHECK(is_mapped(300 * KIB));
    // That has freed one of 300 KiB.
    CHECK(!is_mapped(290 * KIB));
    CHECK(is_mapped(400 * KIB));
    CHECK(!is_mapped(400 * KIB));
}

static void threshold_adapts_up_to_512k(void) {
    need_bifold();
    for (int i = 0; i < 3; i++) {
        CHECK(is_mapped(600 * KIB));
        CHECK(is_mapped(3 * MIB));
    }
    CHECK(is_mapped(512 * KIB));
    CHECK(!is_mapped(512 * KIB));
    CHECK(is_mapped(512 * KIB + 1));
}

static void does_not_adapt(void) {
    for (int i = 0; i < 3; i++)
        CHECK(is_mapped(300 * KIB));
}

static void set_parameters_end_the_adapting(void) {
    static const int parameters[] = {M_MMAP_THRESHOLD, M_MMAP_MAX, M_TOP_PAD,
                                     M_TRIM_THRESHOLD};
    static const int values[] = {128 << 10, 65536, 128 << 10, 128 << 10};
    CHECK(more_count == 1);
    size_t which = (size_t)atoi(more[0]);
    CHECK(which < COUNT(parameters));
    CHECK(mallopt(parameters[which], values[which]) == 1);
    does_not_adapt();
}

static void three_mappings_at_most(void) {
    void *blocks[6];
    size_t before = mallinfo2().hblks;
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = malloc(300 * KIB);
        CHECK(blocks[i]);
        fill(blocks[i], 300 * KIB, (unsigned)i);
    }
    size_t blocks_mapped = mallinfo2().hblks - before;
    CHECK_THAT(blocks_mapped == 3, "%zu mappings", blocks_mapped);
    for (size_t i = 0; i < COUNT(blocks); i++) {
        CHECK(is_filled(blocks[i], 300 * KIB, (unsigned)i));
        free(blocks[i]);
    }
    CHECK(is_mapped(300 * KIB));
}

static void mappings_by_mallopt(void) {
    CHECK(mallopt(M_MMAP_MAX, 3) == 1);
    three_mappings_at_most();
    CHECK(mallopt(M_MMAP_MAX, 0) == 1);
    CHECK(!is_mapped(300 * KIB));
    CHECK(!is_mapped(MIB));
}

// What can't be a run is a mapping all the same.
static void longest_are_mapped_without_mappings(void) {
    need_bifold();
    CHECK(mallopt(M_MMAP_MAX, 0) == 1);
    CHECK(!is_mapped(2 * MIB));
    CHECK(is_mapped(2 * MIB + 1));
}

static void grows_by_16m(void) {
    // With a first block bifold's heap has its first span.
    free(malloc(1));
    size_t arena = mallinfo2().arena;
    int steps = 0;
    for (size_t sum = 0; sum < 40 * MIB; sum += 1000) {
        void *block = malloc(1000);
        CHECK(block);
        memset(block, 1, 1000);
        if (sum / 1000 % 16)
            continue;
        size_t now = mallinfo2().arena;
        if (now != arena) {
            CHECK_THAT(now >= arena + 16 * MIB, "from %zu to %zu KiB",
                       arena / KIB, now / KIB);
            arena = now;
            steps++;
        }
    }
    CHECK_THAT(steps >= 1 && steps <= 3, "%d steps", steps);
}

static void growth_by_mallopt(void) {
    CHECK(mallopt(M_TOP_PAD, 16 << 20) == 1);
    grows_by_16m();
}

static void nothing_goes_back_but_by_trim(void) {
    size_t start = resident_kib();
    let_go(hold(60 * MIB, mixed_sizes));
    for (int i = 0; i < 40; i++) {
        pause_ms(10);
        free(malloc(100));
    }
    size_t freed = resident_kib();
    CHECK_THAT(freed >= start + 50 * KIB, "%zu KiB at the start, %zu then",
               start, freed);
    CHECK(malloc_trim(0) == 1);
    size_t trimmed = resident_kib();
    CHECK_THAT(trimmed <= start + 4 * KIB, "%zu KiB at the start, %zu then",
               start, trimmed);
}

static void no_trim_by_mallopt(void) {
    CHECK(mallopt(M_TRIM_THRESHOLD, -1) == 1);
    nothing_goes_back_but_by_trim();
}

MAIN(CASE(answers), CASE(threshold_is_64k), CASE(threshold_by_mallopt),
     CASE(threshold_adapts), CASE(threshold_adapts_up_to_512k),
     CASE(does_not_adapt), CASE(set_parameters_end_the_adapting),
     CASE(three_mappings_at_most), CASE(mappings_by_mallopt),
     CASE(longest_are_mapped_without_mappings), CASE(grows_by_16m),
     CASE(growth_by_mallopt), CASE(nothing_goes_back_but_by_trim),
     CASE(no_trim_by_mallopt))
