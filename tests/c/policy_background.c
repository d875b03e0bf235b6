// The background thread: gives memory back while nobody comes by, and is never
// in the way.

#include "policy.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char own[16 * MIB];

static size_t start_kib(void) {
    need_bifold();
    memset(own, 1, sizeof own);
    free(malloc(1));
    return resident_kib();
}

static void check_back(size_t start) {
    size_t end = resident_kib();
    CHECK_THAT(end <= start + start / 10, "%zu KiB at the start, %zu then",
               start, end);
}

static int threads(void) {
    return (int)status_kib("Threads:");
}

static void idle(void) {
    size_t start = start_kib();
    CHECK_THAT(threads() == 2, "%d threads", threads());
    let_go(hold(200 * MIB, mixed_sizes));
    let_go(hold(200 * MIB, long_sizes));
    pause_ms(5000);
    check_back(start);
}

// Without it an idle process keeps what it has.
static void idle_without(void) {
    size_t start = start_kib();
    CHECK(threads() == 1);
    let_go(hold(200 * MIB, mixed_sizes));
    pause_ms(3000);
    CHECK(resident_kib() >= start + 190 * KIB);
}

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_THAT(status == 0, "the child's status is %#x", status);
}

static void idle_after_fork(void) {
    size_t start = start_kib();
    struct held *first = hold(200 * MIB, mixed_sizes);
    pid_t child = fork();
    CHECK(child >= 0);
    let_go(first);
    if (child == 0) {
        // The first slow path starts the child's own thread.
        let_go(hold(10 * MIB, mixed_sizes));
        CHECK_THAT(threads() == 2, "%d threads in the child", threads());
    }
    pause_ms(5000);
    check_back(start);
    if (child == 0)
        _exit(0);
    wait_for(child);
}

static void child_that_executes(void) {
    need_bifold();
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            execlp("true", "true", NULL);
            _exit(9);
        }
        wait_for(child);
    }
    CHECK(threads() == 2);
}

static void main_returns(void) {
    need_bifold();
    CHECK(threads() == 2);
}

static void main_thread_ends(void) {
    need_bifold();
    CHECK(threads() == 2);
    // The process ends with its last other thread, with status 0.
    pthread_exit(NULL);
}

static void *sleep_a_little(void *unused) {
    pause_ms(300);
    void *block = malloc(1000);
    CHECK(block);
    free(block);
    return unused;
}

static void main_thread_ends_first(void) {
    need_bifold();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, sleep_a_little, NULL) == 0);
    pthread_exit(NULL);
}

static volatile sig_atomic_t signals;

// Without /proc the thread can't tell that it is the last; so it takes signals.
static void last_without_proc(void) {
    need_bifold();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (chroot("/dev/fd") != 0 && chroot("/var/empty") != 0 &&
            chroot("/mnt") != 0)
            _exit(EXIT_SKIPPED);
        let_go(hold(20 * MIB, mixed_sizes));
        pause_ms(2500);
        syscall(SYS_exit, 0);
    }
    pause_ms(4000);
    int status;
    if (waitpid(child, &status, WNOHANG) == child) {
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED);
        SKIP("can't change the root directory");
    }
    CHECK(kill(child, SIGTERM) == 0);
    pause_ms(500);
    CHECK_THAT(waitpid(child, &status, WNOHANG) == child, "it takes no SIGTERM");
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void count_signal(int number) {
    (void)number;
    signals++;
}

// Signals come to the program's own threads.
static void takes_no_signals(void) {
    need_bifold();
    CHECK(signal(SIGUSR1, count_signal) != SIG_ERR);
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    pause_ms(100);
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    CHECK(signals == 0);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    CHECK(signals == 1);
}

// The program may close all its files, the thread's as well.
static void all_files_are_closed(void) {
    size_t start = start_kib();
    for (int file = 3; file < 100; file++)
        close(file);
    int file = open("/dev/null", O_RDWR);
    CHECK(file >= 3 || file < 0 || file == 0);
    let_go(hold(100 * MIB, mixed_sizes));
    pause_ms(5000);
    check_back(start);
    CHECK(write(file, "x", 1) == 1);
}

// Writes and reads a file that does not fit into the cgroup beside the memory
// that is free here: page cache comes and goes, and who wants some waits.
static void squeeze(const char *name) {
    static char buffer[BIFOLD_PAGE];
    enum { PAGES = 112 * 256 };
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK_THAT(file >= 0, "%s: %s", name, strerror(errno));
    CHECK(unlink(name) == 0);
    for (int page = 0; page < PAGES; page++)
        CHECK(write(file, buffer, sizeof buffer) == sizeof buffer);
    CHECK(posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM) == 0);
    for (uint64_t state = 4711;;) {
        off_t place = (off_t)(next_random(&state) % PAGES * sizeof buffer);
        CHECK(pread(file, buffer, sizeof buffer, place) == sizeof buffer);
    }
}

// Microseconds for which somebody on the machine has waited for memory.
static void find_total(struct lines *lines, char *line) {
    char *total = strstr(line, "total=");
    if (!strncmp(line, "some", 4) && total)
        lines->sum = strtoull(total + 6, NULL, 10);
}

static size_t waited(void) {
    struct lines lines = {0};
    for_each_line("/proc/pressure/memory", &lines, find_total);
    return lines.sum;
}

// Keeps free memory for a minute, but for a neighbour that is short of it.
static void gives_way(void) {
    CHECK(more_count == 1);
    size_t start = start_kib();
    if (access("/proc/pressure/memory", W_OK) != 0)
        SKIP("the kernel does not measure pressure");
    let_go(hold(64 * MIB, mixed_sizes));
    pause_ms(2000);
    size_t kept = resident_kib();
    if (kept < start + 56 * KIB)
        SKIP("somebody else was short of memory");
    size_t before = waited();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        squeeze(more[0]);
    size_t end = kept;
    for (int i = 0; i < 200 && end > start + 8 * KIB; i++) {
        pause_ms(50);
        end = resident_kib();
    }
    kill(child, SIGKILL);
    CHECK(waitpid(child, NULL, 0) == child);
    if (end > start + 8 * KIB && waited() < before + 500000)
        SKIP("the neighbour did not have to wait");
    CHECK_THAT(end <= start + 8 * KIB,
               "%zu KiB at the start, %zu kept, %zu under pressure", start,
               kept, end);
}

MAIN(CASE(idle), CASE(idle_without), CASE(idle_after_fork),
     CASE(child_that_executes), CASE(main_returns), CASE(main_thread_ends),
     CASE(main_thread_ends_first), CASE(last_without_proc),
     CASE(takes_no_signals),
     CASE(all_files_are_closed), CASE(gives_way))
