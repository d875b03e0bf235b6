// bifold_stats_json, and malloc_stats where it is hard to answer.

#include "check.h"
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

typedef void write_function(void *context, const char *text, size_t length);
typedef void stats_function(write_function *write, void *context);

static void stats_json(write_function *write, void *context) {
    stats_function *function;
    *(void **)&function = look_up("bifold_stats_json");
    if (!function)
        SKIP("no bifold_stats_json: another malloc");
    function(write, context);
}

struct text {
    size_t length;
    char bytes[32768];
};

static void append(void *context, const char *piece, size_t length) {
    struct text *text = context;
    CHECK(text->length + length < sizeof text->bytes);
    memcpy(text->bytes + text->length, piece, length);
    text->length += length;
    text->bytes[text->length] = 0;
}

static const char *json(struct text *text) {
    text->length = 0;
    stats_json(append, text);
    return text->bytes;
}

// What follows a name that follows a part's name, such as "window" "live".
static const char *value(const char *text, const char *part,
                         const char *name) {
    const char *names[] = {part, name};
    for (size_t i = 0; i < COUNT(names); i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "\"%s\":", names[i]);
        const char *found = strstr(text, quoted);
        CHECK_THAT(found, "no %s of %s in %s", name, part, text);
        text = found + strlen(quoted);
    }
    return text;
}

static size_t number(const char *text, const char *part, const char *name) {
    const char *digits = value(text, part, name);
    CHECK_THAT(*digits >= '0' && *digits <= '9', "%s of %s is %.10s", name,
               part, digits);
    return strtoull(digits, NULL, 10);
}

// Brackets are closed by their like, in order.
static void check_whole(const char *text) {
    char open[16];
    size_t depth = 0;
    for (; *text; text++) {
        if (*text == '{' || *text == '[') {
            CHECK(depth < sizeof open);
            open[depth++] = *text == '{' ? '}' : ']';
        } else if (*text == '}' || *text == ']') {
            CHECK(depth > 0 && open[--depth] == *text);
            CHECK(depth > 0 || !strcmp(text, "}\n"));
        }
    }
    CHECK(depth == 0);
}

static void the_json_is_whole(void) {
    static struct text text;
    void *blocks[1000];
    for (unsigned i = 0; i < COUNT(blocks); i++)
        blocks[i] = malloc(i * 100);
    check_whole(json(&text));
    size_t live = number(text.bytes, "all", "bytes");
    CHECK_THAT(live >= 1000 * 999 / 2 * 100 && live < 70000000, "%zu", live);
    for (unsigned i = 0; i < COUNT(blocks); i++)
        free(blocks[i]);
    check_whole(json(&text));
    size_t left = number(text.bytes, "all", "bytes");
    CHECK_THAT(left < 64 * KIB, "%zu", left);
}

static void a_null_function_gets_nothing(void) {
    stats_json(NULL, NULL);
}

// And free, and ask again.
static void allocate_too(void *context, const char *piece, size_t length) {
    static struct text inner;
    char *copy = malloc(length + 100000);
    CHECK(copy);
    memcpy(copy, piece, length);
    append(context, copy, length);
    free(copy);
    check_whole(json(&inner));
    malloc_trim(0);
}

static void the_function_may_allocate(void) {
    static struct text text;
    stats_json(allocate_too, &text);
    check_whole(text.bytes);
}

