// What is done with a block after it was freed: `hardened_freed KIND SIZE`,
// under a hardened build.

#include "check.h"
#include <pthread.h>

enum { MANY = 4000 };

static size_t argument(int place) {
    CHECK(place < more_count);
    return strtoull(more[place], NULL, 0);
}

static unsigned char *new_block(size_t size) {
    unsigned char *block = malloc(size);
    CHECK(block);
    memset(block, 'x', size);
    HIDE(block);
    return block;
}

// Blocks enough for each that was freed to come again.
static void *take_many(size_t size) {
    for (int i = 0; i < MANY; i++)
        CHECK(malloc(size));
    return NULL;
}

// Frees enough for each block that waits to be let go.
static void free_many(size_t size) {
    static void *blocks[MANY];
    for (int i = 0; i < MANY; i++)
        blocks[i] = new_block(size);
    for (int i = 0; i < MANY; i++)
        free(blocks[i]);
}

static unsigned char *freed_block(void) {
    size_t size = argument(0);
    unsigned char *block = new_block(size);
    say("%p\n", (void *)block);
    free(block);
    HIDE(block);
    return block;
}

// `SIZE PLACE`: one byte of it.
static void written(void) {
    volatile unsigned char *block = freed_block();
    block[argument(1)] ^= 'A';
    free_many(argument(0));
    take_many(argument(0));
    FAIL("the write was not seen");
}

// As an attack on the links of a list would: the first words.
static void links_written(void) {
    unsigned char *block = freed_block();
    memset(block, 0x41, 16);
    free_many(argument(0));
    take_many(argument(0));
    FAIL("the write was not seen");
}

static void written_after_a_remote_free(void) {
    size_t size = argument(0);
    unsigned char *block = new_block(size);
    pthread_t thread;
    say("%p\n", (void *)block);
    CHECK(pthread_create(&thread, NULL, (void *(*)(void *))free, block) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    HIDE(block);
    block[size / 2] ^= 'A';
    free_many(size);
    take_many(size);
    FAIL("the write was not seen");
}

// Of one whose memory is not there any more: a fault.
static void unmapped_written(void) {
    volatile unsigned char *block = freed_block();
    block[0] = 'A';
    FAIL("the write was not seen");
}

static void unmapped_read(void) {
    volatile unsigned char *block = freed_block();
    FAIL("there is something: %d", block[0]);
}

// Nothing of what was in it is left.
static void is_zero_afterwards(void) {
    const size_t sizes[] = {1, 24, 25, 100, 1000, 4000, 8000, 20000, 60000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned char *block = new_block(sizes[i]);
        free(block);
        CHECK_THAT(is_zero(block, sizes[i]), "of %zu", sizes[i]);
    }
}

// Nor in what is handed out.
static void is_zero_at_first(void) {
    const size_t sizes[] = {24, 100, 1000, 8000, 60000, 100000, 300000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (int round = 0; round < 300; round++) {
            unsigned char *block = malloc(sizes[i]);
            CHECK(block);
            CHECK_THAT(is_zero(block, sizes[i]), "of %zu", sizes[i]);
            memset(block, 'x', sizes[i]);
            free(block);
        }
    }
}

// What realloc leaves is gone, too.
static void is_zero_after_realloc(void) {
    unsigned char *block = new_block(1000);
    unsigned char *moved = realloc(block, 5000);
    CHECK(moved);
    HIDE(block);
    CHECK(moved == block || is_zero(block, 1000));
    unsigned char *shorter = realloc(moved, 3000);
    CHECK(shorter == moved);
    CHECK((shorter = realloc(shorter, 5000)) == moved);
    CHECK(is_zero(shorter + 3000, 2000));
    free(shorter);
}

// Not at once, and not for many frees.
static void comes_late(void) {
    const size_t sizes[] = {16, 100, 1000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (int round = 0; round < 100; round++) {
            void *first = malloc(sizes[i]);
            CHECK(first);
            free(first);
            for (int frees = 0; frees < 100; frees++) {
                void *block = malloc(sizes[i]);
                CHECK_THAT(block != first, "after %d frees", frees);
                free(block);
            }
        }
    }
}

static void long_ones_come_late(void) {
    for (int round = 0; round < 100; round++) {
        void *first = malloc(10000);
        CHECK(first);
        free(first);
        for (int frees = 0; frees < 14; frees++) {
            void *block = malloc(10000);
            CHECK_THAT(block != first, "after %d frees", frees);
            free(block);
        }
    }
}

static void mappings_come_late(void) {
    for (int round = 0; round < 20; round++) {
        void *first = malloc(MIB);
        CHECK(first);
        free(first);
        for (int frees = 0; frees < 30; frees++) {
            void *block = malloc(MIB);
            CHECK_THAT(block != first, "after %d frees", frees);
            free(block);
        }
    }
}

// A pair that lies together as often as by chance, up to a factor.
static void order_is_by_chance(void) {
    const size_t sizes[] = {16, 100, 500};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        int together = 0;
        char *before = malloc(sizes[i]);
        for (int n = 0; n < 2000; n++) {
            char *block = malloc(sizes[i]);
            CHECK(block);
            ptrdiff_t distance = block - before;
            together += distance > 0 && distance < (ptrdiff_t)sizes[i] * 2 + 32;
            before = block;
        }
        CHECK_THAT(together < 500, "%d of 2000 of %zu", together, sizes[i]);
    }
}

// Processes differ; the test compares what is said.
static void say_the_order(void) {
    char *first = malloc(100);
    for (int n = 0; n < 16; n++)
        say("%td ", (char *)malloc(100) - first);
}

// In a child other blocks come than in the parent.
static void a_child_goes_its_own_way(void) {
    int ends[2];
    void *here[64], *there[64];
    free(malloc(100));
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    // Sixty-four decisions are in a buffer at most.
    for (int i = 0; i < 200; i++)
        CHECK(malloc(100));
    for (int i = 0; i < 64; i++)
        CHECK(here[i] = malloc(100));
    if (child == 0) {
        CHECK(write(ends[1], here, sizeof here) == sizeof here);
        _exit(0);
    }
    CHECK(read(ends[0], there, sizeof there) == sizeof there);
    CHECK(memcmp(here, there, sizeof here));
}

MAIN(CASE(written), CASE(links_written), CASE(written_after_a_remote_free),
     CASE(unmapped_written), CASE(unmapped_read), CASE(is_zero_afterwards),
     CASE(is_zero_at_first), CASE(is_zero_after_realloc), CASE(comes_late),
     CASE(long_ones_come_late), CASE(mappings_come_late),
     CASE(order_is_by_chance), CASE(say_the_order),
     CASE(a_child_goes_its_own_way))
