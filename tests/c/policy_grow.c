// A heap of so many MiB in blocks of 56 bytes, each written to as it comes: the
// time that takes, the most that was resident, page faults, and the time of a
// fork of it.
//
//     policy_grow MIB

#include "mem.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { BLOCK = 56, FORKS = 5 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
    size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 1024) << 20;
    double start = now();
    void **last = NULL;
    for (size_t i = 0; i < bytes / BLOCK; i++) {
        void **block = malloc(BLOCK);
        if (!block)
            return 1;
        block[0] = last;
        block[BLOCK / sizeof *block - 1] = block;
        last = block;
    }
    double grown = now() - start;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);

    double fastest = 0;
    for (int k = 0; k < FORKS; k++) {
        start = now();
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        double forked = now() - start;
        if (child < 0 || waitpid(child, NULL, 0) != child)
            return 1;
        if (k == 0 || forked < fastest)
            fastest = forked;
    }
    figure("grown_ms", grown);
    figure("peak_kib", (double)used.ru_maxrss);
    figure("faults", (double)used.ru_minflt);
    figure("fork_ms", fastest);
    return last == NULL;
}
