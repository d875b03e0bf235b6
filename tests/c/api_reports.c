// malloc_info, malloc_stats and malloc_trim.

#include "check.h"
#include <malloc.h>
#include <pthread.h>

// Checks that every tag is closed by its like, in order.
static void check_tags(const char *text) {
    const char *open[64];
    size_t lengths[64];
    size_t depth = 0, elements = 0;
    while ((text = strchr(text, '<'))) {
        const char *end = strchr(text, '>');
        CHECK_THAT(end, "a tag is not closed: %.60s", text);
        const char *name = text + 1 + (text[1] == '/');
        size_t length = strcspn(name, " />");
        if (text[1] == '/') {
            CHECK_THAT(depth > 0 && lengths[depth - 1] == length &&
                           !strncmp(open[depth - 1], name, length),
                       "closes what is not open: %.60s", text);
            depth--;
        } else if (end[-1] != '/') {
            CHECK(depth < 64);
            open[depth] = name;
            lengths[depth++] = length;
        }
        for (const char *c = text; c < end; c++)
            CHECK(c == text || *c != '<');
        elements++;
        text = end;
    }
    CHECK(depth == 0);
    CHECK(elements >= 4);
}

static char *info_text(void) {
    static char text[1 << 20];
    FILE *stream = fmemopen(text, sizeof text, "w");
    CHECK(stream);
    CHECK(malloc_info(0, stream) == 0);
    CHECK(fclose(stream) == 0);
    return text;
}

static void malloc_info_is_xml(void) {
    void *blocks[1000];
    for (unsigned i = 0; i < 1000; i++)
        blocks[i] = malloc(i * 211);
    for (unsigned i = 0; i < 1000; i += 2)
        free(blocks[i]);
    char *text = info_text();
    CHECK_THAT(!strncmp(text, "<malloc version=", 16), "%.60s", text);
    CHECK_THAT(strstr(text, "</malloc>"), "%s", text);
    check_tags(text);
    for (unsigned i = 1; i < 1000; i += 2)
        free(blocks[i]);
}

// The largest number in quotes is, or includes, what the program holds: sizes
// of address space apart.
static size_t largest_number(const char *text) {
    size_t most = 0;
    while ((text = strstr(text, "=\""))) {
        size_t number = strtoull(text + 2, NULL, 10);
        if (number > most && number < (size_t)1 << 38)
            most = number;
        text += 2;
    }
    return most;
}

static void malloc_info_has_real_figures(void) {
    static void *blocks[100000];
    size_t before = largest_number(info_text());
    for (unsigned i = 0; i < 100000; i++)
        blocks[i] = malloc(400);
    size_t during = largest_number(info_text());
    CHECK_THAT(during >= before + 40000000 - 4 * MIB &&
                   during < before + 100000000,
               "%zu before, %zu with 40 MB more", before, during);
    for (unsigned i = 0; i < 100000; i++)
        free(blocks[i]);
}

static void malloc_info_refuses_options(void) {
    FILE *stream = fopen("/dev/null", "w");
    CHECK(stream);
    errno = 0;
    int result = malloc_info(1, stream);
    CHECK_THAT(result == EINVAL || (result == -1 && errno == EINVAL), "%d",
               result);
    fclose(stream);
}

// What malloc_stats writes to standard error, in a buffer.
static const char *stats_text(void) {
    static char text[65536];
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    int saved = dup(STDERR_FILENO);
    CHECK(dup2(pipes[1], STDERR_FILENO) >= 0);
    malloc_stats();
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
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

static void malloc_stats_prints_real_figures(void) {
    static void *blocks[50000];
    for (unsigned i = 0; i < 50000; i++)
        blocks[i] = malloc(400);
    const char *text = stats_text();
    CHECK_THAT(strpbrk(text, "0123456789"), "no number: %s", text);
    CHECK(text[strlen(text) - 1] == '\n');
    size_t most = 0;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            continue;
        char *end;
        size_t number = strtoull(c, &end, 10);
        if (number > most)
            most = number;
        c = end - 1;
    }
    CHECK_THAT(most >= 20000000 && most < 200000000, "%zu for 20 MB: %s", most,
               text);
    for (unsigned i = 0; i < 50000; i++)
        free(blocks[i]);
}

