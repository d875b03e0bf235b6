// Threads that are cancelled while they allocate.

#include "check.h"
#include <malloc.h>
#include <pthread.h>

static pthread_t start(void *(*function)(void *), void *argument) {
    pthread_t thread;
    int result = pthread_create(&thread, NULL, function, argument);
    CHECK_THAT(result == 0, "pthread_create: %d", result);
    return thread;
}

static void use_all_sizes(unsigned tag) {
    const size_t sizes[] = {1, 24, 100, 600, 3000, 20000, 70000, 200000};
    void *blocks[COUNT(sizes)];
    for (size_t i = 0; i < COUNT(sizes); i++) {
        blocks[i] = malloc(sizes[i]);
        CHECK(blocks[i]);
        fill(blocks[i], sizes[i], tag);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        CHECK(is_filled(blocks[i], sizes[i], tag));
        blocks[i] = realloc(blocks[i], sizes[i] + 50);
        CHECK(is_filled(blocks[i], sizes[i], tag));
        free(blocks[i]);
    }
}

static void release_slot(void *slot) {
    free(*(void **)slot);
    *(void **)slot = NULL;
}

static void *allocate_until_cancelled(void *argument) {
    unsigned thread = (unsigned)(uintptr_t)argument;
    for (;;) {
        void *slot = malloc(100 + thread);
        pthread_cleanup_push(release_slot, &slot);
        for (unsigned i = 0; i < 100; i++) {
            slot = realloc(slot, 1 + i * thread % 7000);
            CHECK(slot);
            if (i % 10 == 0)
                pthread_testcancel();
        }
        pthread_cleanup_pop(1);
    }
    return NULL;
}

static void cancelled(void) {
    for (int round = 0; round < 100; round++) {
        pthread_t threads[8];
        for (uintptr_t i = 0; i < 8; i++)
            threads[i] = start(allocate_until_cancelled, (void *)i);
        usleep((useconds_t)(round * 37 % 1000));
        for (unsigned i = 0; i < 8; i++)
            CHECK(pthread_cancel(threads[i]) == 0);
        for (unsigned i = 0; i < 8; i++) {
            void *result;
            CHECK(pthread_join(threads[i], &result) == 0);
            CHECK(result == PTHREAD_CANCELED);
        }
        use_all_sizes(1);
    }
}

static volatile int is_pending, has_passed;

// None of these is a cancellation point: what a thread holds would be lost.
static void *allocate_with_a_request_pending(void *argument) {
    while (!is_pending)
        ;
    for (unsigned i = 0; i < 200; i++) {
        use_all_sizes(i);
        free(calloc(3, MIB));
        void *block = memalign(MIB, 5 * MIB);
        CHECK(block);
        free(block);
    }
    malloc_trim(0);
    has_passed = 1;
    pthread_testcancel();
    return argument;
}

static void no_function_is_a_cancellation_point(void) {
    pthread_t thread = start(allocate_with_a_request_pending, NULL);
    CHECK(pthread_cancel(thread) == 0);
    is_pending = 1;
    void *result;
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && has_passed);
}

MAIN(CASE(cancelled), CASE(no_function_is_a_cancellation_point))
