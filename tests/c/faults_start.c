// The start and the end of a process while system calls fail: the program runs
// again and again, each time with another call that fails from its start on.

#include "faults.h"
#include <spawn.h>

extern char **environ;

// What the program is told of the calls that fail.
static const char variable[] = "BIFOLD_TEST_FAULT=";

static void *one_block(void *size) {
    keep(malloc((size_t)size), (size_t)size);
    return NULL;
}

static void use_memory(void) {
    const size_t sizes[] = {1, 100, 3000, 20000, 100000, 3 * MIB};
    for (size_t i = 0; i < COUNT(sizes); i++)
        keep(malloc(sizes[i]), sizes[i]);
    pthread_t thread;
    if (pthread_create(&thread, NULL, one_block, (void *)(size_t)500) == 0)
        pthread_join(thread, NULL);
    else
        ENSURE(may_fail);
    for (size_t i = 0; i < held_count; i++)
        ENSURE(is_marked(held[i].block, held[i].size));
}

// Started with calls that fail.
static void one_start(void) {
    snprintf(round_name, sizeof round_name, "%s", getenv("BIFOLD_TEST_FAULT"));
    may_fail = 1;
    use_memory();
    drop(0, 2);
    if (more_count > 0 && !strcmp(more[0], "to_the_end"))
        exit(0);
    size_t failed = arm(NULL);
    may_fail = 0;
    use_memory();
    pid_t child = fork();
    if (child == 0) {
        use_memory();
        drop(0, 1);
        _exit(0);
    }
    int status;
    ENSURE(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    drop(0, 1);
    malloc_trim(0);
    ENSURE(mallinfo2().hblks == 0);
    _exit(failed ? 2 : 0);
}

// Starts a case with calls that fail, and returns its exit code.
static int start_case(const char *text, const char *name, const char *how) {
    static char setting[128];
    char *environment[256];
    size_t count = 0;
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, variable, sizeof variable - 1)) {
            CHECK(count + 2 < COUNT(environment));
            environment[count++] = *entry;
        }
    snprintf(setting, sizeof setting, "%s%s", variable, text);
    environment[count++] = setting;
    environment[count] = NULL;
    char *arguments[] = {"faults_start", (char *)name, (char *)how, NULL};
    pid_t child;
    CHECK(posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments,
                      environment) == 0);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) % 2 == 0,
               "%s%s: %s %d", variable, text,
               WIFEXITED(status) ? "exit" : "signal",
               WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return WEXITSTATUS(status);
}

static int start_with(const char *text, const char *how) {
    return start_case(text, "one_start", how);
}

static void start(void) {
    size_t rounds = 0;
    for (size_t way = 0; way < COUNT(ways); way++) {
        char text[64];
        unsigned number = 1;
        do {
            snprintf(text, sizeof text, ways[way], number, number);
            rounds++;
            number = next_number(ways[way], number);
        } while (start_with(text, "then_on"));
    }
    CHECK(rounds > COUNT(ways));
}

// Up to the end of the process, at which figures are written.
static void start_and_end(void) {
    for (unsigned number = 1; number < 60; number++) {
        char text[64];
        snprintf(text, sizeof text, number % 2 ? "any:%u-%u" : "any:%u",
                 number, number);
        CHECK(start_with(text, "to_the_end") == 0);
    }
}

// The thread that gives memory back is started, waits, and ends the process.
static void scenario_background(void) {
    for (int i = 0; i < 300; i++)
        keep(malloc(10000), 10000);
    drop(0, 2);
    usleep(40000);
}

static void background(void) {
    more_files = 2;
    survive(scenario_background);
}

static volatile int stop;

static void *keep_at_it(void *argument) {
    while (!stop) {
        void *block = malloc(100000);
        HIDE(block);
        free(block);
    }
    return argument;
}

// What could not be hooked into the C library at the start is later: forks find no
// lock held.
static void one_fork_after_another(void) {
    arm(NULL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, keep_at_it, NULL) == 0);
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(20);
            keep(malloc(100000), 100000);
            keep(malloc(3000), 3000);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_THAT(status == 0, "fork %d: %#x", i, (unsigned)status);
    }
    stop = 1;
    pthread_join(thread, NULL);
}

static void hooks_at_the_second_try(void) {
    start_case("hook:1-6", "one_fork_after_another", NULL);
}

// The line with which a process ends is written although a signal comes.
static void a_message_and_a_signal(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        char *volatile block = malloc(100);
        arm("file:1-1:4");
        free(block + 1);
        _exit(0);
    }
    close(ends[1]);
    char text[200] = "";
    CHECK(read(ends[0], text, sizeof text - 1) > 0);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_THAT(!strncmp(text, "bifold: free of an invalid pointer: 0x", 38),
               "%s", text);
}

MAIN(CASE(start), CASE(start_and_end), CASE(one_start), CASE(background), CASE(hooks_at_the_second_try),
     CASE(one_fork_after_another), CASE(a_message_and_a_signal))
