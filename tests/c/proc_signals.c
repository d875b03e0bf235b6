// Signal handlers that allocate at a high rate, in threads that are not inside
// malloc at the moment, and handlers that do not allocate, anywhere.

#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

static const size_t sizes[] = {1, 24, 100, 600, 3000, 20000, 70000, 300000};

static void handle(int signal, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_flags = flags};
    action.sa_handler = handler;
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static void mask(int how) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    CHECK(pthread_sigmask(how, &set, NULL) == 0);
}

static void every_100_us(void) {
    struct itimerval every = {{0, 100}, {0, 100}};
    CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
}

static void use_other_stack(void) {
    static char memory[64 * KIB];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    CHECK(sigaltstack(&stack, NULL) == 0);
}

// What handlers leave behind for the next one, and for other threads.
static void *kept[COUNT(sizes)];
static void *passed[COUNT(sizes)];
static volatile unsigned handled;

static void allocate_and_free(int unused) {
    (void)unused;
    unsigned tag = ++handled;
    size_t i = tag % COUNT(sizes);
    if (kept[i]) {
        CHECK(is_filled(kept[i], sizes[i] < 200 ? sizes[i] : 200,
                        tag - (unsigned)COUNT(sizes)));
        kept[i] = realloc(kept[i], sizes[i] + 500);
    }
    free(kept[i]);
    kept[i] = tag % 2 ? malloc(sizes[i]) : calloc(1, sizes[i]);
    CHECK(kept[i]);
    fill(kept[i], sizes[i] < 200 ? sizes[i] : 200, tag);
    free(__atomic_exchange_n(&passed[i], malloc(sizes[i]), __ATOMIC_ACQ_REL));
}

static volatile int stop;

// Many signals, or what a busy machine delivers in some seconds.
static int is_enough(void) {
    static time_t end;
    if (!end)
        end = time(NULL) + 4;
    return handled >= 5000 || (handled >= 200 && time(NULL) >= end);
}

static void *churn(void *argument) {
    uint64_t state = (uintptr_t)argument + 1;
    void *slots[50] = {0};
    while (!stop) {
        size_t slot = next_random(&state) % COUNT(slots);
        size_t i = next_random(&state) % COUNT(sizes);
        free(slots[slot]);
        slots[slot] = malloc(sizes[i]);
        CHECK(slots[slot]);
        memset(slots[slot], 1, sizes[i] < 200 ? sizes[i] : 200);
        free(__atomic_exchange_n(&passed[i], malloc(sizes[i]),
                                 __ATOMIC_ACQ_REL));
        if (next_random(&state) % 1000 == 0)
            malloc_trim(0);
    }
    for (size_t i = 0; i < COUNT(slots); i++)
        free(slots[i]);
    return NULL;
}

static pthread_t threads[3];

// They take no signals.
static void start_threads(void) {
    mask(SIG_BLOCK);
    for (uintptr_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)i) == 0);
    mask(SIG_UNBLOCK);
}

