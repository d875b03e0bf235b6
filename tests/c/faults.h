// What the programs share that have system calls fail, one after another: a ledger
// of blocks, and the loop over all calls.

#ifndef FAULTS_H
#define FAULTS_H

#include "heaps.h"
#include <malloc.h>
#include <pthread.h>
#include <sched.h>

// Arms the seam of a library that is built with it, see src/os/fault.rs.
static size_t arm(const char *text) {
    static size_t (*fault)(const char *);
    if (!fault)
        fault = (size_t(*)(const char *))look_up("bifold_fault");
    CHECK_THAT(fault, "the library has no seam");
    return fault(text);
}

// Whether requests may fail at the moment.
static int may_fail;

// What the round is about, for messages.
static char round_name[64];

#define ENSURE(condition)                                                    \
    CHECK_THAT(condition, "%s: not so: %s", round_name, #condition)

enum { HELD_MOST = 8192 };

static struct held {
    unsigned char *block;
    size_t size;
} held[HELD_MOST];
static size_t held_count;
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;

// Where a pattern is written, beside both ends: in each page of short blocks, and
// in some of long ones.
static size_t step_of(size_t size) {
    return size < 128 * KIB ? 4096 : (size / 8) & ~(size_t)4095;
}

static void mark(unsigned char *block, size_t size) {
    for (size_t at = 0; at < size; at += step_of(size))
        block[at] = filler((unsigned)size, at);
    for (size_t at = 0; at < size && at < 32; at++) {
        block[at] = filler((unsigned)size, at);
        block[size - 1 - at] = filler((unsigned)size, size - 1 - at);
    }
}

static int is_marked(const unsigned char *block, size_t size) {
    for (size_t at = 0; at < size; at += step_of(size))
        if (block[at] != filler((unsigned)size, at))
            return 0;
    for (size_t at = 0; at < size && at < 32; at++)
        if (block[at] != filler((unsigned)size, at) ||
            block[size - 1 - at] != filler((unsigned)size, size - 1 - at))
            return 0;
    return 1;
}

// Takes what a request returned into the ledger.
HELPER void *keep(void *block, size_t size) {
    if (!block) {
        CHECK_THAT(errno == ENOMEM, "%s: %zu bytes: %s", round_name, size,
                   strerror(errno));
        CHECK_THAT(may_fail, "%s: no %zu bytes", round_name, size);
        return NULL;
    }
    ENSURE(is_aligned(block, 16) && malloc_usable_size(block) >= size);
    mark(block, size);
    pthread_mutex_lock(&held_lock);
    ENSURE(held_count < HELD_MOST);
    held[held_count++] = (struct held){block, size};
    pthread_mutex_unlock(&held_lock);
    return block;
}

// Frees a block, which keeps `errno`.
HELPER void let_go(void *block, size_t size) {
    CHECK_THAT(is_marked(block, size), "%s: %zu bytes at %p have changed",
               round_name, size, block);
    errno = 4711;
    free(block);
    ENSURE(errno == 4711);
}

// Frees one in `step` of the blocks that are held, from the `first` on.
HELPER void drop(size_t first, size_t step) {
    size_t left = first < held_count ? first : held_count;
    for (size_t i = left; i < held_count; i++) {
        if ((i - first) % step == 0)
            let_go(held[i].block, held[i].size);
        else
            held[left++] = held[i];
    }
    held_count = left;
}

HELPER void change(struct held *one, void *block, size_t size) {
    if (block) {
        size_t both = one->size < size ? one->size : size;
        for (size_t at = 0; at < both; at += step_of(one->size))
            ENSURE(((unsigned char *)block)[at] ==
                   filler((unsigned)one->size, at));
        mark(block, size);
        *one = (struct held){block, size};
    } else {
        ENSURE(errno == ENOMEM && may_fail);
        ENSURE(is_marked(one->block, one->size));
    }
}

// What the process has.
struct figures {
    size_t in_use, large, window, heaps, mapped, locked, files, mappings;
};

static char figures_text[64 * KIB];

static void write_text(void *length, const char *piece, size_t bytes) {
    size_t *end = length;
    ENSURE(*end + bytes < sizeof figures_text);
    memcpy(figures_text + *end, piece, bytes);
    *end += bytes;
    figures_text[*end] = 0;
}

// A figure of bifold_stats_json.
static size_t figure_of(const char *name) {
    void (*json)(void (*)(void *, const char *, size_t), void *) =
        (void (*)(void (*)(void *, const char *, size_t), void *))look_up(
            "bifold_stats_json");
    size_t length = 0;
    json(write_text, &length);
    char *found = strstr(figures_text, name);
    CHECK_THAT(found, "no %s in %s", name, figures_text);
    return strtoull(found + strlen(name), NULL, 10);
}

static struct figures figures_now(void) {
    struct mallinfo2 info = mallinfo2();
    struct figures figures = {
        .in_use = info.uordblks, .large = info.hblks, .window = info.arena};
    figures.mapped = status_kib("VmSize:") * KIB - info.arena;
    figures.locked = status_kib("VmLck:") * KIB;
    figures.heaps = figure_of("\"heaps\":");
    for (int file = 0; file < 64; file++)
        figures.files += fcntl(file, F_GETFD) >= 0;
    for (char *at = read_whole("/proc/self/maps"); (at = strchr(at, '\n')); at++)
        figures.mappings++;
    return figures;
}

// Which calls fail: the n-th alone, or all of a kind from the n-th on; or the
// n-th address for a mapping is taken.
static const char *const ways[] = {
    "any:%u-%u",    "any:%u",  "map:%u",     "unmap:%u",     "remap:%u",
    "advise:%u",    "lock:%u", "protect:%u", "map:%u-%u:17", "figure:%u", "hook:%u",
    "file:%u",
};

// Of what may be lost for good: guarded pages at the limit of mappings.
static size_t may_lose;

// How many more bytes may be mapped: what keeps addresses away has none.
static size_t more_mapped;

// How many more mappings there may be: the kernel does not join all that it could.
static size_t more_mappings = 24;

// Files that a thread of bifold's may have opened by then.
static size_t more_files;

// The most calls for files that may fail in a round: who waits for one must not
// turn in circles.
enum { MOST_FILE_FAILURES = 1000 };

// Requests may fail although all calls are made.
static int is_bounded;

// Runs a scenario with calls that fail, and again without. Returns how many have
// failed, and what the process has in the end.
static size_t attempt(void (*scenario)(void), const char *text,
                      struct figures *figures) {
    may_fail = *text != 0 || is_bounded;
    arm(text);
    scenario();
    size_t failed = arm(NULL);
    CHECK_THAT(failed <= MOST_FILE_FAILURES || strncmp(text, "file", 4),
               "%s: %zu calls have failed", text, failed);
    may_fail = is_bounded;
    for (size_t i = 0; i < held_count; i++)
        ENSURE(is_marked(held[i].block, held[i].size));
    scenario();
    drop(0, 1);
    malloc_trim(0);
    *figures = figures_now();
    return failed;
}

static void compare(const struct figures *now, const struct figures *usual) {
    const size_t slack = 512 * KIB;
    // The C library keeps some of what it got in threads, as long as it was.
    CHECK_THAT(now->in_use <= usual->in_use + 64 * KIB + may_lose,
               "%s: %zu in use, not %zu", round_name, now->in_use,
               usual->in_use);
    // Some threads' heaps wait for others to find them.
    CHECK_THAT(now->heaps <= usual->heaps + 5, "%s: %zu heaps, not %zu", round_name,
               now->heaps, usual->heaps);
    CHECK_THAT(now->large == usual->large, "%s: %zu large blocks, not %zu",
               round_name, now->large, usual->large);
    CHECK_THAT(now->mapped <= usual->mapped + slack + may_lose + more_mapped,
               "%s: %zu mapped, not %zu", round_name, now->mapped,
               usual->mapped);
    // Under an option the window is locked as far as it is mapped.
    size_t more = now->window > usual->window ? now->window - usual->window : 0;
    CHECK_THAT(now->locked <= usual->locked + may_lose + slack + more,
               "%s: %zu locked, not %zu", round_name, now->locked,
               usual->locked);
    CHECK_THAT(now->files <= usual->files + more_files, "%s: %zu files, not %zu", round_name,
               now->files, usual->files);
    CHECK_THAT(now->mappings <= usual->mappings + more_mappings,
               "%s: %zu mappings, not %zu", round_name, now->mappings,
               usual->mappings);
}

// The next call to fail. Where all that follow do, late ones stand for those
// between them.
HELPER unsigned next_number(const char *way, unsigned number) {
    return strchr(way, '-') ? number + 1 : number + 1 + number / 12;
}

// Allows for the fences of a hardened library: where the kernel has none, each is a
// mapping of its own; what one cannot be taken off is lost, and gaps are left where
// mappings were.
HELPER void allow_for_fences(void) {
    const char *fenced = getenv("BIFOLD_TEST_FENCES");
    if (fenced && *fenced == '1') {
        more_mappings += 512;
        may_lose += 8 * MIB;
        more_mapped += 64 * MIB;
    }
}

// Runs a scenario in a forked child for each call that it makes.
HELPER void survive(void (*scenario)(void)) {
    allow_for_fences();
    static struct figures *usual;
    usual = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
    CHECK(usual != MAP_FAILED);
    size_t rounds = 0;
    for (size_t way = 0; way <= COUNT(ways); way++) {
        unsigned number = 1;
        for (int failed = 1; failed;) {
            // The first time nothing fails.
            if (way == 0)
                strcpy(round_name, "");
            else
                snprintf(round_name, sizeof round_name, ways[way - 1], number,
                         number);
            rounds++;
            pid_t child = fork();
            CHECK(child >= 0);
            if (child == 0) {
                struct figures now;
                size_t count = attempt(scenario, round_name, &now);
                if (way == 0)
                    *usual = now;
                else
                    compare(&now, usual);
                _exit(count ? 2 : 0);
            }
            int status;
            CHECK(waitpid(child, &status, 0) == child);
            CHECK_THAT(WIFEXITED(status) && WEXITSTATUS(status) % 2 == 0,
                       "%s: %s %d", round_name,
                       WIFEXITED(status) ? "exit" : "signal",
                       WIFEXITED(status) ? WEXITSTATUS(status)
                                         : WTERMSIG(status));
            failed = WEXITSTATUS(status);
            number = next_number(way == 0 ? "" : ways[way - 1], number);
        }
    }
    // Some call at least has failed.
    CHECK(rounds > COUNT(ways) + 1);
}

#endif
