// Writes to freed blocks: `bad_write KIND SIZE`. The second word of a freed block
// is its mark; whoever writes there is found out before the block is handed out
// again. And where blocks are: `bad_write where`.

#include "blocks.h"

static void spoil(char *block) {
    HIDE(block);
    memset(block + sizeof(void *), 0x41, sizeof(void *));
}

static void second_word(void) {
    fill_table(1000);
    char *block = blocks[middle()];
    say("%p\n", (void *)block);
    release(block);
    spoil(block);
    release_every_fourth();
    drain();
}

// The write is one over the end of the block before it.
static void overrun_into_a_free_block(void) {
    fill_table(1000);
    unsigned low = 0;
    for (unsigned i = 1; i < count; i++)
        if (blocks[i] > blocks[low] &&
            blocks[i] - blocks[low] > (ptrdiff_t)(32 * size))
            low = i;
    // Its neighbour above, in the same slab if there is one.
    unsigned next = count;
    for (unsigned i = 0; i < count; i++)
        if (blocks[i] > blocks[low] &&
            (next == count || blocks[i] < blocks[next]))
            next = i;
    if (next == count || blocks[next] - blocks[low] > (ptrdiff_t)(2 * size))
        SKIP("no two blocks are neighbours");
    say("%p\n", (void *)blocks[next]);
    release(blocks[next]);
    char *start = blocks[low];
    HIDE(start);
    memset(start, 0x41, (size_t)(blocks[next] - blocks[low]) + 16);
    drain();
}

static void where(void) {
    say("%p\n", malloc(100));
}

MAIN(CASE(second_word), CASE(overrun_into_a_free_block), CASE(where))
