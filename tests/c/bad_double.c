// Gives a block back twice: `bad_double KIND SIZE`.
//
// Where the second free is the next thing that happens it must not return.
// Everywhere else the program goes on allocating that size, and must die before
// any memory is handed out a second time: it keeps a ledger of live blocks, and
// exits with 42 when two of them overlap.

#include "blocks.h"
#include <malloc.h>

static void free_twice(char *block) {
    say("%p\n", (void *)block);
    HIDE(block);
    free(block);
    free(block);
    FAIL("came back from the second free");
}

static void at_once(void) {
    fill_table(1);
    free_twice(blocks[0]);
}

static void at_once_among_others(void) {
    fill_table(100);
    free_twice(blocks[count / 2]);
}

// Slabs that were full have nothing free in them until now.
static void at_once_among_many(void) {
    fill_table(TABLE);
    free_twice(blocks[count / 2]);
}

static void at_once_after_frees(void) {
    fill_table(1000);
    for (unsigned i = 0; i + 1 < count; i += 2)
        release(blocks[i]);
    free_twice(blocks[count / 2 | 1]);
}

// By another function than free, which is named.
static void at_once_by(void) {
    size = argument(0);
    CHECK(more_count == 2);
    void (*function)(void *) = (void (*)(void *))look_up(more[1]);
    CHECK(function);
    char *block = allocate();
    say("%p\n", (void *)block);
    function(block);
    function(block);
    FAIL("came back from the second %s", more[1]);
}

// The size that comes along must not make the second free go unseen.
static void sized_p_q_p(void) {
    fill_table(10);
    CHECK(more_count == 2);
    void (*function)(void *, size_t) =
        (void (*)(void *, size_t))look_up(more[1]);
    CHECK(function);
    for (unsigned i = 3; i < 6; i++) {
        ledger_strike(blocks[i], size);
        function(blocks[i], size);
    }
    function(blocks[3], size);
    drain();
}

static void at_once_of_calloc(void) {
    free_twice(calloc(1, argument(0)));
}

static void at_once_of_aligned(void) {
    free_twice(memalign(256, argument(0)));
}

static void at_once_of_realloc(void) {
    free_twice(realloc(malloc(argument(0) / 2 + 1), argument(0)));
}

static void at_once_in_a_thread(void) {
    in_thread(at_once);
}

// The second time through a pointer kept over another life of the block.
static void stale_pointer(void) {
    fill_table(10);
    char *stale = blocks[5];
    release(stale);
    char *again = NULL;
    for (int i = 0; i < MOST_BLOCKS && again != stale; i++)
        again = allocate();
    if (again != stale)
        SKIP("the block does not come again");
    free_twice(again);
}

static void p_q_p(void) {
    fill_table(10);
    release(blocks[3]);
    release(blocks[4]);
    release(blocks[6]);
    release_again(blocks[3]);
    drain();
}

static void first_and_last_of_many(void) {
    fill_table(2000);
    for (unsigned i = 0; i < count; i += 2)
        release(blocks[i]);
    release_again(blocks[0]);
    drain();
}

static void every_second_twice(void) {
    fill_table(2000);
    for (unsigned i = 0; i < count; i += 2)
        release(blocks[i]);
    for (unsigned i = 0; i < count; i += 2)
        release_again(blocks[i]);
    drain();
}

// All slabs were full, and have room again.
static void in_full_slabs(void) {
    fill_table(TABLE);
    for (unsigned i = 0; i < count; i += 2)
        release(blocks[i]);
    release_again(blocks[middle()]);
    drain();
}

static void after_other_sizes(void) {
    fill_table(1000);
    release(blocks[middle()]);
    for (size_t other = 1; other < 300000; other = other * 3 / 2 + 1)
        free(malloc(other));
    release_every_fourth();
    release_again(blocks[middle()]);
    drain();
}

static int is_among(char *const *among, size_t most, const char *block) {
    for (size_t i = 0; i < most; i++)
        if (among[i] == block)
            return 1;
    return 0;
}

// Blocks that come and go between the two frees hide the first one.
static void after_reuse_of_others(void) {
    fill_table(1000);
    release_every_fourth();
    char *again[10];
    for (unsigned i = 0; i < COUNT(again); i++)
        again[i] = allocate();
    // The first that has stayed free.
    unsigned i = 1;
    while (is_among(again, COUNT(again), blocks[i]))
        i += 4;
    release_again(blocks[i]);
    drain();
}

