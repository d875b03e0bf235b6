// The library loaded by dlopen, beside the C library's malloc. Its path is the
// argument; nothing of it is linked or preloaded.

#include "ledger.h"
#include <sys/wait.h>

static void *library;
static void *(*load_malloc)(size_t);
static void *(*load_calloc)(size_t, size_t);
static void *(*load_realloc)(void *, size_t);
static void (*load_free)(void *);
static size_t (*load_usable)(void *);

static void load(void) {
    CHECK(more_count == 1);
    library = dlopen(more[0], RTLD_NOW | RTLD_LOCAL);
    CHECK_THAT(library, "%s", dlerror());
    load_malloc = (void *(*)(size_t))dlsym(library, "malloc");
    load_calloc = (void *(*)(size_t, size_t))dlsym(library, "calloc");
    load_realloc = (void *(*)(void *, size_t))dlsym(library, "realloc");
    load_free = (void (*)(void *))dlsym(library, "free");
    load_usable = (size_t (*)(void *))dlsym(library, "malloc_usable_size");
    CHECK(load_malloc && load_calloc && load_realloc && load_free &&
          load_usable);
    if (dlsym(library, "bifold_version"))
        CHECK(load_malloc != malloc);
}

static const size_t sizes[] = {0,    1,     16,     100,    1000,
                               5000, 40000, 100000, 300000, 3 << 20};

// Blocks of both, side by side.
static void use_both(unsigned tag) {
    void *ours[COUNT(sizes)], *theirs[COUNT(sizes)];
    for (size_t i = 0; i < COUNT(sizes); i++) {
        ours[i] = i % 2 ? load_malloc(sizes[i]) : load_calloc(1, sizes[i]);
        theirs[i] = malloc(sizes[i]);
        CHECK(ours[i] && theirs[i]);
        CHECK(is_aligned(ours[i], 16) && load_usable(ours[i]) >= sizes[i]);
        ledger_enter(ours[i], sizes[i]);
        ledger_enter(theirs[i], sizes[i]);
        fill(ours[i], sizes[i], tag);
        fill(theirs[i], sizes[i], tag + 1);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        CHECK(is_filled(ours[i], sizes[i], tag) &&
              is_filled(theirs[i], sizes[i], tag + 1));
        ledger_strike(ours[i], sizes[i]);
        ledger_strike(theirs[i], sizes[i]);
        ours[i] = load_realloc(ours[i], sizes[i] + 100);
        CHECK(ours[i] && is_filled(ours[i], sizes[i], tag));
        load_free(ours[i]);
        free(theirs[i]);
    }
}

static void used_beside_the_system(void) {
    load();
    for (unsigned i = 0; i < 20; i++)
        use_both(i);
}

static void *use_in_thread(void *argument) {
    for (unsigned i = 0; i < 10; i++)
        use_both((unsigned)(uintptr_t)argument + i);
    return NULL;
}

static void run_threads(unsigned count, void *(*function)(void *)) {
    pthread_t threads[16];
    for (uintptr_t i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, function, (void *)i) == 0);
    for (unsigned i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void used_by_threads(void) {
    load();
    for (int round = 0; round < 5; round++)
        run_threads(8, use_in_thread);
}

static volatile int is_loaded;

static void *wait_and_use(void *argument) {
    while (!__atomic_load_n(&is_loaded, __ATOMIC_ACQUIRE))
        usleep(100);
    return use_in_thread(argument);
}

// Threads that are older than the library, and its thread-local storage.
static void used_by_older_threads(void) {
    pthread_t threads[8];
    for (uintptr_t i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, wait_and_use, (void *)i) == 0);
    load();
    __atomic_store_n(&is_loaded, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 8; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    use_both(1);
}

static void *load_in_thread(void *unused) {
    load();
    use_both(2);
    return unused;
}

static void loaded_by_a_thread(void) {
    run_threads(1, load_in_thread);
    use_both(3);
    run_threads(4, use_in_thread);
}

static void *blocks[8][1000];

static void *make_blocks(void *argument) {
    for (unsigned i = 0; i < 1000; i++)
        blocks[(uintptr_t)argument][i] = load_malloc(i);
    return NULL;
}

static void *free_blocks_of_another(void *argument) {
    for (unsigned i = 0; i < 1000; i++)
        load_free(blocks[((uintptr_t)argument + 1) % 8][i]);
    return NULL;
}

static void blocks_pass_between_threads(void) {
    load();
    for (int round = 0; round < 10; round++) {
        run_threads(8, make_blocks);
        run_threads(8, free_blocks_of_another);
    }
}

static void use_and_fork(void) {
    use_both(4);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        use_both(5);
        run_threads(2, use_in_thread);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void forked(void) {
    load();
    for (int i = 0; i < 20; i++)
        use_and_fork();
}

static volatile int is_closed;
static volatile unsigned used;

static void *use_and_outlive(void *unused) {
    use_both(6);
    __atomic_fetch_add(&used, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&is_closed, __ATOMIC_ACQUIRE))
        usleep(100);
    return unused;
}

// Handlers for threads, fork and exit are still registered then.
static void closed(void) {
    pthread_t threads[4];
    load();
    use_both(7);
    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, use_and_outlive, NULL) == 0);
    while (__atomic_load_n(&used, __ATOMIC_ACQUIRE) != 4)
        usleep(100);
    CHECK(dlclose(library) == 0);
    __atomic_store_n(&is_closed, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        exit(0);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void closed_and_loaded_again(void) {
    for (int round = 0; round < 20; round++) {
        load();
        use_both(8);
        run_threads(2, use_in_thread);
        CHECK(dlclose(library) == 0);
    }
}

MAIN(CASE(used_beside_the_system), CASE(used_by_threads),
     CASE(used_by_older_threads), CASE(loaded_by_a_thread),
     CASE(blocks_pass_between_threads), CASE(forked), CASE(closed),
     CASE(closed_and_loaded_again))
