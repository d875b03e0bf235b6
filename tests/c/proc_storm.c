// Many forks, many threads, many libraries loaded, and the end of the process,
// while threads allocate. Whatever hangs is ended by the tests' time limit.

#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

static void use_all_sizes(unsigned tag) {
    const size_t sizes[] = {1, 24, 100, 600, 3000, 20000, 70000, 200000};
    void *blocks[COUNT(sizes)];
    for (size_t i = 0; i < COUNT(sizes); i++) {
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i]);
        fill(blocks[i], sizes[i] < 500 ? sizes[i] : 500, tag);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        CHECK(is_filled(blocks[i], sizes[i] < 500 ? sizes[i] : 500, tag));
        free(blocks[i]);
    }
}

enum { THREADS = 8, FORKS = 1000, SHORT = 10000, AT_ONCE = 64 };

static volatile int stop;
static void *passed[THREADS];

// Never at rest, so that forks meet it in every state.
static void *be_busy(void *argument) {
    unsigned me = (unsigned)(uintptr_t)argument;
    for (unsigned i = 0; !stop; i++) {
        use_all_sizes(i);
        void *mine = malloc(i % 3000);
        free(__atomic_exchange_n(&passed[(me + 1) % THREADS], mine,
                                 __ATOMIC_ACQ_REL));
        if (i % 500 == 0)
            malloc_trim(0);
    }
    return NULL;
}

static pthread_t start(void *(*function)(void *), uintptr_t argument) {
    pthread_t thread;
    int result = pthread_create(&thread, NULL, function, (void *)argument);
    CHECK_THAT(result == 0, "pthread_create: %d", result);
    return thread;
}

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) == 0,
               "child: status %x", status);
}

static void a_thousand_forks(void) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        threads[i] = start(be_busy, i);
    pid_t children[8];
    for (unsigned i = 0; i < FORKS; i++) {
        unsigned place = i % COUNT(children);
        if (i >= COUNT(children))
            wait_for(children[place]);
        children[place] = fork();
        CHECK(children[place] >= 0);
        if (children[place] == 0) {
            for (unsigned k = 0; k < 5; k++)
                use_all_sizes(k);
            // And what another thread has left.
            free(passed[i % THREADS]);
            exit(0);
        }
    }
    for (unsigned i = 0; i < COUNT(children); i++)
        wait_for(children[i]);
    stop = 1;
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void *left_behind[AT_ONCE];

// Frees what the one before it in its place has left.
static void *live_shortly(void *argument) {
    unsigned tag = (unsigned)(uintptr_t)argument;
    use_all_sizes(tag);
    void **place = &left_behind[tag % AT_ONCE];
    free(*place);
    *place = malloc(tag % 2000);
    CHECK(*place);
    return NULL;
}

static void ten_thousand_threads(void) {
    pthread_t threads[AT_ONCE];
    size_t before = 0;
    for (uintptr_t i = 0; i < SHORT; i++) {
        if (i >= AT_ONCE)
            CHECK(pthread_join(threads[i % AT_ONCE], NULL) == 0);
        if (i == SHORT / 10)
            before = status_kib("VmRSS:");
        threads[i % AT_ONCE] = start(live_shortly, i);
    }
    for (unsigned i = 0; i < AT_ONCE; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    malloc_trim(0);
    size_t after = status_kib("VmRSS:");
    need_exact_memory();
    CHECK_THAT(after <= before + 4 * KIB, "%zu KiB before, %zu after", before,
               after);
}

static void *at_exit_blocks[100];

static void free_at_exit(void) {
    for (size_t i = 0; i < COUNT(at_exit_blocks); i++) {
        free(at_exit_blocks[i]);
        at_exit_blocks[i] = realloc(malloc(i * 7), i * 90);
    }
    use_all_sizes(9);
    for (size_t i = 0; i < COUNT(at_exit_blocks); i++)
        free(at_exit_blocks[i]);
}

// Handlers allocate, and threads that nobody joins do all the time.
static void exit_with_handlers_and_detached_threads(void) {
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            CHECK(atexit(free_at_exit) == 0);
            for (size_t k = 0; k < COUNT(at_exit_blocks); k++)
                at_exit_blocks[k] = malloc(k * 100);
            for (uintptr_t k = 0; k < 4; k++)
                CHECK(pthread_detach(start(be_busy, k)) == 0);
            usleep((useconds_t)(i * 17 % 700));
            exit(0);
        }
        wait_for(child);
    }
}

// A library that allocates when it is loaded and frees when it is unloaded: its
// path is the argument.
static void library_comes_and_goes(void) {
    CHECK(more_count == 1);
    pthread_t threads[2];
    for (uintptr_t i = 0; i < 2; i++)
        threads[i] = start(be_busy, i);
    size_t before = 0;
    for (unsigned i = 0; i < 1000; i++) {
        void *library = dlopen(more[0], RTLD_NOW | RTLD_LOCAL);
        CHECK_THAT(library, "%s", dlerror());
        void *(*make)(unsigned) = (void *(*)(unsigned))dlsym(library, "make");
        CHECK(make);
        void *block = make(i);
        CHECK(dlclose(library) == 0);
        // It outlives the library that has made it.
        CHECK(is_filled(block, 300, i));
        free(block);
        if (i == 100)
            before = status_kib("VmData:");
    }
    CHECK(status_kib("VmData:") < before + 64 * KIB);
    stop = 1;
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

MAIN(CASE(a_thousand_forks), CASE(ten_thousand_threads),
     CASE(exit_with_handlers_and_detached_threads),
     CASE(library_comes_and_goes))