static void stop_threads(void) {
    stop = 1;
    for (unsigned i = 0; i < COUNT(threads); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

// The thread that is interrupted computes; others allocate.
static void storm(int flags) {
    use_other_stack();
    handle(SIGALRM, allocate_and_free, SA_RESTART | flags);
    start_threads();
    every_100_us();
    while (!is_enough())
        ;
    mask(SIG_BLOCK);
    stop_threads();
}

static void handler_allocates(void) {
    storm(0);
}

static void handler_allocates_on_another_stack(void) {
    storm(SA_ONSTACK);
}

// The thread allocates as well, with the signal blocked as long as it does.
static void blocked_while_the_thread_allocates(void) {
    uint64_t state = 5;
    void *slots[50] = {0};
    size_t lengths[50] = {0};
    handle(SIGALRM, allocate_and_free, SA_RESTART);
    every_100_us();
    while (!is_enough()) {
        size_t slot = next_random(&state) % COUNT(slots);
        mask(SIG_BLOCK);
        CHECK(is_filled(slots[slot], lengths[slot], (unsigned)slot));
        free(slots[slot]);
        lengths[slot] = next_random(&state) % 2000;
        slots[slot] = malloc(lengths[slot]);
        mask(SIG_UNBLOCK);
        fill(slots[slot], lengths[slot], (unsigned)slot);
    }
}

static void only_count(int unused) {
    (void)unused;
    handled++;
}

// A handler that leaves malloc alone may interrupt it anywhere, and system calls
// with it: it is installed without SA_RESTART.
static void handler_does_not_allocate(void) {
    handle(SIGALRM, only_count, 0);
    start_threads();
    every_100_us();
    while (!is_enough()) {
        void *block = malloc(sizes[handled % COUNT(sizes)]);
        CHECK(block);
        free(block);
        free(__atomic_exchange_n(&passed[handled % COUNT(sizes)], NULL,
                                 __ATOMIC_ACQ_REL));
        if (handled % 100 == 0)
            malloc_trim(0);
    }
    mask(SIG_BLOCK);
    stop_threads();
}

// fork is a function that a handler may interrupt and allocate all the same.
static void handler_allocates_in_fork(void) {
    handle(SIGALRM, allocate_and_free, SA_RESTART);
    start_threads();
    mask(SIG_BLOCK);
    struct itimerval every = {{0, 500}, {0, 500}};
    CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
    for (int i = 0; i < 500; i++) {
        mask(SIG_UNBLOCK);
        pid_t child = fork();
        mask(SIG_BLOCK);
        CHECK(child >= 0);
        if (child == 0) {
            allocate_and_free(0);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_THAT(status == 0, "child: status %x", status);
    }
    CHECK(handled > 0);
    stop_threads();
}

static int pipe_ends[2];
static char drained[MIB];
static size_t drained_bytes;

static void *drain_late(void *unused) {
    usleep(100000);
    for (;;) {
        ssize_t got = read(pipe_ends[0], drained + drained_bytes,
                           sizeof drained - drained_bytes);
        if (got <= 0)
            return unused;
        drained_bytes += (size_t)got;
    }
}

// Figures that are written to a pipe which is full at first, while signals
// interrupt the writing.
static void writing_is_interrupted(void) {
    pthread_t reader;
    CHECK(pipe(pipe_ends) == 0);
    int flags = fcntl(pipe_ends[1], F_GETFL);
    CHECK(fcntl(pipe_ends[1], F_SETFL, flags | O_NONBLOCK) == 0);
    size_t before = 0;
    for (char full[4096] = {0}; write(pipe_ends[1], full, sizeof full) > 0;)
        before += sizeof full;
    CHECK(fcntl(pipe_ends[1], F_SETFL, flags) == 0);
    int standard_error = dup(STDERR_FILENO);
    CHECK(dup2(pipe_ends[1], STDERR_FILENO) == STDERR_FILENO);
    mask(SIG_BLOCK);
    CHECK(pthread_create(&reader, NULL, drain_late, NULL) == 0);
    mask(SIG_UNBLOCK);
    handle(SIGALRM, only_count, 0);
    every_100_us();
    malloc_stats();
    mask(SIG_BLOCK);
    CHECK(handled > 0);
    dup2(standard_error, STDERR_FILENO);
    close(pipe_ends[1]);
    CHECK(pthread_join(reader, NULL) == 0);
    CHECK_THAT(drained_bytes > before + 100, "%zu bytes of figures",
               drained_bytes - before);
    CHECK(drained[drained_bytes - 1] == '\n');
}

MAIN(CASE(handler_allocates), CASE(handler_allocates_on_another_stack),
     CASE(blocked_while_the_thread_allocates), CASE(handler_does_not_allocate),
     CASE(handler_allocates_in_fork), CASE(writing_is_interrupted))
