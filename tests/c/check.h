// What every test program shares: CHECK, and a table of named cases, of which
// `main` runs the one that it is told.
//
// A case that returns has succeeded, and says nothing. CHECK says what is wrong
// on standard output and exits with 1, from any thread. Nothing in here
// allocates.

#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HELPER __attribute__((unused)) static

enum { EXIT_WRONG = 1, EXIT_HANDED_OUT_TWICE = 42, EXIT_SKIPPED = 77 };

__attribute__((format(printf, 1, 2))) HELPER void say(const char *format,
                                                      ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof text - 1)
        length = (int)sizeof text - 1;
    if (write(STDOUT_FILENO, text, (size_t)length) < 0)
        _exit(EXIT_WRONG);
}

#define EXIT_SAYING(code, prefix, line, ...) \
    do {                                     \
        say("%s%d: ", prefix, line);         \
        say(__VA_ARGS__);                    \
        say("\n");                           \
        _exit(code);                         \
    } while (0)

#define FAIL(...) EXIT_SAYING(EXIT_WRONG, __FILE__ ":", __LINE__, __VA_ARGS__)

// For what the machine, and not bifold, does not offer.
#define SKIP(...) \
    EXIT_SAYING(EXIT_SKIPPED, "skipped: line ", __LINE__, __VA_ARGS__)

#define CHECK_THAT(condition, ...) \
    do {                           \
        if (!(condition))          \
            FAIL(__VA_ARGS__);     \
    } while (0)

#define CHECK(condition) CHECK_THAT(condition, "not so: %s", #condition)

// Makes the compiler forget what it knows of a value.
#define HIDE(value) __asm__ volatile("" : "+r"(value) : : "memory")

// The symbol as the program would be bound to it, or NULL.
HELPER void *look_up(const char *name) {
    return dlsym(RTLD_DEFAULT, name);
}

HELPER int on_bifold(void) {
    return look_up("bifold_version") != NULL;
}

// The length of an OS page, if need be of one that is simulated.
HELPER size_t os_page(void) {
    const char *text = getenv("BIFOLD_TEST_PAGE");
    return text ? strtoull(text, NULL, 10) : (size_t)sysconf(_SC_PAGESIZE);
}

// A fixed sequence of numbers, the same in each run.
HELPER uint64_t next_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

// The byte that belongs at a place of a block: its tag shows in each.
HELPER unsigned char filler(unsigned tag, size_t place) {
    return (unsigned char)(tag * 31 + place + (place >> 8) * 7);
}

HELPER void fill(void *block, size_t size, unsigned tag) {
    HIDE(block);
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)block)[i] = filler(tag, i);
    HIDE(block);
}

HELPER int is_filled(void *block, size_t size, unsigned tag) {
    HIDE(block);
    for (size_t i = 0; i < size; i++)
        if (((unsigned char *)block)[i] != filler(tag, i))
            return 0;
    return 1;
}

HELPER int is_zero(void *block, size_t size) {
    HIDE(block);
    for (size_t i = 0; i < size; i++)
        if (((unsigned char *)block)[i])
            return 0;
    return 1;
}

HELPER int is_aligned(const void *block, size_t alignment) {
    return ((uintptr_t)block & (alignment - 1)) == 0;
}

// A figure in KiB of /proc/self/status, for example "VmRSS:". Not by stdio,
// which allocates.
HELPER size_t status_kib(const char *field) {
    char text[8192];
    size_t length = 0;
    ssize_t got;
    int file = open("/proc/self/status", O_RDONLY);
    CHECK(file >= 0);
    while ((got = read(file, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    close(file);
    text[length] = 0;
    char *found = strstr(text, field);
    CHECK_THAT(found, "no %s in /proc/self/status", field);
    return strtoull(found + strlen(field), NULL, 10);
}

// Whether a limit of the address space, which is in force, keeps so much from being
// mapped. It keeps nothing from a program that an emulator runs.
HELPER int is_limited(size_t bytes) {
    void *block = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block != MAP_FAILED)
        munmap(block, bytes);
    return block == MAP_FAILED;
}

// For what is seen by a program's resident memory: an emulator's own, for each page
// that the program maps, is counted with it.
HELPER void need_exact_memory(void) {
    size_t before = status_kib("VmRSS:");
    void *block = mmap(NULL, GIB, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(block != MAP_FAILED);
    size_t more = status_kib("VmRSS:") - before;
    munmap(block, GIB);
    if (more > 1 * KIB)
        SKIP("%zu KiB are resident for a mapping that is not touched", more);
}

struct test_case {
    const char *name;
    void (*run)(void);
};

// The arguments after the name of the case.
static int more_count __attribute__((unused));
static char **more __attribute__((unused));

HELPER int run_cases(int argc, char **argv, const struct test_case *cases,
                     size_t count) {
    // Many of the cases are meant to abort.
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    CHECK_THAT(argc >= 2, "which case?");
    if (!strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < count; i++)
            say("%s\n", cases[i].name);
        return 0;
    }
    if (getenv("TEST_NEEDS_BIFOLD") && !on_bifold())
        FAIL("the program does not run on bifold");
    more_count = argc - 2;
    more = argv + 2;
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(argv[1], cases[i].name)) {
            cases[i].run();
            return 0;
        }
    }
    FAIL("no such case: %s", argv[1]);
}

#define CASE(name) {#name, name}

#define MAIN(...)                                              \
    int main(int argc, char **argv) {                          \
        static const struct test_case cases[] = {__VA_ARGS__}; \
        return run_cases(argc, argv, cases, COUNT(cases));     \
    }

#endif
