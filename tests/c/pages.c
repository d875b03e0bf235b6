// OS pages longer than bifold's: `src/os/paging.rs`.

#include "policy.h"

// An operation in four is a free or a realloc, sizes are of all kinds, and
// now and then all that is free goes back.
static void at_random(void) {
    enum { BLOCKS = 1500, STEPS = 60000 };
    static struct { unsigned char *start; size_t size; } blocks[BLOCKS];
    uint64_t state = more_count ? strtoull(more[0], NULL, 0) : 4711;
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)(next_random(&state) % BLOCKS);
        size_t bits = next_random(&state) % (step % 50 ? 18 : 23);
        size_t size = next_random(&state) % ((size_t)2 << bits);
        unsigned char *start = blocks[i].start;
        size_t kept = blocks[i].size;
        if (start)
            CHECK_THAT(is_filled(start, kept, i), "%zu bytes", kept);
        if (start && step % 3) {
            free(start);
            start = NULL;
        } else if (start) {
            start = realloc(start, size ? size : 1);
            CHECK(start && is_filled(start, kept < size ? kept : size, i));
        } else if (step % 5 == 0) {
            size_t alignment = (size_t)16 << next_random(&state) % 17;
            start = aligned_alloc(alignment, size);
            CHECK(start && is_aligned(start, alignment));
        } else if (step % 5 == 1) {
            start = calloc(1, size);
            CHECK_THAT(start && is_zero(start, size), "%zu bytes", size);
        } else {
            start = malloc(size);
            CHECK(start);
        }
        if (start)
            fill(start, size, i);
        blocks[i].start = start;
        blocks[i].size = size;
        if (step % 5000 == 4999)
            malloc_trim(0);
    }
}

// A block that is alone in its OS page has all of that.
static void a_limit_counts_whole_pages(void) {
    need_bifold();
    size_t page = os_page(), most = (size_t)atoi(more[0]) * MIB / page, count = 0;
    for (char *block; (block = aligned_alloc(page, 100)); count++) {
        *block = 1;
        CHECK_THAT(count < most, "%zu pages of %zu KiB", count, page / KIB);
    }
    CHECK_THAT(count >= most / 2, "only %zu pages of %zu KiB", count, page / KIB);
}

// Runs begin within an OS page: those that are wholly theirs are resident.
static void pages_come_in_steps(void) {
    need_bifold();
    size_t page = os_page(), size = 120 * KIB, seen = 0;
    for (int i = 0; i < 200; i++) {
        uintptr_t block = (uintptr_t)malloc(size - (size_t)(i % 9) * 4 * KIB);
        CHECK(block);
        uintptr_t at = (block + page - 1) & -page;
        if (at + page > block + size - 32 * KIB)
            continue;
        seen++;
        for (uintptr_t part = at; part < at + page; part += BIFOLD_PAGE) {
            unsigned char answer = 0;
            CHECK(mincore((void *)part, 1, &answer) == 0 && (answer & 1));
        }
    }
    CHECK(seen > 50);
}

static size_t of_56(uint64_t *state) {
    (void)state;
    return 56;
}

// The kernel's are longer than what the program has.
static void no_huge_pages_unasked(void) {
    need_bifold();
    hold(64 * MIB, of_56);
    char *small = malloc(56);
    CHECK(small);
    CHECK(!has_flag(small, "hg"));
    for (int i = 0; i < 8; i++) {
        char *block = malloc(8 * MIB);
        CHECK(block);
        memset(block, 1, 8 * MIB);
        CHECK(!has_flag(block, "hg"));
        free(block);
    }
}

// What the simulation is for: it does not let such a thing pass. `DISTANCE
// LENGTH`, from the start of a mapping.
static void unmapping_what_is_not_whole_pages(void) {
    _Bool (*unmap)(uintptr_t, size_t) =
        (_Bool(*)(uintptr_t, size_t))look_up("bifold_unmap");
    if (!unmap)
        SKIP("needs bifold with simulated pages");
    CHECK(more_count == 2);
    size_t length = 2 * MIB, page = os_page();
    char *map = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    uintptr_t start = ((uintptr_t)map + page - 1) & -page;
    CHECK(unmap(start + strtoull(more[0], NULL, 0), strtoull(more[1], NULL, 0)));
    unsigned char answer;
    CHECK(mincore((void *)start, 1, &answer) != 0 && errno == ENOMEM);
}

MAIN(CASE(at_random), CASE(a_limit_counts_whole_pages), CASE(pages_come_in_steps),
     CASE(no_huge_pages_unasked), CASE(unmapping_what_is_not_whole_pages))
