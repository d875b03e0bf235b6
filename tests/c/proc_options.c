// What a whole process shows of the options' edges. Each case says which
// options it is started with.

#include "check.h"
#include <pthread.h>

static volatile int is_pending, has_passed;

static void *allocate_until_refused(void *argument) {
    while (!is_pending)
        ;
    for (int i = 0; i < 10000 && malloc(60 * KIB); i++)
        ;
    has_passed = 1;
    pthread_testcancel();
    return argument;
}

// BIFOLD_LOCK=1. That memory is refused is told while locks are held: a thread
// that were cancelled there would never let them go.
static void refusing_is_no_cancellation_point(void) {
    struct rlimit few = {4 * MIB, 4 * MIB};
    CHECK(setrlimit(RLIMIT_MEMLOCK, &few) == 0);
    // Who may exceed the limit is not refused.
    if (geteuid() == 0)
        CHECK(setuid(65534) == 0);
    // What is told is tested elsewhere.
    int null = open("/dev/null", O_WRONLY);
    CHECK(null >= 0 && dup2(null, STDERR_FILENO) == STDERR_FILENO);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, allocate_until_refused, NULL) == 0);
    CHECK(pthread_cancel(thread) == 0);
    is_pending = 1;
    void *result;
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && has_passed);
    free(malloc(100));
}

MAIN(CASE(refusing_is_no_cancellation_point))
