// Writes outside a block: `hardened_overflow KIND SIZE ...`, under a hardened
// build. Each kind must die where it says so, or of a fence.

#include "check.h"
#include <pthread.h>

static size_t argument(int place) {
    CHECK(place < more_count);
    return strtoull(more[place], NULL, 0);
}

// Blocks on both sides of one in the middle, so that what is written outside
// goes to some that are in use and to some that are not.
static unsigned char *middle(size_t size) {
    enum { AROUND = 40 };
    unsigned char *blocks[2 * AROUND + 1];
    for (int i = 0; i < 2 * AROUND + 1; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i]);
        memset(blocks[i], 'x', size);
    }
    for (int i = 0; i < AROUND; i += 2)
        free(blocks[i]);
    // Not the first of its slab, which has no neighbour on that side.
    int place = (uintptr_t)blocks[AROUND] % (64 * KIB) ? AROUND : AROUND + 1;
    unsigned char *block = blocks[place];
    say("%p\n", (void *)block);
    HIDE(block);
    return block;
}

// Turns over bits, so that something changes whatever was there.
static void touch(unsigned char *from, size_t length) {
    for (size_t i = 0; i < length; i++)
        ((volatile unsigned char *)from)[i] ^= 'A';
}

// `SIZE DISTANCE LENGTH`: so far behind the block's last byte.
static void over(void) {
    size_t size = argument(0);
    unsigned char *block = middle(size);
    touch(block + size + argument(1), argument(2));
    free(block);
    FAIL("the overflow was not seen");
}

static void over_by_memcpy(void) {
    size_t size = argument(0);
    char source[4096];
    memset(source, 'A', sizeof source);
    unsigned char *block = middle(size);
    memcpy(block, source, size + argument(1));
    free(block);
    FAIL("the overflow was not seen");
}

static void over_by_strcpy(void) {
    size_t size = argument(0);
    char source[4096] = {0};
    memset(source, 'A', size + 1);
    unsigned char *block = middle(size);
    strcpy((char *)block, source);
    free(block);
    FAIL("the overflow was not seen");
}

static void over_and_realloc(void) {
    size_t size = argument(0);
    unsigned char *block = middle(size);
    touch(block + size, 1);
    HIDE(block);
    block = realloc(block, size * 3);
    FAIL("the overflow was not seen");
}

static void over_and_usable_size(void) {
    size_t (*usable)(void *) = (size_t(*)(void *))look_up("malloc_usable_size");
    size_t size = argument(0);
    unsigned char *block = middle(size);
    touch(block + size, 1);
    usable(block);
    FAIL("the overflow was not seen");
}

// The last byte of the block as it was before is not the programs any more.
static void over_after_shrinking(void) {
    size_t size = argument(0);
    unsigned char *block = middle(size);
    unsigned char *same = realloc(block, size - 1);
    if (same != block)
        SKIP("the block has moved");
    touch(block + size - 1, 1);
    free(block);
    FAIL("the overflow was not seen");
}

static void *free_it(void *block) {
    free(block);
    return NULL;
}

static void over_and_freed_elsewhere(void) {
    size_t size = argument(0);
    pthread_t thread;
    unsigned char *block = middle(size);
    touch(block + size, 1);
    CHECK(pthread_create(&thread, NULL, free_it, block) == 0);
    pthread_join(thread, NULL);
    FAIL("the overflow was not seen");
}

// What is behind one block, put behind another, is wrong there.
static void canary_of_another(void) {
    size_t size = argument(0);
    unsigned char *block = middle(size);
    unsigned char *other = malloc(size);
    CHECK(other);
    memcpy(block + size, other + size, 8);
    HIDE(block);
    free(block);
    FAIL("a canary served twice");
}

// `SIZE DISTANCE LENGTH`: so far before the block's first byte.
static void under(void) {
    unsigned char *block = middle(argument(0));
    size_t length = argument(2);
    touch(block - argument(1) - length, length);
    free(block);
    FAIL("the underflow was not seen");
}

// Byte after byte until something stops it: `SIZE`.
static void all_over(void) {
    unsigned char *block = middle(argument(0));
    memset(block, 'A', 8 * MIB);
    FAIL("nothing stopped it");
}

static void all_over_reading(void) {
    unsigned char *block = middle(argument(0));
    unsigned sum = 0;
    for (size_t i = 0; i < 8 * MIB; i++)
        sum += ((volatile unsigned char *)block)[i];
    FAIL("nothing stopped it: %u", sum);
}

static void all_under(void) {
    unsigned char *block = middle(argument(0));
    for (size_t i = 1; i < 8 * MIB; i++)
        ((volatile unsigned char *)block)[-i] = 'A';
    FAIL("nothing stopped it");
}

static void reading_nothing(void) {
    volatile char *block = malloc(0);
    CHECK(block);
    FAIL("there is something: %d", *block);
}

static void writing_nothing(void) {
    volatile char *block = malloc(0);
    CHECK(block);
    *block = 'A';
    FAIL("there is room");
}

static void writing_nothing_of_calloc(void) {
    volatile char *block = calloc(0, 100);
    CHECK(block);
    *block = 'A';
    FAIL("there is room");
}

static void executing(void) {
    unsigned char *block = malloc(argument(0));
    CHECK(block);
    // A return instruction.
#if defined(__x86_64__)
    block[0] = 0xc3;
#else
    memcpy(block, "\xc0\x03\x5f\xd6", 4);
#endif
    __builtin___clear_cache((char *)block, (char *)block + 4);
    HIDE(block);
    ((void (*)(void))(uintptr_t)block)();
    FAIL("blocks can be executed");
}

// A string's zero too many does no harm: the byte there is zero already.
static void a_zero_too_many(void) {
    for (size_t size = 1; size < 2000; size++) {
        char *block = malloc(size);
        CHECK(block);
        memset(block, 'A', size);
        HIDE(block);
        block[size] = 0;
        free(block);
    }
}

// Who reads on behind a string finds its end before the canary.
static void a_string_ends(void) {
    for (size_t size = 1; size < 2000; size++) {
        char *block = malloc(size);
        CHECK(block);
        memset(block, 'A', size);
        HIDE(block);
        CHECK(strlen(block) == size);
        free(block);
    }
}

MAIN(CASE(over), CASE(over_by_memcpy), CASE(over_by_strcpy),
     CASE(over_and_realloc), CASE(over_and_usable_size),
     CASE(over_after_shrinking), CASE(over_and_freed_elsewhere),
     CASE(canary_of_another), CASE(under), CASE(all_over),
     CASE(all_over_reading), CASE(all_under), CASE(reading_nothing),
     CASE(writing_nothing), CASE(writing_nothing_of_calloc), CASE(executing),
     CASE(a_zero_too_many), CASE(a_string_ends))
