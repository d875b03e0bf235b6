// The functions of bifold.h as the program finds them, and what the kernel says
// of a page.

#ifndef HEAPS_H
#define HEAPS_H

#include "../../ffi/include/bifold.h"
#include "check.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

// A function of bifold.h. Programs are not linked with the library.
#define API(name) ((__typeof__(&name))look_up(#name))

// Sizes of all kinds: slabs of both lengths, runs, and mappings.
static const size_t heap_sizes[] __attribute__((unused)) = {
    0,    1,     16,       100,    1000,    4096,           5000,
    9000, 40000, 64 << 10, 100000, 1 << 20, (2 << 20) - 8192, 5 << 20};

// Freed blocks up to this length may be looked at; longer ones may have been
// mappings of their own.
#define STAYS_MAPPED (MIB + 64 * KIB)

static const unsigned locked_ways[] __attribute__((unused)) = {
    BIFOLD_HEAP_LOCKED, BIFOLD_HEAP_LOCKED_ON_FAULT};

HELPER bifold_heap *make_heap(unsigned flags) {
    if (!on_bifold())
        SKIP("needs bifold");
    bifold_heap *heap = API(bifold_heap_create)(flags);
    CHECK(heap);
    return heap;
}

// Skips where the kernel has no locking on fault, and the heap is to have it. glibc
// has EINVAL for a kernel without the call.
HELPER void need_way(unsigned flags) {
    static char trial;
    if (!(flags & BIFOLD_HEAP_LOCKED_ON_FAULT))
        return;
    if (mlock2(&trial, 1, MLOCK_ONFAULT) == 0)
        munlock(&trial, 1);
    else if (errno == EINVAL)
        SKIP("nothing can be locked as it is touched");
}

// A locked heap, on a machine that lets the program lock what the tests need.
HELPER bifold_heap *make_locked(unsigned flags) {
    static char trial[32 << 20];
    if (mlock(trial, sizeof trial) != 0)
        SKIP("too little may be locked: %s", strerror(errno));
    munlock(trial, sizeof trial);
    need_way(flags);
    return make_heap(flags);
}

// What /proc/self/smaps has of the mapping that an address lies in.
struct mapping {
    size_t start, end;
    int is_readable;
    size_t locked_kib;
    char flags[128];
};

// All of a file, not by stdio, which allocates.
HELPER char *read_whole(const char *path) {
    static char text[8 << 20];
    size_t length = 0;
    ssize_t got;
    int file = open(path, O_RDONLY);
    CHECK(file >= 0);
    while ((got = read(file, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    close(file);
    CHECK(length < sizeof text - 1);
    text[length] = 0;
    return text;
}

HELPER struct mapping mapping_of(const void *address) {
    char *line = read_whole("/proc/self/smaps");
    struct mapping found = {0, 0, 0, 0, ""};
    for (; *line; line += strcspn(line, "\n") + 1) {
        char *end;
        size_t from = strtoull(line, &end, 16);
        if (end > line && *end == '-') {
            if (found.end)
                break;
            size_t to = strtoull(end + 1, &end, 16);
            if ((size_t)address >= from && (size_t)address < to) {
                found.start = from;
                found.end = to;
                found.is_readable = end[1] == 'r';
            }
        } else if (found.end && !strncmp(line, "Locked:", 7)) {
            found.locked_kib = strtoull(line + 7, NULL, 10);
        } else if (found.end && !strncmp(line, "VmFlags:", 8)) {
            size_t length = strcspn(line, "\n");
            CHECK(length < sizeof found.flags);
            memcpy(found.flags, line, length);
            found.flags[length] = 0;
        }
    }
    return found;
}

HELPER int has_flag(const struct mapping *mapping, const char *flag) {
    char padded[8];
    snprintf(padded, sizeof padded, " %s", flag);
    return strstr(mapping->flags, padded) != NULL;
}

// Skips where madvise(2) promises what it does not do, as in an emulator: nobody
// could tell from its answer.
HELPER void need_advice(void) {
    static _Alignas(64 << 10) char trial[64 << 10];
    CHECK(madvise(trial, sizeof trial, MADV_DONTDUMP) == 0);
    struct mapping mapping = mapping_of(trial);
    CHECK(madvise(trial, sizeof trial, MADV_DODUMP) == 0);
    if (!has_flag(&mapping, "dd"))
        SKIP("MADV_DONTDUMP is taken and does nothing");
}

// Runs something in a forked child. Returns its exit code, or the signal that
// killed it, negative.
HELPER int in_child(void (*body)(void *), void *argument) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        body(argument);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#endif