static char *victim;

static void release_victim(void) {
    release(victim);
}
static void release_victim_again(void) {
    release_again(victim);
}

static void release_victim_p_q_p(void) {
    release(victim);
    release(blocks[0]);
    release_again(victim);
}

static void release_victim_twice(void) {
    release(victim);
    release_again(victim);
}

static void choose_victim(unsigned wanted) {
    fill_table(wanted);
    victim = blocks[middle()];
}

static void second_is_remote(void) {
    choose_victim(1000);
    release(victim);
    release(blocks[0]);
    in_thread(release_victim_again);
    release_every_fourth();
    drain();
}

static void first_is_remote(void) {
    choose_victim(1000);
    in_thread(release_victim);
    release(blocks[0]);
    release_again(victim);
    release_every_fourth();
    drain();
}

static void both_are_remote(void) {
    choose_victim(1000);
    in_thread(release_victim_p_q_p);
    release_every_fourth();
    drain();
}

static void both_are_remote_at_once(void) {
    choose_victim(1000);
    in_thread(release_victim_twice);
    release_every_fourth();
    drain();
}

// More often than a slab has blocks, while its owner takes none back.
static void release_in_turn(void) {
    for (int i = 0; i < 100000; i++)
        release_again(blocks[i % 2]);
}

static void remote_in_turn(void) {
    fill_table(10);
    in_thread(release_in_turn);
    FAIL("came back from the last free");
}

static void from_two_threads(void) {
    choose_victim(1000);
    in_thread(release_victim);
    in_thread(release_victim_again);
    release_every_fourth();
    drain();
}

static void release_half(void) {
    for (unsigned i = 1; i < count; i += 2)
        release(blocks[i]);
}

static void release_half_and_victim_again(void) {
    release(victim);
    release_half();
    release_again(victim);
}

static void both_are_remote_in_full_slabs(void) {
    choose_victim(TABLE);
    in_thread(release_half_and_victim_again);
    drain();
}

static void second_is_remote_in_full_slabs(void) {
    choose_victim(TABLE);
    release(victim);
    release_half();
    in_thread(release_victim_again);
    drain();
}

static pthread_barrier_t start;

static void *race(void *unused) {
    for (unsigned i = 0; i < count; i++) {
        pthread_barrier_wait(&start);
        release_again(blocks[i]);
    }
    return unused;
}

// Both at the same moment, over and over.
static void at_the_same_moment(void) {
    fill_table(2000);
    for (unsigned i = 0; i < count; i++)
        ledger_strike(blocks[i], size);
    pthread_barrier_init(&start, NULL, 2);
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, race, NULL) == 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    drain();
}

static void allocate_table(void) {
    choose_victim(1000);
}
static void allocate_and_release_victim(void) {
    choose_victim(1000);
    release(victim);
}

static void of_a_dead_thread(void) {
    in_thread(allocate_table);
    release(victim);
    release(blocks[0]);
    release_again(victim);
    release_every_fourth();
    drain();
}

static void of_a_dead_thread_that_freed_it(void) {
    in_thread(allocate_and_release_victim);
    release(blocks[0]);
    release_again(victim);
    release_every_fourth();
    drain();
}

static void of_a_dead_thread_by_another(void) {
    in_thread(allocate_table);
    in_thread(release_victim);
    in_thread(release_victim_again);
    release_every_fourth();
    drain();
}

MAIN(CASE(at_once), CASE(at_once_among_others), CASE(at_once_among_many),
     CASE(at_once_after_frees), CASE(at_once_of_calloc),
     CASE(at_once_of_aligned), CASE(at_once_of_realloc),
     CASE(at_once_in_a_thread), CASE(at_once_by), CASE(sized_p_q_p),
     CASE(stale_pointer), CASE(p_q_p), CASE(first_and_last_of_many),
     CASE(every_second_twice), CASE(in_full_slabs), CASE(after_other_sizes),
     CASE(after_reuse_of_others), CASE(second_is_remote),
     CASE(first_is_remote), CASE(both_are_remote),
     CASE(both_are_remote_at_once), CASE(remote_in_turn),
     CASE(from_two_threads),
     CASE(both_are_remote_in_full_slabs), CASE(second_is_remote_in_full_slabs),
     CASE(at_the_same_moment), CASE(of_a_dead_thread),
     CASE(of_a_dead_thread_that_freed_it), CASE(of_a_dead_thread_by_another))
