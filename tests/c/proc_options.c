// What a whole process shows of the options' edges. Each case says which
// options it is started with.

#include "check.h"
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

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

// BIFOLD_BACKGROUND=1. A malloc in the child starts the thread, which cannot be
// given its name there.
static void starting_the_background_thread_keeps_errno(void) {
    char directory[] = "/tmp/bifold-XXXXXX";
    CHECK(mkdtemp(directory));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (chroot(directory) != 0)
            _exit(EXIT_SKIPPED);
        enum { BLOCKS = 600, OTHER = 1234 };
        static void *blocks[BLOCKS];
        for (int i = 0; i < BLOCKS; i++) {
            errno = OTHER;
            blocks[i] = malloc(1000);
            CHECK_THAT(errno == OTHER, "malloc: errno %d", errno);
        }
        for (int i = 0; i < BLOCKS; i++) {
            errno = OTHER;
            free(blocks[i]);
            CHECK_THAT(errno == OTHER, "free: errno %d", errno);
        }
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    rmdir(directory);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == EXIT_SKIPPED)
        SKIP("the user may not chroot");
    CHECK(WEXITSTATUS(status) == 0);
}

static long resident_mib(void) {
    long pages, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%ld %ld", &pages, &resident) == 2);
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE) / (long)MIB;
}

// BIFOLD_RESERVE=64M, BIFOLD_PREFAULT=1, BIFOLD_LIMIT=100M.
static void a_request_beyond_the_limit_leaves_the_reserve(void) {
    CHECK_THAT(resident_mib() >= 64, "%ld MiB", resident_mib());
    errno = 0;
    CHECK(malloc(300 * MIB) == NULL && errno == ENOMEM);
    CHECK_THAT(resident_mib() >= 64, "%ld MiB", resident_mib());
}

// Without options. malloc_trim(3): 1 if memory was released, 0 if not.
static void trim_says_whether_memory_was_released(void) {
    enum { BLOCKS = 100, BYTES = 100000 };
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BYTES);
        CHECK(blocks[i]);
        memset(blocks[i], 1, BYTES);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    CHECK(malloc_trim(0) == 1);
    CHECK(malloc_trim(0) == 0);
}

static long faults(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt;
}

// BIFOLD_SOFT_LIMIT=2M. A program that needs more all the time, and takes what
// it has just given back, does not pay for pages each time.
static void what_is_resident_is_taken_beyond_the_soft_limit(void) {
    enum { BYTES = 100000, ROUNDS = 1000 };
    static void *blocks[100];
    for (size_t i = 0; i < COUNT(blocks); i++)
        CHECK((blocks[i] = malloc(BYTES)));
    long before = faults();
    for (int i = 0; i < ROUNDS; i++) {
        void *one = malloc(BYTES), *other = malloc(BYTES);
        CHECK(one && other);
        memset(one, 1, BYTES);
        memset(other, 1, BYTES);
        free(one);
        free(other);
    }
    long more = faults() - before;
    CHECK_THAT(more < ROUNDS, "%ld faults", more);
}

// How often a thread has waited since it began.
static long waits_of(const char *thread) {
    char name[300], line[200];
    snprintf(name, sizeof name, "/proc/self/task/%s/status", thread);
    FILE *file = fopen(name, "r");
    CHECK(file);
    long waits = -1;
    while (fgets(line, sizeof line, file))
        sscanf(line, "voluntary_ctxt_switches: %ld", &waits);
    fclose(file);
    return waits;
}

static int open_files(void) {
    int files = 0;
    for (int file = 0; file < 1000; file++)
        files += fcntl(file, F_GETFD) >= 0;
    return files;
}

// BIFOLD_BACKGROUND=1. The child's thread has files of its own.
static void generations_do_not_add_up_open_files(void) {
    enum { GENERATIONS = 4 };
    int first = 0;
    for (int generation = 0; generation < GENERATIONS; generation++) {
        static void *blocks[3000];
        for (size_t i = 0; i < COUNT(blocks); i++)
            CHECK((blocks[i] = malloc(1000)));
        for (size_t i = 0; i < COUNT(blocks); i++)
            free(blocks[i]);
        usleep(300000);
        int files = open_files();
        if (generation == 0)
            first = files;
        CHECK_THAT(files <= first, "%d files, and %d at first", files, first);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child > 0) {
            int status;
            CHECK(waitpid(child, &status, 0) == child);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            return;
        }
    }
}

// BIFOLD_BACKGROUND=1, BIFOLD_PURGE=never. Mappings that are kept and never
// unmapped are no reason for the thread to wake up more than once a second.
static void nothing_is_due_where_nothing_is_purged(void) {
    enum { ROUNDS = 40 };
    for (int i = 0; i < ROUNDS; i++) {
        void *one = malloc(3 * MIB), *other = malloc(3 * MIB);
        CHECK(one && other);
        free(one);
        free(other);
    }
    // By then what is kept would be old.
    sleep(1);
    char self[20], other[20] = "";
    snprintf(self, sizeof self, "%d", getpid());
    DIR *threads = opendir("/proc/self/task");
    CHECK(threads);
    for (struct dirent *entry; (entry = readdir(threads));)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, self) != 0)
            snprintf(other, sizeof other, "%.19s", entry->d_name);
    closedir(threads);
    CHECK_THAT(other[0], "there is no background thread");
    long before = waits_of(other);
    sleep(1);
    long waits = waits_of(other) - before;
    CHECK_THAT(waits < 20, "%ld waits in a second", waits);
}

MAIN(CASE(refusing_is_no_cancellation_point),
     CASE(starting_the_background_thread_keeps_errno),
     CASE(a_request_beyond_the_limit_leaves_the_reserve),
     CASE(trim_says_whether_memory_was_released),
     CASE(what_is_resident_is_taken_beyond_the_soft_limit),
     CASE(generations_do_not_add_up_open_files),
     CASE(nothing_is_due_where_nothing_is_purged))
