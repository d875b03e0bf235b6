// Signal handlers that call malloc or free although their thread is in it.

#include "check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

static void handle(int signal, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_flags = flags};
    action.sa_handler = handler;
    CHECK(sigaction(signal, &action, NULL) == 0);
}

// Has this system call raise SIGSYS in the middle of what makes it.
static void trap(unsigned call) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT(code), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        SKIP("no system call filters: errno %d", errno);
}

static void *volatile run;

static void allocate_a_run(int signal) {
    run = malloc(100000 + (size_t)signal);
}

static void free_a_run(int signal) {
    (void)signal;
    free(run);
}

// The pages of a run are given back under a lock, and a handler wants it.
static void in_a_slow_path(void (*handler)(int)) {
    run = malloc(100000);
    void *other = malloc(120000);
    memset(other, 1, 120000);
    handle(SIGSYS, handler, 0);
    trap(SYS_madvise);
    free(other);
    malloc_trim(0);
    FAIL("nothing was trimmed");
}

static void malloc_in_a_slow_path(void) {
    in_a_slow_path(allocate_a_run);
}

static void free_in_a_slow_path(void) {
    in_a_slow_path(free_a_run);
}

static void *in_thread(void *unused) {
    in_a_slow_path(allocate_a_run);
    return unused;
}

static void in_a_thread(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void use_a_mapping(int unused) {
    (void)unused;
    void *block = malloc(MIB);
    if (block)
        ((volatile char *)block)[0] = 1;
    free(block);
}

// Every 100 us a handler that wants the same lock as the main program, on a stack
// of its own or not. It may never meet it held.
static void storm(int flags) {
    static char stack[64 * KIB];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    CHECK(sigaltstack(&other, NULL) == 0);
    handle(SIGALRM, use_a_mapping, SA_RESTART | flags);
    struct itimerval every = {{0, 100}, {0, 100}};
    CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
    for (time_t end = time(NULL) + 5; time(NULL) < end;)
        use_a_mapping(0);
}

static void storm_on_the_stack(void) {
    storm(0);
}

static void storm_on_another_stack(void) {
    storm(SA_ONSTACK);
}

MAIN(CASE(malloc_in_a_slow_path), CASE(free_in_a_slow_path), CASE(in_a_thread),
     CASE(storm_on_the_stack), CASE(storm_on_another_stack))
