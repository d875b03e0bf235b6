// What the tests of options look at from outside: /proc/self/smaps, faults,
// figures. Nothing in here allocates.

#ifndef POLICY_H
#define POLICY_H

#include "check.h"
#include <malloc.h>
#include <sys/mman.h>
#include <time.h>

enum { BIFOLD_PAGE = 4096 };

// Most options mean nothing to the system's malloc.
HELPER void need_bifold(void) {
    if (!on_bifold())
        SKIP("needs bifold");
}

// Calls `look` with each line of a file, and the mapping that it is about, as
// far as a line of smaps has said.
struct lines {
    uintptr_t start, end;
    size_t sum;
    const char *word;
    uintptr_t address;
};

typedef void look_at_line(struct lines *lines, char *line);

HELPER void for_each_line(const char *name, struct lines *lines,
                          look_at_line *look) {
    char text[4096];
    size_t length = 0;
    ssize_t got;
    int file = open(name, O_RDONLY | O_CLOEXEC);
    CHECK_THAT(file >= 0, "%s: %s", name, strerror(errno));
    while ((got = read(file, text + length, sizeof text - 1 - length)) > 0) {
        length += (size_t)got;
        text[length] = 0;
        char *line = text, *end;
        while ((end = strchr(line, '\n'))) {
            *end = 0;
            look(lines, line);
            line = end + 1;
        }
        length -= (size_t)(line - text);
        memmove(text, line, length);
    }
    close(file);
}

// Whether a line of smaps begins another mapping.
HELPER int is_header(struct lines *lines, const char *line) {
    char *rest;
    uintptr_t start = strtoull(line, &rest, 16);
    if (rest == line || *rest != '-')
        return 0;
    lines->start = start;
    lines->end = strtoull(rest + 1, NULL, 16);
    return 1;
}

HELPER int is_wanted(const struct lines *lines) {
    return !lines->address ||
           (lines->start <= lines->address && lines->address < lines->end);
}

HELPER void add_field(struct lines *lines, char *line) {
    size_t length = strlen(lines->word);
    if (!is_header(lines, line) && is_wanted(lines) &&
        !strncmp(line, lines->word, length) && line[length] == ':')
        lines->sum += strtoull(line + length + 1, NULL, 10);
}

// A field of smaps in KiB, such as "Rss": of the mapping that holds `block`, or
// of all with NULL.
HELPER size_t smaps_kib(const char *field, const void *block) {
    struct lines lines = {.word = field, .address = (uintptr_t)block};
    for_each_line("/proc/self/smaps", &lines, add_field);
    return lines.sum;
}

HELPER void look_for_flag(struct lines *lines, char *line) {
    if (!is_header(lines, line) && is_wanted(lines) &&
        !strncmp(line, "VmFlags:", 8)) {
        char word[8];
        snprintf(word, sizeof word, " %s", lines->word);
        lines->sum += strstr(line, word) != NULL;
    }
}

// Whether the mapping that holds `block` has a flag, such as "nh".
HELPER int has_flag(const void *block, const char *flag) {
    struct lines lines = {.word = flag, .address = (uintptr_t)block};
    for_each_line("/proc/self/smaps", &lines, look_for_flag);
    return lines.sum > 0;
}

// Resident memory, exactly, which VmRSS is not.
HELPER size_t resident_kib(void) {
    struct lines lines = {.word = "Rss"};
    for_each_line("/proc/self/smaps_rollup", &lines, add_field);
    return lines.sum;
}

HELPER long faults(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt + usage.ru_majflt;
}

HELPER void pause_ms(unsigned milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0)
        ;
}

// Blocks that are chained through themselves: a table would be memory of its
// own.
struct held {
    struct held *next;
    size_t size;
};

typedef size_t size_of_block(uint64_t *state);

// From 64 bytes to 64 KiB, evenly over the powers of two.
HELPER size_t mixed_sizes(uint64_t *state) {
    uint64_t random = next_random(state);
    size_t floor = (size_t)64 << (random >> 32) % 10;
    return floor + (random & 0xffff) % floor;
}

// Runs and mappings: 70 KiB to 3 MiB.
HELPER size_t long_sizes(uint64_t *state) {
    return 70 * KIB + next_random(state) % (3 * MIB - 70 * KIB);
}

// Allocates and fills until so many bytes are held.
HELPER struct held *hold(size_t bytes, size_of_block *size_of) {
    struct held *first = NULL;
    uint64_t state = 88172645463325252u;
    for (size_t sum = 0; sum < bytes;) {
        size_t size = size_of(&state);
        if (size < sizeof(struct held))
            size = sizeof(struct held);
        struct held *block = malloc(size);
        CHECK(block);
        memset(block, 0x5a, size);
        *block = (struct held){first, size};
        first = block;
        sum += size;
    }
    return first;
}

HELPER void let_go(struct held *first) {
    while (first) {
        struct held *next = first->next;
        free(first);
        first = next;
    }
}

#endif
