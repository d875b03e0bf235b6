// Allocation before main, after it, and around the end of a thread.

#include "ledger.h"

static const size_t sizes[] = {1, 16, 100, 1000, 5000, 20000, 60000, 300000};

// How many of them are used.
static size_t used_sizes = COUNT(sizes);

struct set {
    void *blocks[COUNT(sizes)];
};

static void make(struct set *set, unsigned tag) {
    for (size_t i = 0; i < used_sizes; i++) {
        set->blocks[i] = i % 2 ? malloc(sizes[i]) : calloc(1, sizes[i]);
        CHECK(set->blocks[i]);
        fill(set->blocks[i], sizes[i], tag);
    }
}

static void check_and_free(struct set *set, unsigned tag) {
    for (size_t i = 0; i < used_sizes; i++) {
        CHECK(is_filled(set->blocks[i], sizes[i], tag));
        set->blocks[i] = realloc(set->blocks[i], sizes[i] * 2);
        CHECK(is_filled(set->blocks[i], sizes[i], tag));
        free(set->blocks[i]);
        set->blocks[i] = NULL;
    }
}

// Each of these makes its own set and frees the one before.
static struct set sets[8];
static unsigned stage;

static void next_stage(unsigned expected) {
    CHECK_THAT(stage == expected, "stage %u and not %u", stage, expected);
    make(&sets[stage], stage);
    if (stage)
        check_and_free(&sets[stage - 1], stage - 1);
    stage++;
}

static pthread_key_t first_key;
static void use_first_key(void *value);

// Before any library is initialised, the allocator included.
static void preinit(void) {
    next_stage(0);
    CHECK(pthread_key_create(&first_key, use_first_key) == 0);
}

__attribute__((section(".preinit_array"),
               used)) static void (*run_preinit)(void) = preinit;

__attribute__((constructor(101))) static void first_constructor(void) {
    next_stage(1);
}
__attribute__((constructor)) static void constructor(void) {
    next_stage(2);
}

static int ends_early = 1;

static void exit_handler(void) {
    if (ends_early)
        return;
    next_stage(4);
}

__attribute__((destructor)) static void destructor(void) {
    if (ends_early)
        return;
    next_stage(5);
}

// The last code of the program that runs.
__attribute__((destructor(101))) static void last_destructor(void) {
    if (ends_early)
        return;
    next_stage(6);
    check_and_free(&sets[6], 6);
    _exit(0);
}

static void constructors(void) {
    CHECK(stage == 3);
    check_and_free(&sets[2], 2);
}

// Anything but _exit(0) by the last destructor is a failure.
static void destructors(void) {
    next_stage(3);
    CHECK(atexit(exit_handler) == 0);
    ends_early = 0;
    exit(EXIT_WRONG);
}

static void free_at_exit(void) {
    check_and_free(&sets[7], 7);
}

static void make_at_exit(void) {
    make(&sets[7], 7);
    // Registering allocates as well.
    CHECK(atexit(free_at_exit) == 0);
}

static void exit_handlers(void) {
    for (int i = 0; i < 20; i++)
        CHECK(atexit(make_at_exit) == 0);
}

enum { ROUNDS = 4 };

// A key's value: how often its destructor has run, and blocks.
struct value {
    pthread_key_t *key;
    unsigned round;
    struct set set;
};

static unsigned rounds_run;

static void set_value(pthread_key_t *key, unsigned round) {
    struct value *value = malloc(sizeof *value);
    CHECK(value);
    value->key = key;
    value->round = round;
    make(&value->set, round);
    CHECK(pthread_setspecific(*key, value) == 0);
}

// Frees what it is given and sets the key anew, until the system gives up.
static void renew(void *argument) {
    struct value *value = argument;
    unsigned round = value->round;
    pthread_key_t *key = value->key;
    check_and_free(&value->set, round);
    free(value);
    __atomic_fetch_add(&rounds_run, 1, __ATOMIC_RELAXED);
    if (round + 1 < ROUNDS)
        set_value(key, round + 1);
}

