// What the memory scenarios share: the process's resident memory, read without
// malloc so that reading does not change it, and the line that reports a figure.

#ifndef MEM_H
#define MEM_H

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The text of /proc/self/smaps_rollup, which fits with room to spare.
static inline void read_rollup(char text[4096]) {
    ssize_t length = 0;
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t more;
        while (length < 4095 &&
               (more = read(file, text + length, 4095 - length)) > 0)
            length += more;
        close(file);
    }
    text[length] = 0;
}

// The figure in KiB of a line such as "\nRss:    1692 kB".
static inline long rollup_field(const char *text, const char *name) {
    const char *line = strstr(text, name);
    if (!line)
        return 0;
    line += strlen(name);
    while (*line == ' ')
        line++;
    long figure = 0;
    for (; *line >= '0' && *line <= '9'; line++)
        figure = figure * 10 + (*line - '0');
    return figure;
}

// Resident memory in KiB, with what is swapped out.
static inline long resident(void) {
    char text[4096];
    read_rollup(text);
    return rollup_field(text, "\nRss:") + rollup_field(text, "\nSwap:");
}

static inline void figure(const char *name, double value) {
    printf("%s %.3f\n", name, value);
    fflush(stdout);
}

static inline uint64_t next_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

// A block every byte of which has been written.
static inline void *filled(size_t size) {
    void *block = malloc(size);
    if (!block) {
        fprintf(stderr, "malloc(%zu) failed\n", size);
        exit(1);
    }
    return memset(block, 0x5a, size);
}

static inline pthread_t start(void *(*body)(void *), void *argument) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, body, argument);
    if (error) {
        fprintf(stderr, "pthread_create: %s\n", strerror(error));
        exit(1);
    }
    return thread;
}

// The highest sample of a warm-up, and of the rest: a scenario is flat when
// the second is no higher than the first.
struct flatness {
    long warm, rest;
};

static inline void sample(struct flatness *f, int warming) {
    long now = resident();
    long *highest = warming ? &f->warm : &f->rest;
    if (now > *highest)
        *highest = now;
}

static inline void report_flatness(const struct flatness *f) {
    long growth = f->rest - f->warm;
    figure("resident_kib", f->rest);
    figure("growth_kib", growth > 0 ? growth : 0);
}

#endif
