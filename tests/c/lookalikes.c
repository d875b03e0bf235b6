// Blocks whose contents look like those of a free block. The checks of free
// read what the program has written: none of this may be fatal.

#include "ledger.h"
#include <malloc.h>
#include <pthread.h>

static const size_t sizes[] = {16, 24, 48, 100, 500, 1024, 2000, 9000, 32000};

enum { BLOCKS = 400, WORDS = 4 };

static void *blocks[BLOCKS];

// What a free block of this size has in its first words.
static void copy_of_a_free_block(size_t size, uintptr_t *copy, size_t words) {
    void *others[3];
    for (unsigned i = 0; i < 3; i++)
        others[i] = malloc(size);
    for (unsigned i = 0; i < 3; i++)
        free(others[i]);
    uintptr_t *freed = others[1];
    HIDE(freed);
    for (size_t i = 0; i < words; i++)
        copy[i] = freed[i];
}

static void imitate(size_t size, const uintptr_t *words, size_t count) {
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i]);
        ledger_enter(blocks[i], size);
        for (size_t word = 0; word < size / sizeof(uintptr_t); word++)
            ((uintptr_t *)blocks[i])[word] = words[word % count];
        HIDE(blocks[i]);
    }
}

static void release(unsigned i, size_t size) {
    ledger_strike(blocks[i], size);
    free(blocks[i]);
}

static void in_every_order(size_t size, const uintptr_t *words, size_t count) {
    imitate(size, words, count);
    for (unsigned i = 0; i < BLOCKS; i++)
        release(i, size);
    imitate(size, words, count);
    for (unsigned i = BLOCKS; i-- > 0;)
        release(i, size);
    imitate(size, words, count);
    for (unsigned i = 0; i < BLOCKS; i += 2)
        release(i, size);
    for (unsigned i = 1; i < BLOCKS; i += 2)
        release(i, size);
}

static void all_words_of_a_free_block(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t words = sizes[i] / sizeof(uintptr_t);
        uintptr_t copy[WORDS];
        if (words > WORDS)
            words = WORDS;
        copy_of_a_free_block(sizes[i], copy, words);
        in_every_order(sizes[i], copy, words);
    }
}

static void one_word_everywhere(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        uintptr_t copy[2];
        copy_of_a_free_block(sizes[i], copy, 2);
        in_every_order(sizes[i], &copy[0], 1);
        in_every_order(sizes[i], &copy[1], 1);
    }
}

// A list that the program keeps in its own blocks looks like a free list.
static void the_programs_own_list(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        uintptr_t copy[2];
        copy_of_a_free_block(sizes[i], copy, 2);
        for (int round = 0; round < 3; round++) {
            imitate(sizes[i], &copy[1], 1);
            for (unsigned k = 0; k < BLOCKS; k++)
                *(void **)blocks[k] = round == 0   ? blocks[(k + 1) % BLOCKS]
                                      : round == 1 ? blocks[k]
                                                   : NULL;
            for (unsigned k = 0; k < BLOCKS; k++)
                release((k * 7) % BLOCKS, sizes[i]);
        }
    }
}

static size_t size_of_thread;

static void *release_all(void *unused) {
    for (unsigned i = 0; i < BLOCKS; i++)
        release(i, size_of_thread);
    return unused;
}

static void freed_by_another_thread(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        uintptr_t copy[2];
        copy_of_a_free_block(sizes[i], copy, 2);
        size_of_thread = sizes[i];
        for (int word = 0; word < 2; word++) {
            imitate(sizes[i], copy, 2);
            pthread_t thread;
            CHECK(pthread_create(&thread, NULL, release_all, NULL) == 0);
            pthread_join(thread, NULL);
            imitate(sizes[i], &copy[word], 1);
            release_all(NULL);
        }
    }
}

static void reallocated(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        uintptr_t copy[2];
        copy_of_a_free_block(sizes[i], copy, 2);
        imitate(sizes[i], copy, 2);
        for (unsigned k = 0; k < BLOCKS; k++) {
            ledger_strike(blocks[k], sizes[i]);
            blocks[k] = realloc(blocks[k], sizes[i] + 8);
            CHECK(blocks[k]);
            CHECK(((uintptr_t *)blocks[k])[0] == copy[0] &&
                  ((uintptr_t *)blocks[k])[1] == copy[1]);
            ledger_enter(blocks[k], sizes[i] + 8);
        }
        for (unsigned k = 0; k < BLOCKS; k++)
            release(k, sizes[i] + 8);
    }
}

// What a block held in an earlier life may still be there, and is written back
// by nobody.
static void never_written(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (int round = 0; round < 5; round++) {
            for (unsigned k = 0; k < BLOCKS; k++) {
                blocks[k] = malloc(sizes[i]);
                CHECK(blocks[k]);
                ledger_enter(blocks[k], sizes[i]);
            }
            for (unsigned k = 0; k < BLOCKS; k++)
                release(round % 2 ? k : BLOCKS - 1 - k, sizes[i]);
        }
    }
}

MAIN(CASE(all_words_of_a_free_block), CASE(one_word_everywhere),
     CASE(the_programs_own_list), CASE(freed_by_another_thread),
     CASE(reallocated), CASE(never_written))
