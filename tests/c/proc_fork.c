// fork while other threads are inside the allocator.

#include "ledger.h"
#include <malloc.h>
#include <sys/wait.h>

enum { THREADS = 8, STABLE = 200, FORKS = 300 };

static volatile int stop;

// Blocks that nobody touches once they are made: whatever the moment of the
// fork, they are live in the child.
static void *stable[THREADS][STABLE];
static pthread_barrier_t ready;

static size_t stable_size(unsigned i) {
    return i % 100 == 99 ? 150000 : 1 + i * 7 % 3000;
}

static void make_stable(unsigned thread) {
    for (unsigned i = 0; i < STABLE; i++) {
        stable[thread][i] = malloc(stable_size(i));
        CHECK(stable[thread][i]);
        fill(stable[thread][i], stable_size(i), thread + i);
    }
}

static void check_stable(unsigned thread) {
    for (unsigned i = 0; i < STABLE; i++)
        CHECK(is_filled(stable[thread][i], stable_size(i), thread + i));
}

// All that a thread can be in the middle of.
static void churn(uint64_t *state, void **slots, unsigned count) {
    unsigned slot = (unsigned)(next_random(state) % count);
    uint64_t choice = next_random(state) % 100;
    size_t bits = choice < 90 ? 4 + choice % 8 : choice < 99 ? 14 : 18;
    size_t size = 1 + next_random(state) % ((size_t)1 << bits);
    if (choice % 3 == 0) {
        slots[slot] = realloc(slots[slot], size);
    } else {
        free(slots[slot]);
        slots[slot] = choice % 2 ? malloc(size) : calloc(1, size);
    }
    CHECK(slots[slot]);
    memset(slots[slot], 0x5a, size < 100 ? size : 100);
}

static void *passed[THREADS];

static void *allocate_until_stopped(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;
    uint64_t state = thread + 1;
    void *slots[100] = {0};
    make_stable(thread);
    pthread_barrier_wait(&ready);
    while (!stop) {
        // On few processors the main thread must have its turn.
        usleep(100);
        for (int i = 0; i < 50; i++)
            churn(&state, slots, COUNT(slots));
        // And a block for another thread to free.
        void *mine = malloc(200);
        free(__atomic_exchange_n(&passed[(thread + 1) % THREADS], mine,
                                 __ATOMIC_ACQ_REL));
    }
    for (size_t i = 0; i < COUNT(slots); i++)
        free(slots[i]);
    return NULL;
}

static pthread_t threads[THREADS];

static void start_threads(void) {
    pthread_barrier_init(&ready, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, allocate_until_stopped,
                             (void *)i) == 0);
    pthread_barrier_wait(&ready);
}

static void stop_threads(void) {
    stop = 1;
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) == 0,
               "child: status %x", status);
}

static void allocate_a_lot(void) {
    uint64_t state = 99;
    void *slots[100] = {0};
    for (int i = 0; i < 500; i++)
        churn(&state, slots, COUNT(slots));
    for (size_t i = 0; i < COUNT(slots); i++)
        free(slots[i]);
}

static void *allocate_in_thread(void *unused) {
    allocate_a_lot();
    return unused;
}

static void allocate_in_threads(void) {
    pthread_t new_threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&new_threads[i], NULL, allocate_in_thread,
                             NULL) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(new_threads[i], NULL) == 0);
}

static void in_child(void (*work)(void)) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        work();
        _exit(0);
    }
    wait_for(child);
}

static void fork_again(void) {
    allocate_a_lot();
    allocate_in_threads();
    in_child(allocate_a_lot);
    allocate_a_lot();
}

static void child_allocates(void) {
    start_threads();
    for (int i = 0; i < FORKS; i++)
        in_child(allocate_a_lot);
    stop_threads();
}

static void child_starts_threads_and_forks_again(void) {
    start_threads();
    for (int i = 0; i < FORKS; i++)
        in_child(fork_again);
    stop_threads();
}

static void allocate_and_exit(void) {
    allocate_a_lot();
    exit(0);
}

static void child_exits_with_handlers(void) {
    start_threads();
    for (int i = 0; i < FORKS; i++)
        in_child(allocate_and_exit);
    stop_threads();
}

// 300 children at once, none of them waited for in between.
static void many_children_at_once(void) {
    pid_t children[FORKS];
    start_threads();
    for (int i = 0; i < FORKS; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            allocate_a_lot();
            _exit(0);
        }
    }
    for (int i = 0; i < FORKS; i++)
        wait_for(children[i]);
    stop_threads();
}