// What malloc_stats writes to standard error; longer texts are cut.
static const char *stats_text(void) {
    static char text[32768];
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    int saved = dup(STDERR_FILENO);
    CHECK(dup2(pipes[1], STDERR_FILENO) >= 0);
    struct rlimit limit, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    none = limit;
    none.rlim_cur = more_count ? 0 : limit.rlim_cur;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    errno = 4711;
    malloc_stats();
    CHECK_THAT(errno == 4711, "errno is %d", errno);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    close(pipes[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(pipes[0], text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    close(pipes[0]);
    close(saved);
    text[length] = 0;
    return text;
}

static void errno_stays(void) {
    static struct text text;
    free(malloc(100));
    CHECK(strlen(stats_text()) > 100);
    errno = 4711;
    json(&text);
    CHECK_THAT(errno == 4711, "errno is %d", errno);
    struct mallinfo2 info = mallinfo2();
    CHECK_THAT(errno == 4711 && info.arena > 0, "errno is %d", errno);
}

static void standard_error_may_be_closed(void) {
    close(STDERR_FILENO);
    errno = 4711;
    malloc_stats();
    CHECK_THAT(errno == 4711 || !on_bifold(), "errno is %d", errno);
}

static void no_descriptor_is_left(void) {
    if (!on_bifold())
        SKIP("another malloc");
    void *block = malloc(100);
    CHECK(!strchr(stats_text(), '?'));
    more_count = 1;
    const char *text = stats_text();
    CHECK_THAT(strstr(text, "process resident          ?"), "%s", text);
    CHECK(strstr(text, "minor faults"));
    free(block);
}

static pthread_t first_thread;

static void *outlive(void *unused) {
    static struct text text;
    CHECK(pthread_join(first_thread, NULL) == 0);
    size_t resident = number(json(&text), "kernel", "process_resident");
    CHECK(resident > 0);
    exit(0);
    return unused;
}

static void the_first_thread_has_ended(void) {
    static struct text text;
    json(&text);
    pthread_t thread;
    first_thread = pthread_self();
    CHECK(pthread_create(&thread, NULL, outlive, NULL) == 0);
    pthread_exit(NULL);
}

static void after_a_fork(void) {
    static struct text before, after;
    void *blocks[1000];
    for (unsigned i = 0; i < COUNT(blocks); i++)
        blocks[i] = malloc(5000);
    json(&before);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        check_whole(json(&after));
        CHECK(number(before.bytes, "slabs", "number") ==
              number(after.bytes, "slabs", "number"));
        for (unsigned i = 0; i < COUNT(blocks); i++)
            free(blocks[i]);
        CHECK(number(json(&after), "slabs", "number") + COUNT(blocks) ==
              number(before.bytes, "slabs", "number"));
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_THAT(status == 0, "the child's status is %d", status);
    CHECK(number(json(&after), "slabs", "number") ==
          number(before.bytes, "slabs", "number"));
    for (unsigned i = 0; i < COUNT(blocks); i++)
        free(blocks[i]);
}

static void mallinfo_has_the_same_figures(void) {
    static struct text text;
    void *blocks[300];
    for (unsigned i = 0; i < COUNT(blocks); i++)
        blocks[i] = malloc(i * 1000);
    for (unsigned i = 0; i < COUNT(blocks); i += 2)
        free(blocks[i]);
    struct mallinfo2 info = mallinfo2();
    json(&text);
    CHECK(info.arena == number(text.bytes, "window", "reserved"));
    CHECK(info.uordblks == number(text.bytes, "window", "live"));
    CHECK(info.uordblks + info.fordblks == info.arena);
    CHECK(info.hblks == number(text.bytes, "large", "number"));
    CHECK(info.hblkhd == number(text.bytes, "large", "bytes"));
    size_t dirty = number(text.bytes, "process", "dirty");
    CHECK(info.keepcost ==
          dirty + number(strstr(text.bytes, "\"areas\""), "large", "cached"));
    for (unsigned i = 1; i < COUNT(blocks); i += 2)
        free(blocks[i]);
}

static volatile int done;

static void *allocate_on(void *seed) {
    uint64_t state = (uint64_t)(uintptr_t)seed * 77 + 1;
    static __thread void *blocks[64];
    while (!done) {
        uint64_t random = next_random(&state);
        void **block = &blocks[random % 64];
        free(*block);
        *block = malloc((random >> 20) % (random & 64 ? 300000 : 3000));
        CHECK(*block);
    }
    for (unsigned i = 0; i < 64; i++)
        free(blocks[i]);
    return NULL;
}

static void *ask(void *argument) {
    struct text *text = argument;
    for (int i = 0; i < 100; i++) {
        check_whole(json(text));
        size_t live = number(text->bytes, "all", "bytes");
        CHECK_THAT(live < 256 * MIB, "%zu", live);
        mallinfo2();
    }
    return NULL;
}

static void many_threads_ask_while_others_allocate(void) {
    enum { BUSY = 4, ASKING = 4 };
    static struct text texts[ASKING];
    pthread_t busy[BUSY], asking[ASKING];
    for (uintptr_t i = 0; i < BUSY; i++)
        CHECK(pthread_create(&busy[i], NULL, allocate_on, (void *)i) == 0);
    for (unsigned i = 0; i < ASKING; i++)
        CHECK(pthread_create(&asking[i], NULL, ask, &texts[i]) == 0);
    for (unsigned i = 0; i < ASKING; i++)
        pthread_join(asking[i], NULL);
    done = 1;
    for (unsigned i = 0; i < BUSY; i++)
        pthread_join(busy[i], NULL);
    size_t left = number(json(&texts[0]), "all", "bytes");
    CHECK_THAT(left < 256 * KIB, "%zu", left);
}

static void *ask_once(void *text) {
    check_whole(json(text));
    return text;
}

static void a_thread_with_a_small_stack(void) {
    static struct text text;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, &attributes, ask_once, &text) == 0);
    pthread_join(thread, NULL);
    CHECK(text.length > 0);
}

MAIN(CASE(the_json_is_whole), CASE(a_null_function_gets_nothing),
     CASE(the_function_may_allocate), CASE(errno_stays),
     CASE(standard_error_may_be_closed), CASE(no_descriptor_is_left),
     CASE(the_first_thread_has_ended), CASE(after_a_fork),
     CASE(mallinfo_has_the_same_figures),
     CASE(many_threads_ask_while_others_allocate),
     CASE(a_thread_with_a_small_stack))
