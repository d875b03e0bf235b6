// Frees that make a slab look empty while a block in it is live, and blocks
// that were never handed out: `bad_slab KIND SIZE [WHICH]`.

#include "blocks.h"

// WHICH is the place of the live block in the table, in per cent.
static unsigned live_index(void) {
    return (unsigned)((count - 1) * argument(1) / 100);
}

// The block nearest in memory, in all likelihood one of the same slab.
static unsigned nearest(unsigned to, unsigned except) {
    unsigned best = count;
    for (unsigned i = 0; i < count; i++)
        if (i != to && i != except &&
            (best == count ||
             labs(blocks[i] - blocks[to]) < labs(blocks[best] - blocks[to])))
            best = i;
    return best;
}

static void make_table(void) {
    fill_table(20000);
}

static void release_all_but(unsigned live, unsigned also) {
    for (unsigned i = 0; i < count; i++)
        if (i != live && i != also)
            release(blocks[i]);
}

static void release_first_and_last(void) {
    unsigned live = live_index(), twice = nearest(live, live);
    release(blocks[twice]);
    release_all_but(live, twice);
    release_again(blocks[twice]);
}

// The last free is the only one of its block, and seems to empty the slab.
static void release_twice_and_another(void) {
    unsigned live = live_index(), last = nearest(live, live),
             twice = nearest(live, last);
    release_all_but(live, last);
    release_again(blocks[twice]);
    release(blocks[last]);
}

static void local(void) {
    make_table();
    release_first_and_last();
    drain();
}

static void local_and_another(void) {
    make_table();
    release_twice_and_another();
    drain();
}

static void remote(void) {
    make_table();
    in_thread(release_first_and_last);
    drain();
}

static void of_a_dead_thread(void) {
    in_thread(make_table);
    release_first_and_last();
    drain();
}

static void of_a_dead_thread_remote(void) {
    in_thread(make_table);
    in_thread(release_first_and_last);
    drain();
}

static unsigned in_the_middle;

static void release_in_the_middle(void) {
    release(blocks[in_the_middle]);
}

// The first free by another thread, the second by the owner.
static void half_remote(void) {
    make_table();
    unsigned live = live_index();
    in_the_middle = nearest(live, live);
    in_thread(release_in_the_middle);
    release_all_but(live, in_the_middle);
    release_again(blocks[in_the_middle]);
    drain();
}

// Other sizes come and take what the slab gives back.
static void and_other_sizes(void) {
    make_table();
    release_first_and_last();
    for (unsigned round = 0; round < 2000; round++) {
        for (size = 16; size <= 65536; size *= 2)
            if (round < 64 * MIB / size / 13)
                allocate();
    }
    size = argument(0);
    drain();
}

// A block that was never handed out lies beyond the last one that was. Freeing
// it may be fatal or not, but never may it be handed out twice after.
static void never_handed_out(void) {
    fill_table(3);
    char *last = blocks[0];
    for (unsigned i = 0; i < count; i++)
        if (blocks[i] > last)
            last = blocks[i];
    char *lowest = last;
    for (unsigned i = 0; i < count; i++)
        if (blocks[i] != last &&
            (lowest == last || last - blocks[i] < last - lowest))
            lowest = blocks[i];
    release_again(last + (last - lowest));
    size_t bytes = 0;
    for (unsigned i = 0; i < MOST_BLOCKS / 4 && bytes < MOST_BYTES / 4;
         i++, bytes += size)
        allocate();
}

MAIN(CASE(local), CASE(local_and_another), CASE(remote),
     CASE(of_a_dead_thread), CASE(of_a_dead_thread_remote), CASE(half_remote),
     CASE(and_other_sizes), CASE(never_handed_out))
