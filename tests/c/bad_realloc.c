// realloc and malloc_usable_size of a block that is free, and second frees of
// blocks that realloc has moved: `bad_realloc KIND SIZE`.

#include "blocks.h"
#include <malloc.h>

// Reallocates a freed block, and goes on when that is not seen at once.
static void realloc_freed(size_t to) {
    fill_table(1000);
    char *freed = blocks[middle()];
    release(freed);
    release_every_fourth();
    HIDE(freed);
    char *back = realloc(freed, to);
    if (back) {
        memset(back, 0xa5, to < 64 ? to : 64);
        ledger_enter(back, to);
    }
    drain();
}

static void freed_to_the_same(void) {
    realloc_freed(argument(0));
}
static void freed_to_more(void) {
    realloc_freed(argument(0) * 3 + 100);
}
static void freed_to_much_more(void) {
    realloc_freed(argument(0) + 4 * MIB);
}
static void freed_to_less(void) {
    realloc_freed(argument(0) / 3 + 1);
}

static void freed_to_nothing(void) {
    fill_table(1000);
    release(blocks[middle()]);
    release_every_fourth();
    CHECK(!realloc(blocks[middle()], 0));
    drain();
}

static void nothing_twice(void) {
    fill_table(1000);
    char *block = blocks[middle()];
    ledger_strike(block, size);
    CHECK(!realloc(block, 0));
    release_every_fourth();
    HIDE(block);
    CHECK(!realloc(block, 0));
    drain();
}

// The old block of a move is free: freeing it is a second free.
static void old_block_after(size_t to) {
    fill_table(1000);
    char *old = blocks[middle()];
    ledger_strike(old, size);
    char *moved = realloc(old, to);
    CHECK(moved);
    HIDE(old);
    if (moved == old)
        SKIP("realloc from %zu to %zu does not move", size, to);
    ledger_enter(moved, to);
    release_every_fourth();
    release_again(old);
    drain();
}

static void old_block_after_growing(void) {
    old_block_after(argument(0) * 3 + 100);
}
static void old_block_after_becoming_large(void) {
    old_block_after(argument(0) + 4 * MIB);
}
static void old_block_after_shrinking(void) {
    old_block_after(argument(0) / 3 + 1);
}

// The question may be answered or be fatal, but must not crash.
static void usable_size_of_freed(void) {
    fill_table(100);
    for (unsigned i = 0; i < count; i++)
        release(blocks[i]);
    for (unsigned i = 0; i < count; i++) {
        HIDE(blocks[i]);
        malloc_usable_size(blocks[i]);
    }
}

MAIN(CASE(freed_to_the_same), CASE(freed_to_more), CASE(freed_to_much_more),
     CASE(freed_to_less), CASE(freed_to_nothing), CASE(nothing_twice),
     CASE(old_block_after_growing), CASE(old_block_after_becoming_large),
     CASE(old_block_after_shrinking), CASE(usable_size_of_freed))
