// Frees that must not be: `hardened_free KIND SIZE ...`, under a hardened
// build. Each must die at the call, whatever has happened before it.

#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { MANY = 3000 };

static size_t argument(int place) {
    CHECK(place < more_count);
    return strtoull(more[place], NULL, 0);
}

static char *new_block(size_t size) {
    char *block = malloc(size);
    CHECK(block);
    memset(block, 'x', size);
    HIDE(block);
    return block;
}

static void *free_it(void *block) {
    free(block);
    return NULL;
}

static void free_elsewhere(void *block) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_it, block) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

// Says the address, and must not come back.
static void must_not(char *block) {
    say("%p\n", (void *)block);
    HIDE(block);
    free(block);
    FAIL("came back from the free");
}

// Blocks of the size, of which so many are freed again.
static char *blocks[MANY];

static void fill_and_free(size_t size, int from, int to, int step) {
    for (int i = 0; i < MANY; i++)
        blocks[i] = new_block(size);
    for (int i = from; i < to; i += step)
        free(blocks[i]);
}

static void twice(void) {
    char *block = new_block(argument(0));
    free(block);
    must_not(block);
}

static void twice_with_one_between(void) {
    char *block = new_block(argument(0)), *other = new_block(argument(0));
    free(block);
    free(other);
    must_not(block);
}

// `SIZE FREES`: those between the two, so that the block waits, or has waited.
static void twice_with_many_between(void) {
    char *block = new_block(argument(0));
    fill_and_free(argument(0), 0, 0, 1);
    free(block);
    for (size_t i = 0; i < argument(1); i++)
        free(blocks[i]);
    must_not(block);
}

static void twice_in_a_full_slab(void) {
    fill_and_free(argument(0), 5, 6, 1);
    must_not(blocks[5]);
}

static void twice_of_every_second(void) {
    fill_and_free(argument(0), 0, MANY, 2);
    must_not(blocks[MANY / 2]);
}

static void twice_second_elsewhere(void) {
    char *block = new_block(argument(0));
    free(block);
    say("%p\n", (void *)block);
    free_elsewhere(block);
    FAIL("came back from the free");
}

static void twice_first_elsewhere(void) {
    char *block = new_block(argument(0));
    free_elsewhere(block);
    must_not(block);
}

static void twice_both_elsewhere(void) {
    char *block = new_block(argument(0));
    free_elsewhere(block);
    say("%p\n", (void *)block);
    free_elsewhere(block);
    FAIL("came back from the free");
}

static void *leave_a_block(void *size) {
    return new_block((size_t)(uintptr_t)size);
}

static void twice_of_a_dead_thread(void) {
    pthread_t thread;
    void *block;
    size_t size = argument(0);
    CHECK(pthread_create(&thread, NULL, leave_a_block,
                         (void *)(uintptr_t)size) == 0);
    CHECK(pthread_join(thread, &block) == 0);
    free(block);
    must_not(block);
}

static void *race(void *block) {
    usleep(1000);
    free(block);
    return NULL;
}