// The child takes over what was live: it must not be handed out, and may be
// freed.
static void take_over(void) {
    for (unsigned thread = 0; thread < THREADS; thread++)
        for (unsigned i = 0; i < STABLE; i++)
            ledger_enter(stable[thread][i], stable_size(i));
    static void *more_blocks[2000];
    for (unsigned i = 0; i < COUNT(more_blocks); i++) {
        size_t size = 1 + i * 7 % 3000;
        more_blocks[i] = malloc(size);
        CHECK(more_blocks[i]);
        ledger_enter(more_blocks[i], size);
        memset(more_blocks[i], 0xff, size);
    }
    for (unsigned thread = 0; thread < THREADS; thread++) {
        check_stable(thread);
        for (unsigned i = 0; i < STABLE; i++) {
            ledger_strike(stable[thread][i], stable_size(i));
            if (i % 5)
                free(stable[thread][i]);
            else
                CHECK(!realloc(stable[thread][i], 0));
        }
    }
    for (unsigned i = 0; i < COUNT(more_blocks); i++) {
        size_t size = 1 + i * 7 % 3000;
        void *block = malloc(size);
        ledger_enter(block, size);
        free(more_blocks[i]);
        ledger_strike(more_blocks[i], size);
    }
}

static void child_frees_blocks_of_other_threads(void) {
    start_threads();
    for (int i = 0; i < 30; i++)
        in_child(take_over);
    stop_threads();
    for (unsigned thread = 0; thread < THREADS; thread++)
        check_stable(thread);
}

static void *of_handlers[3];
static int prepared, in_parents, in_children;

static void prepare(void) {
    prepared++;
    for (int i = 0; i < 3; i++) {
        free(of_handlers[i]);
        of_handlers[i] = malloc((size_t)100 << (5 * i));
        CHECK(of_handlers[i]);
    }
}

static void in_the_parent(void) {
    in_parents++;
    for (int i = 0; i < 3; i++) {
        of_handlers[i] = realloc(of_handlers[i], (size_t)300 << (5 * i));
        CHECK(of_handlers[i]);
    }
}

static void in_the_child(void) {
    in_children++;
    for (int i = 0; i < 3; i++) {
        free(of_handlers[i]);
        of_handlers[i] = calloc(1, (size_t)200 << (5 * i));
        CHECK(of_handlers[i]);
    }
    allocate_a_lot();
}

static void check_handlers(void) {
    CHECK(in_children == 2);
    allocate_a_lot();
}

static void handlers_allocate(void) {
    CHECK(pthread_atfork(prepare, in_the_parent, in_the_child) == 0);
    start_threads();
    // Once more, now that the allocator is in use.
    CHECK(pthread_atfork(prepare, in_the_parent, in_the_child) == 0);
    for (int i = 0; i < FORKS; i++)
        in_child(check_handlers);
    stop_threads();
    CHECK(prepared == 2 * FORKS && in_parents == 2 * FORKS &&
          in_children == 0);
}

static void *fork_often(void *unused) {
    for (int i = 0; i < FORKS / 4; i++)
        in_child(fork_again);
    return unused;
}

static void several_threads_fork(void) {
    pthread_t forkers[2];
    start_threads();
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&forkers[i], NULL, fork_often, NULL) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(forkers[i], NULL) == 0);
    stop_threads();
}

static void *end_in_the_child(void *unused) {
    pid_t child = fork();
    CHECK(child >= 0);
    allocate_a_lot();
    // In the child this is the only thread: the process ends, with 0.
    if (child == 0)
        pthread_exit(NULL);
    wait_for(child);
    return unused;
}

static void forking_thread_ends_in_the_child(void) {
    start_threads();
    for (int i = 0; i < FORKS; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, end_in_the_child, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    stop_threads();
}

static void generations(unsigned left) {
    allocate_a_lot();
    void *block = malloc(1000);
    fill(block, 1000, left);
    if (left) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            generations(left - 1);
            CHECK(is_filled(block, 1000, left));
            free(block);
            _exit(0);
        }
        wait_for(child);
    }
    CHECK(is_filled(block, 1000, left));
    free(block);
}

static void fifty_generations(void) {
    generations(50);
}

static void use_everything(void) {
    malloc_trim(0);
    CHECK(mallinfo2().uordblks > 0);
    FILE *stream = fopen("/dev/null", "w");
    CHECK(stream && malloc_info(0, stream) == 0);
    fclose(stream);
    allocate_in_threads();
    malloc_trim(0);
}

static void figures_and_trim_in_the_child(void) {
    start_threads();
    for (int i = 0; i < FORKS / 2; i++)
        in_child(use_everything);
    stop_threads();
}

// Children must not become larger than their parent: what other threads had
// is not lost for good.
static void check_growth(void) {
    size_t before = status_kib("VmRSS:");
    for (int i = 0; i < 20; i++)
        allocate_a_lot();
    size_t after = status_kib("VmRSS:");
    CHECK_THAT(after < before + 16 * KIB, "%zu KiB before, %zu after", before,
               after);
}

static void child_does_not_grow(void) {
    start_threads();
    for (int i = 0; i < 20; i++)
        in_child(check_growth);
    stop_threads();
}

MAIN(CASE(child_allocates), CASE(child_starts_threads_and_forks_again),
     CASE(child_exits_with_handlers), CASE(many_children_at_once),
     CASE(child_frees_blocks_of_other_threads), CASE(handlers_allocate),
     CASE(several_threads_fork), CASE(forking_thread_ends_in_the_child),
     CASE(fifty_generations), CASE(figures_and_trim_in_the_child),
     CASE(child_does_not_grow))
