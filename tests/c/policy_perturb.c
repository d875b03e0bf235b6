// perturb: fresh blocks are filled with the complement, freed ones with the byte.
// mallopt(3), M_PERTURB.

#include "policy.h"

static const size_t sizes[] = {24,    40,    100,       1000,      5000,
                               20000, 60000, 100 * KIB, 300 * KIB, 3 * MIB};

static int is_all(const void *block, size_t from, size_t to, int byte) {
    const volatile unsigned char *bytes = block;
    for (size_t i = from; i < to; i++)
        if (bytes[i] != (unsigned char)byte)
            return 0;
    return 1;
}

// glibc leaves alone what its thread caches have, and what is a mapping of its
// own.
static int is_left_alone(size_t size) {
    return !on_bifold() && (size < 2000 || size >= 100 * KIB);
}

static void fresh_ones(int byte) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t size = sizes[i];
        unsigned char *block = malloc(size);
        CHECK(block);
        if (!is_left_alone(size))
            CHECK_THAT(is_all(block, 0, size, ~byte), "malloc(%zu)", size);
        memset(block, 0x11, size);
        free(block);
        unsigned char *zeros = calloc(1, size);
        CHECK(zeros);
        CHECK_THAT(is_zero(zeros, size), "calloc(1, %zu)", size);
        free(zeros);
    }
}

// Blocks whose memory stays readable, behind what is kept in a free one.
static void freed_ones(int byte) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t size = sizes[i];
        if (size < 64 || size > 60000 || is_left_alone(size))
            continue;
        unsigned char *blocks[8];
        for (size_t k = 0; k < COUNT(blocks); k++)
            CHECK(blocks[k] = malloc(size));
        memset(blocks[4], 0x11, size);
        free(blocks[4]);
        CHECK_THAT(is_all(blocks[4], 48, size - 16, byte), "free of %zu", size);
        for (size_t k = 0; k < COUNT(blocks); k++)
            if (k != 4)
                free(blocks[k]);
    }
}

static void look(int byte) {
    fresh_ones(byte);
    freed_ones(byte);
    fresh_ones(byte);
}

static void by_the_environment(void) {
    CHECK(more_count == 1);
    look(atoi(more[0]));
}

static void by_mallopt(void) {
    free(malloc(100));
    CHECK(mallopt(M_PERTURB, 0x5a) == 1);
    look(0x5a);
}

static void realloc_keeps_what_is_there(void) {
    for (size_t i = 0; i + 1 < COUNT(sizes); i++) {
        char *block = malloc(sizes[i]);
        CHECK(block);
        fill(block, sizes[i], 3);
        block = realloc(block, sizes[i + 1]);
        CHECK(block && is_filled(block, sizes[i], 3));
        block = realloc(block, sizes[i]);
        CHECK(block && is_filled(block, sizes[i], 3));
        free(block);
    }
}

MAIN(CASE(by_the_environment), CASE(by_mallopt),
     CASE(realloc_keeps_what_is_there))