static void use_first_key(void *value) {
    renew(value);
}

static void join_thread(void *(*function)(void *), void *argument) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, function, argument) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static pthread_key_t keys[200];
static unsigned key_count;

static void *set_keys(void *unused) {
    for (unsigned i = 0; i < key_count; i++)
        set_value(&keys[i], 0);
    return unused;
}

static void check_keys(unsigned count) {
    key_count = count;
    for (unsigned i = 0; i < count; i++)
        CHECK(pthread_key_create(&keys[i], renew) == 0);
    for (unsigned i = 1; i <= 20; i++) {
        join_thread(set_keys, NULL);
        CHECK_THAT(rounds_run == i * count * ROUNDS, "%u rounds", rounds_run);
    }
}

static void one_key(void) {
    check_keys(1);
}
static void several_keys(void) {
    check_keys(5);
}
static void two_hundred_keys(void) {
    used_sizes = 5;
    check_keys(200);
}

static void *set_first_key(void *unused) {
    set_value(&first_key, 0);
    return unused;
}

static void key_made_before_the_allocator(void) {
    for (unsigned i = 1; i <= 20; i++) {
        join_thread(set_first_key, NULL);
        CHECK(rounds_run == i * ROUNDS);
    }
}

// The thread's first call of the allocator is in its last moments.
static void allocate_first(void *unused) {
    (void)unused;
    struct set set;
    make(&set, 1);
    check_and_free(&set, 1);
    rounds_run++;
}

static void *only_set(void *key) {
    CHECK(pthread_setspecific(*(pthread_key_t *)key, key) == 0);
    return NULL;
}

static void first_use_in_a_destructor(void) {
    pthread_key_t key;
    CHECK(pthread_key_create(&key, allocate_first) == 0);
    for (unsigned i = 1; i <= 50; i++) {
        join_thread(only_set, &key);
        CHECK(rounds_run == i);
    }
}

// Blocks left by destructors are as good as any, after the thread's end.
static struct set left[50];

static void leave_blocks(void *argument) {
    make(argument, 9);
}

static pthread_key_t leaving_key;

static void *set_leaving_key(void *set) {
    CHECK(pthread_setspecific(leaving_key, set) == 0);
    return NULL;
}

static void blocks_left_by_destructors(void) {
    CHECK(pthread_key_create(&leaving_key, leave_blocks) == 0);
    for (size_t i = 0; i < COUNT(left); i++)
        join_thread(set_leaving_key, &left[i]);
    for (size_t i = 0; i < COUNT(left); i++)
        check_and_free(&left[i], 9);
}

// What destructors free must not leak, one thread after another.
static void *set_all(void *unused) {
    set_value(&keys[0], 0);
    void *blocks[200];
    for (int i = 0; i < 200; i++)
        blocks[i] = malloc(500);
    for (int i = 0; i < 200; i++)
        free(blocks[i]);
    return unused;
}

static void memory_stays_flat(void) {
    CHECK(pthread_key_create(&keys[0], renew) == 0);
    for (int i = 0; i < 50; i++)
        join_thread(set_all, NULL);
    size_t before = status_kib("VmRSS:");
    for (int i = 0; i < 300; i++)
        join_thread(set_all, NULL);
    size_t after = status_kib("VmRSS:");
    need_exact_memory();
    CHECK_THAT(after <= before + MIB / KIB, "%zu KiB before, %zu after",
               before, after);
}

MAIN(CASE(constructors), CASE(destructors), CASE(exit_handlers), CASE(one_key),
     CASE(several_keys), CASE(two_hundred_keys),
     CASE(key_made_before_the_allocator), CASE(first_use_in_a_destructor),
     CASE(blocks_left_by_destructors), CASE(memory_stays_flat))