// Frees all but one in a thousand of 64 MiB, and trims.
static void check_trim(void) {
    enum { BLOCKS = 128 * 1024, SIZE = 512 };
    static void *blocks[BLOCKS];
    memset(blocks, 0, sizeof blocks);
    size_t start = status_kib("VmRSS:");
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(SIZE);
        CHECK(blocks[i]);
        memset(blocks[i], 1, SIZE);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        if (i % 1024)
            free(blocks[i]);
    size_t before = status_kib("VmRSS:");
    int released = malloc_trim(0);
    size_t after = status_kib("VmRSS:");
    CHECK_THAT(after < start + 16 * KIB,
               "%zu KiB at the start, %zu full, %zu trimmed", start, before,
               after);
    if (before > after + MIB / KIB)
        CHECK(released == 1);
    for (unsigned i = 0; i < BLOCKS; i += 1024) {
        CHECK(((char *)blocks[i])[SIZE - 1] == 1);
        free(blocks[i]);
    }
}

static void malloc_trim_gives_memory_back(void) {
    check_trim();
}

static void malloc_trim_again_and_again(void) {
    for (int round = 0; round < 5; round++)
        check_trim();
    malloc_trim(0);
    int second = malloc_trim(0);
    CHECK(second == 0 || second == 1);
    malloc_trim(MIB);
}

enum { THREADS = 4, EACH = 20000, EACH_SIZE = 200 };

static void *leave_blocks(void *argument) {
    void **blocks = argument;
    for (unsigned i = 0; i < EACH; i++)
        blocks[i] = malloc(EACH_SIZE);
    return NULL;
}

static void malloc_trim_while_others_allocate(void) {
    static void *blocks[THREADS][EACH];
    pthread_t threads[THREADS];
    for (int round = 0; round < 5; round++) {
        for (unsigned i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, leave_blocks, blocks[i]) ==
                  0);
        for (int i = 0; i < 50; i++) {
            malloc_trim(0);
            mallinfo2();
        }
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            for (unsigned k = 0; k < EACH; k++)
                free(blocks[i][k]);
        }
    }
}

enum { LONG = 4096, LONGEST = 40000 };

static char *long_blocks[LONG];

static size_t long_size(unsigned i) {
    return 9000 + i * 7919 % (LONGEST - 9000);
}

static void fill_long_blocks(void) {
    for (unsigned i = 0; i < LONG; i++)
        if (!long_blocks[i]) {
            long_blocks[i] = malloc(long_size(i));
            CHECK(long_blocks[i]);
            memset(long_blocks[i], (int)(i % 255) + 1, long_size(i));
        }
}

// Of each sixteen blocks one stays; of the others the thread frees each second.
static void *free_long_blocks(void *is_thread) {
    for (unsigned i = 0; i < LONG; i++)
        if (i % 16 && i % 2 == (is_thread ? 0 : 1)) {
            free(long_blocks[i]);
            long_blocks[i] = NULL;
        }
    return NULL;
}

// Free blocks that are longer than a page, in slabs that stay.
static void malloc_trim_between_live_blocks(void) {
    size_t start = status_kib("VmRSS:");
    for (int round = 0; round < 3; round++) {
        fill_long_blocks();
        size_t full = status_kib("VmRSS:");
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, free_long_blocks, &thread) == 0);
        pthread_join(thread, NULL);
        free_long_blocks(NULL);
        CHECK(malloc_trim(0) == 1);
        size_t after = status_kib("VmRSS:");
        // A sixteenth lives; a free block keeps a page or two.
        if (sysconf(_SC_PAGESIZE) == 4096)
            CHECK_THAT(after < start + (full - start) / 2,
                       "%zu KiB at the start, %zu full, %zu trimmed", start,
                       full, after);
        malloc_trim(0);
        for (unsigned i = 0; i < LONG; i += 16)
            for (size_t k = 0; k < long_size(i); k++)
                CHECK(long_blocks[i][k] == (char)((i % 255) + 1));
        // What was purged reads as zero where that is promised.
        for (int i = 0; i < 200; i++) {
            char *block = calloc(1, 20000);
            CHECK(block);
            for (size_t k = 0; k < 20000; k++)
                CHECK(block[k] == 0);
            memset(block, 1, 20000);
            free(block);
        }
    }
    for (unsigned i = 0; i < LONG; i++) {
        free(long_blocks[i]);
        long_blocks[i] = NULL;
    }
}

MAIN(CASE(malloc_info_is_xml), CASE(malloc_info_has_real_figures),
     CASE(malloc_info_refuses_options), CASE(malloc_stats_prints_real_figures),
     CASE(malloc_trim_gives_memory_back), CASE(malloc_trim_again_and_again),
     CASE(malloc_trim_while_others_allocate),
     CASE(malloc_trim_between_live_blocks))
