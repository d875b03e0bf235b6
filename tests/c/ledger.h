// A ledger of live blocks, 16 bytes to a bit, kept outside the heap.
//
// Entering a block of which any byte is live already means that the allocator
// has handed memory out twice: the program says so and exits with 42.

#ifndef LEDGER_H
#define LEDGER_H

#include "check.h"
#include <pthread.h>
#include <sys/mman.h>

enum {
    GRANULE_SHIFT = 4,
    SHEET_SHIFT = 20,
    WORD_BITS = 64,
    SHEET_WORDS = 1 << (SHEET_SHIFT - GRANULE_SHIFT - 6),
    SLOTS = 1 << 16,
};

// The bits of a MiB of addresses.
struct sheet {
    uintptr_t number;
    uint64_t live[SHEET_WORDS];
};

static struct sheet *sheets[SLOTS];
static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;

HELPER struct sheet *sheet_of(uintptr_t address) {
    uintptr_t number = address >> SHEET_SHIFT;
    size_t slot = (size_t)(number * 0x9e3779b97f4a7c15u >> 48) % SLOTS;
    while (sheets[slot] && sheets[slot]->number != number)
        slot = (slot + 1) % SLOTS;
    if (!sheets[slot]) {
        void *memory = mmap(NULL, sizeof(struct sheet), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        sheets[slot] = (struct sheet *)memory;
        sheets[slot]->number = number;
    }
    return sheets[slot];
}

// Calls `visit` with each word of bits that the block covers, and the bits.
HELPER void visit_block(void *block, size_t size,
                        void (*visit)(uint64_t *word, uint64_t bits,
                                      void *block)) {
    uintptr_t start = (uintptr_t)block >> GRANULE_SHIFT;
    uintptr_t end =
        ((uintptr_t)block + (size ? size : 1) - 1) >> GRANULE_SHIFT;
    pthread_mutex_lock(&ledger_lock);
    while (start <= end) {
        uintptr_t last = start | (WORD_BITS - 1);
        if (last > end)
            last = end;
        unsigned shift = start % WORD_BITS;
        unsigned count = (unsigned)(last - start + 1);
        uint64_t bits =
            (count == WORD_BITS ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1)
            << shift;
        struct sheet *sheet = sheet_of(start << GRANULE_SHIFT);
        visit(&sheet->live[start / WORD_BITS % SHEET_WORDS], bits, block);
        start = last + 1;
    }
    pthread_mutex_unlock(&ledger_lock);
}

HELPER void enter_word(uint64_t *word, uint64_t bits, void *block) {
    if (*word & bits) {
        say("%p overlaps a live block\n", block);
        _exit(EXIT_HANDED_OUT_TWICE);
    }
    *word |= bits;
}

HELPER void strike_word(uint64_t *word, uint64_t bits, void *block) {
    CHECK_THAT((*word & bits) == bits, "%p is not live", block);
    *word &= ~bits;
}

HELPER void ledger_enter(void *block, size_t size) {
    visit_block(block, size, enter_word);
}

HELPER void ledger_strike(void *block, size_t size) {
    visit_block(block, size, strike_word);
}

#endif
