// Programs with one mistake, or none, for memcheck to find.

#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

static const size_t sizes[] = {1, 24, 112, 113, 600, 3000, 20000, 70000, 300000};

static void *use_all_sizes(void *unused) {
    void *blocks[COUNT(sizes)];
    for (unsigned round = 0; round < 5; round++) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            blocks[i] = i % 2 ? malloc(sizes[i]) : calloc(1, sizes[i]);
            CHECK(blocks[i] && (i % 2 || is_zero(blocks[i], sizes[i])));
            fill(blocks[i], sizes[i], round);
        }
        for (size_t i = 0; i < COUNT(sizes); i++) {
            blocks[i] = realloc(blocks[i], sizes[i] * 2);
            CHECK(is_filled(blocks[i], sizes[i], round));
            fill(blocks[i], malloc_usable_size(blocks[i]), round);
            free(blocks[i]);
        }
        void *aligned = memalign(4096, 5000);
        fill(aligned, 5000, round);
        free(aligned);
    }
    return unused;
}

static void *blocks_of_another[500];

static void *free_them(void *unused) {
    for (size_t i = 0; i < COUNT(blocks_of_another); i++)
        free(blocks_of_another[i]);
    return unused;
}

static void run(void *(*function)(void *)) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, function, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void clean(void) {
    use_all_sizes(NULL);
    run(use_all_sizes);
    for (size_t i = 0; i < COUNT(blocks_of_another); i++)
        blocks_of_another[i] = malloc(i * 3);
    run(free_them);
    // What is kept to the end, and known, is no leak.
    blocks_of_another[0] = malloc(100);
    malloc_trim(0);
    CHECK(mallinfo2().uordblks > 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        use_all_sizes(NULL);
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

// In a frame of its own, so that no register keeps the address.
__attribute__((noinline)) static void lose(size_t size) {
    void *block = malloc(size);
    memset(block, 1, size);
    HIDE(block);
}

static void leak(void) {
    lose(1234);
    use_all_sizes(NULL);
}

// Not the first mapping: where that starts, something else ends, and whoever knows
// the end has what looks like a pointer.
static void leak_of_a_mapping(void) {
    void *first = malloc(400000);
    lose(345678);
    free(first);
    use_all_sizes(NULL);
}

// A size class's own size: the byte behind it is the next block's.
static void overrun(void) {
    volatile char *before = malloc(112), *block = malloc(112);
    block[112] = 1;
    free((void *)block);
    free((void *)before);
}

static void overrun_by_a_read(void) {
    volatile char *block = calloc(1, 300000);
    (void)block[300000];
    free((void *)block);
}

static void read_after_free(void) {
    volatile char *block = malloc(50);
    memset((void *)block, 1, 50);
    free((void *)block);
    (void)block[49];
}

static void write_after_free(void) {
    volatile char *block = malloc(5000);
    free((void *)block);
    // Others are freed and allocated meanwhile.
    use_all_sizes(NULL);
    block[4000] = 1;
}

static void read_of_the_old_after_realloc(void) {
    volatile char *block = calloc(1, 100);
    void *new = realloc((void *)block, 101);
    (void)block[5];
    free(new);
}

static void uninitialised(void) {
    volatile char *block = malloc(50);
    block[0] = 1;
    if (block[1] == 7)
        say("");
    free((void *)block);
}

static void uninitialised_after_realloc(void) {
    volatile char *block = realloc(calloc(1, 50), 60);
    if (block[49] == 7 || block[50] == 7)
        say("");
    free((void *)block);
}

static void freed_twice(void) {
    void *block = malloc(50);
    free(block);
    HIDE(block);
    free(block);
}

MAIN(CASE(clean), CASE(leak), CASE(leak_of_a_mapping), CASE(overrun),
     CASE(overrun_by_a_read), CASE(read_after_free), CASE(write_after_free),
     CASE(read_of_the_old_after_realloc), CASE(uninitialised),
     CASE(uninitialised_after_realloc), CASE(freed_twice))
