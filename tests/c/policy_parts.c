// Large blocks that are made of parts of those that were freed.

#include "policy.h"

enum { PIECE = 4 * MIB, PIECES = 16, STEP = 4096 };

// In each page of a block, where it has room, what tells it from others.
static void mark(char *block, size_t size, uint64_t tag) {
    for (size_t at = 0; at + 8 <= size; at += STEP)
        memcpy(block + at, &(uint64_t){tag + at}, 8);
}

static void check_marked(const char *block, size_t size, uint64_t tag) {
    for (size_t at = 0; at + 8 <= size; at += STEP)
        CHECK_THAT(!memcmp(block + at, &(uint64_t){tag + at}, 8),
                   "%zu of %zu bytes at %p", at, size, (const void *)block);
}

static char *piece[PIECES];

static char *marked(size_t size, uint64_t tag) {
    char *block = malloc(size);
    CHECK(block);
    mark(block, size, tag);
    return block;
}

// Every other piece is free, and what lies between them lives. The first few that
// are freed are not kept.
static void free_every_other(void) {
    for (int i = 0; i < PIECES; i++)
        piece[i] = marked(PIECE, i);
    for (int i = 0; i < PIECES; i += 2)
        free(piece[i]);
}

static void check_others(void) {
    for (int i = 1; i < PIECES; i += 2)
        check_marked(piece[i], PIECE, i);
}

// No page is touched anew.
static void need_no_pages(void) {
    need_bifold();
    free_every_other();
    size_t size = 4 * PIECE + MIB;
    long before = faults();
    char *block = marked(size, 4711);
    long count = faults() - before;
    CHECK_THAT(count < (long)(size / STEP) / 8, "%ld page faults", count);
    check_marked(block, size, 4711);
    check_others();
    free(block);
    check_others();
}

// Of what is made of parts some are cut off, and it grows by a copy.
static void change_their_length(void) {
    free_every_other();
    size_t size = 4 * PIECE + MIB;
    char *block = marked(size, 4711);
    const size_t sizes[] = {3 * PIECE + 4096, PIECE + MIB, 5 * PIECE, 2 * PIECE,
                            7 * PIECE};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t both = size < sizes[i] ? size : sizes[i];
        block = realloc(block, sizes[i]);
        CHECK(block);
        check_marked(block, both, 4711);
        mark(block, sizes[i], 4711);
        size = sizes[i];
        check_others();
    }
    free(block);
}

static void count_header(struct lines *lines, char *line) {
    lines->sum += is_header(lines, line);
}

static size_t mappings(void) {
    struct lines lines = {0};
    for_each_line("/proc/self/maps", &lines, count_header);
    return lines.sum;
}

// Replaced and resized at random: nothing overlaps, and the kernel's mappings stay few.
static void stay_whole(void) {
    static struct {
        char *block;
        size_t size;
        uint64_t tag;
    } place[12];
    size_t start = mappings();
    uint64_t state = 4711;
    for (uint64_t step = 1; step <= 1500; step++) {
        uint64_t random = next_random(&state);
        int i = random % COUNT(place);
        size_t size = MIB + (random >> 8) % (6 * MIB);
        if (place[i].block)
            check_marked(place[i].block, place[i].size, place[i].tag);
        if (place[i].block && random >> 60 == 0) {
            size_t both = size < place[i].size ? size : place[i].size;
            place[i].block = realloc(place[i].block, size);
            CHECK(place[i].block);
            check_marked(place[i].block, both, place[i].tag);
            mark(place[i].block, size, place[i].tag);
        } else {
            free(place[i].block);
            place[i].tag = step << 32;
            place[i].block = marked(size, place[i].tag);
        }
        place[i].size = size;
    }
    // 16 parts a block, and as many of what is kept.
    size_t more = mappings() - start;
    CHECK_THAT(more < 12 * 16 + 32 * 16, "%zu more mappings", more);
    for (size_t i = 0; i < COUNT(place); i++) {
        check_marked(place[i].block, place[i].size, place[i].tag);
        free(place[i].block);
    }
}

// What the program has had the kernel treat in another way is not moved, and not lost.
static void locked_in_part(void) {
    free_every_other();
    for (int i = 1; i < PIECES; i += 2) {
        // Locking may be refused, which does as well.
        int refused = mlock(piece[i] + MIB, STEP);
        (void)refused;
        mark(piece[i], PIECE, i);
    }
    for (int i = 1; i < PIECES / 2; i += 2) {
        check_marked(piece[i], PIECE, i);
        free(piece[i]);
    }
    size_t size = 3 * PIECE + MIB;
    char *block = marked(size, 4711);
    char *other = marked(size, 4712);
    check_marked(block, size, 4711);
    check_marked(other, size, 4712);
    for (int i = PIECES / 2 + 1; i < PIECES; i += 2)
        check_marked(piece[i], PIECE, i);
}

MAIN(CASE(need_no_pages), CASE(change_their_length), CASE(stay_whole),
     CASE(locked_in_part))