// One of them must not go unseen, though it may be later.
static void twice_at_the_same_moment(void) {
    size_t size = argument(0);
    for (int round = 0; round < 200; round++) {
        pthread_t threads[2];
        char *block = new_block(size);
        for (int i = 0; i < 2; i++)
            CHECK(pthread_create(&threads[i], NULL, race, block) == 0);
        for (int i = 0; i < 2; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
    }
    FAIL("no double free was seen");
}

static void twice_in_a_child(void) {
    char *block = new_block(argument(0));
    free(block);
    if (fork() == 0)
        must_not(block);
    int status;
    CHECK(wait(&status) > 0);
    // As the child did.
    if (WIFSIGNALED(status))
        raise(WTERMSIG(status));
    FAIL("the child lives");
}

static void twice_of_aligned(void) {
    char *block = NULL;
    CHECK(posix_memalign((void **)&block, 256, argument(0)) == 0);
    free(block);
    must_not(block);
}

// What lies beside one that was handed out.
static void never_handed_out(void) {
    size_t size = argument(0);
    char *block = new_block(size), *nearest = NULL;
    for (int i = 0; i < 20; i++) {
        char *other = new_block(size);
        size_t near = (size_t)labs(nearest - block);
        if (!nearest || (size_t)labs(other - block) < near)
            nearest = other;
    }
    // Among 64 there are free ones.
    ptrdiff_t stride = labs(nearest - block);
    for (int i = 1; i < 64; i++) {
        char *place = block + i * stride;
        size_t (*usable)(void *) =
            (size_t(*)(void *))look_up("malloc_usable_size");
        if (fork() == 0) {
            close(STDERR_FILENO);
            // Dies where the place is no block that is in use.
            usable(place);
            _exit(0);
        }
        int status;
        CHECK(wait(&status) > 0);
        if (WIFSIGNALED(status))
            must_not(place);
    }
    FAIL("all are in use");
}

static void uninitialised(void) {
    // What a block holds at first is null, which can be freed.
    size_t size = argument(0);
    fill_and_free(size, 0, MANY, 1);
    for (int i = 0; i < MANY; i++) {
        void **block = malloc(size);
        CHECK(block && *block == NULL);
        free(*block);
    }
}

static void usable_size_of_freed(void) {
    size_t (*usable)(void *) = (size_t(*)(void *))look_up("malloc_usable_size");
    char *block = new_block(argument(0));
    free(block);
    say("%p\n", (void *)block);
    usable(block);
    FAIL("a freed block has a size");
}

static void realloc_of_freed(void) {
    char *block = new_block(argument(0));
    free(block);
    say("%p\n", (void *)block);
    HIDE(block);
    block = realloc(block, argument(0) * 2);
    FAIL("a freed block was resized");
}

static void old_block_of_a_realloc(void) {
    char *block = new_block(argument(0)), *old = block;
    HIDE(block);
    block = realloc(block, argument(0) * 4);
    CHECK(block && block != old);
    must_not(old);
}

// `FUNCTION SIZE SAID`: a size that is not the block's.
static void sized(void) {
    void (*function)(void *, size_t) =
        (void (*)(void *, size_t))look_up(more[0]);
    CHECK(function);
    char *block = malloc(argument(1));
    CHECK(block);
    say("%p\n", (void *)block);
    HIDE(block);
    function(block, argument(2));
    FAIL("came back from %s", more[0]);
}

static void aligned_sized(void) {
    void (*function)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))look_up("free_aligned_sized");
    CHECK(function);
    char *block = aligned_alloc(64, argument(0));
    CHECK(block);
    say("%p\n", (void *)block);
    HIDE(block);
    function(block, 64, argument(1));
    FAIL("came back from free_aligned_sized");
}

static void right_sizes(void) {
    void (*function)(void *, size_t) =
        (void (*)(void *, size_t))look_up("free_sized");
    for (size_t size = 0; size < 400000; size = size * 2 + 1) {
        char *block = malloc(size);
        CHECK(block);
        function(block, size);
        block = realloc(malloc(size / 2 + 1), size + 1);
        CHECK(block);
        function(block, size + 1);
        block = calloc(size + 1, 3);
        CHECK(block);
        function(block, (size + 1) * 3);
    }
}

MAIN(CASE(twice), CASE(twice_with_one_between), CASE(twice_with_many_between),
     CASE(twice_in_a_full_slab), CASE(twice_of_every_second),
     CASE(twice_second_elsewhere), CASE(twice_first_elsewhere),
     CASE(twice_both_elsewhere), CASE(twice_of_a_dead_thread),
     CASE(twice_at_the_same_moment), CASE(twice_in_a_child),
     CASE(twice_of_aligned), CASE(never_handed_out), CASE(uninitialised),
     CASE(usable_size_of_freed), CASE(realloc_of_freed),
     CASE(old_block_of_a_realloc), CASE(sized), CASE(aligned_sized),
     CASE(right_sizes))
