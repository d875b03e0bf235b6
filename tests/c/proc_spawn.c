// Other programs started from this one: vfork, posix_spawn, system, popen.

#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static void *held[1000];

static void hold_blocks(void) {
    for (unsigned i = 0; i < COUNT(held); i++) {
        free(held[i]);
        held[i] = malloc(i * 17 + 1);
        CHECK(held[i]);
        fill(held[i], i * 17 + 1, i);
    }
}

static void check_blocks(void) {
    for (unsigned i = 0; i < COUNT(held); i++)
        CHECK(is_filled(held[i], i * 17 + 1, i));
}

static void wait_for(pid_t child, int expected) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) == expected,
               "status %x", status);
}

static char *const exit_with_7[] = {"sh", "-c", "exit 7", NULL};

static void by_vfork(void) {
    for (int i = 0; i < 20; i++) {
        hold_blocks();
        pid_t child = vfork();
        if (child == 0) {
            execv("/bin/sh", exit_with_7);
            _exit(127);
        }
        CHECK(child > 0);
        wait_for(child, 7);
        check_blocks();
    }
}

static void by_posix_spawn(void) {
    for (int i = 0; i < 20; i++) {
        hold_blocks();
        pid_t child;
        CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, exit_with_7,
                          environ) == 0);
        wait_for(child, 7);
        check_blocks();
    }
    pid_t child;
    CHECK(posix_spawn(&child, "/nowhere/at/all", NULL, NULL, exit_with_7,
                      environ) == ENOENT);
}

static void by_system(void) {
    for (int i = 0; i < 20; i++) {
        hold_blocks();
        int status = system("exit 7");
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        check_blocks();
    }
}

static void by_popen(void) {
    for (int i = 0; i < 20; i++) {
        hold_blocks();
        FILE *stream = popen("for i in 1 2 3; do echo line $i; done", "r");
        CHECK(stream);
        char line[100];
        for (int k = 1; k <= 3; k++) {
            char expected[100];
            snprintf(expected, sizeof expected, "line %d\n", k);
            CHECK(fgets(line, sizeof line, stream) && !strcmp(line, expected));
        }
        CHECK(pclose(stream) == 0);
        check_blocks();
    }
}

static volatile int stop;

static void *allocate_until_stopped(void *unused) {
    while (!stop) {
        void *blocks[50];
        for (unsigned i = 0; i < COUNT(blocks); i++)
            blocks[i] = malloc(i * i * 10);
        for (unsigned i = 0; i < COUNT(blocks); i++)
            free(blocks[i]);
    }
    return unused;
}

static void while_others_allocate(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, allocate_until_stopped,
                             NULL) == 0);
    by_vfork();
    by_posix_spawn();
    by_system();
    by_popen();
    stop = 1;
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void executed(void) {
    hold_blocks();
}

// The program itself, over and over, by exec alone.
static void by_exec(void) {
    hold_blocks();
    unsigned left = more_count ? (unsigned)atoi(more[0]) : 30;
    if (left == 0)
        return;
    char text[20];
    snprintf(text, sizeof text, "%u", left - 1);
    char *const arguments[] = {"proc_spawn", "by_exec", text, NULL};
    execv("/proc/self/exe", arguments);
    FAIL("execv: %s", strerror(errno));
}

static void programs_of_the_same_kind(void) {
    char *const arguments[] = {"proc_spawn", "executed", NULL};
    for (int i = 0; i < 20; i++) {
        pid_t child;
        CHECK(posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments,
                          environ) == 0);
        wait_for(child, 0);
    }
}

MAIN(CASE(by_vfork), CASE(by_posix_spawn), CASE(by_system), CASE(by_popen),
     CASE(while_others_allocate), CASE(executed), CASE(by_exec),
     CASE(programs_of_the_same_kind))
