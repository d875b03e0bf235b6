// When memory becomes resident: at the first touch, some pages at a time, or
// before it is handed out.

#include "policy.h"

#include <pthread.h>

static void untouched(void) {
    size_t before = resident_kib();
    for (size_t sum = 0; sum < 64 * MIB; sum += 100 * KIB)
        CHECK(malloc(100 * KIB));
    for (size_t sum = 0; sum < 64 * MIB; sum += 60000)
        CHECK(malloc(60000));
    for (size_t sum = 0; sum < 64 * MIB; sum += MIB)
        CHECK(malloc(MIB));
    size_t more_kib = resident_kib() - before;
    // glibc writes in front of each block.
    CHECK_THAT(more_kib < (on_bifold() ? 6 : 16) * KIB, "%zu KiB", more_kib);
}

// Blocks that are cut without a touch are no reason for huge pages.
static void untouched_slabs(void) {
    size_t before = resident_kib();
    for (size_t sum = 0; sum < 128 * MIB; sum += 60000)
        CHECK(malloc(60000));
    size_t more_kib = resident_kib() - before;
    CHECK_THAT(more_kib < (on_bifold() ? 2 : 16) * KIB, "%zu KiB", more_kib);
}

// A run that joins untouched neighbours when it is freed is not purged for them.
static void a_run_is_used_again(void) {
    need_bifold();
    struct rusage before, after;
    for (int round = 0; round < 100; round++) {
        if (round == 10)
            getrusage(RUSAGE_SELF, &before);
        char *block = malloc(256 * KIB);
        CHECK(block);
        memset(block, 1, 256 * KIB);
        free(block);
    }
    getrusage(RUSAGE_SELF, &after);
    long faults = after.ru_minflt - before.ru_minflt;
    CHECK_THAT(faults == 0, "%ld faults in 90 rounds", faults);
}

static int is_resident(uintptr_t page) {
    unsigned char answer = 0;
    return mincore((void *)page, 1, &answer) == 0 && (answer & 1);
}

static void *allocate_once(void *nothing) {
    CHECK(malloc(100));
    return nothing;
}

// The pages of a new block of zeros that are resident, in percent.
static size_t zeros_there(size_t size) {
    const char *block = calloc(1, size);
    CHECK(block);
    size_t there = 0, pages = size / BIFOLD_PAGE;
    uintptr_t first = (uintptr_t)block / BIFOLD_PAGE * BIFOLD_PAGE;
    for (size_t i = 1; i < pages; i++)
        there += (size_t)is_resident(first + i * BIFOLD_PAGE);
    return there * 100 / (pages - 1);
}

// Zeros are touched by who wants them; in a process of several threads, where
// that would interrupt the others, by calloc, up to a MiB.
static void zeros(void) {
    need_bifold();
    const size_t sizes[] = {10000, 60000, 100 * KIB, 300 * KIB, MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t percent = zeros_there(sizes[i]);
        CHECK_THAT(percent == 0, "%zu: %zu %%", sizes[i], percent);
    }
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, allocate_once, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t percent = zeros_there(sizes[i]);
        CHECK_THAT(percent == 100, "%zu: %zu %%", sizes[i], percent);
    }
    size_t percent = zeros_there(4 * MIB);
    CHECK_THAT(percent == 0, "4 MiB: %zu %%", percent);
}

// Fills 8 MiB with blocks of 64 bytes; in percent, how many pages were resident
// when the one before them was begun.
static void pages_ahead(void) {
    uintptr_t last = 0;
    size_t begun = 0, ahead = 0;
    for (size_t sum = 0; sum < 8 * MIB; sum += 64) {
        void *block = malloc(64);
        CHECK(block);
        memset(block, 1, 64);
        uintptr_t page = (uintptr_t)block & -(uintptr_t)BIFOLD_PAGE;
        if (page != last) {
            begun++;
            ahead += (size_t)is_resident(page + BIFOLD_PAGE);
        }
        last = page;
    }
    say("%zu\n", ahead * 100 / begun);
}

// The same for the first page of a run and the one that is so far behind it.
static void runs_ahead(void) {
    CHECK(more_count == 1);
    size_t distance = (size_t)atoi(more[0]) * KIB;
    size_t ahead = 0, beyond = 0;
    void *first = malloc(100 * KIB);
    for (int i = 0; i < 100; i++) {
        char *block = malloc(120 * KIB);
        CHECK(block);
        ahead += (size_t)is_resident((uintptr_t)block + distance - BIFOLD_PAGE);
        beyond += (size_t)is_resident((uintptr_t)block + distance);
    }
    free(first);
    say("%zu %zu\n", ahead, beyond);
}

// All that malloc hands out is resident before it is touched.
static void is_resident_before_it_is_touched(void) {
    need_bifold();
    static const size_t sizes[] = {64, 1000, 5000, 60000, 100 * KIB, MIB,
                                   5 * MIB};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t sum = 0; sum < 6 * MIB; sum += sizes[i]) {
            uintptr_t block = (uintptr_t)malloc(sizes[i]);
            CHECK(block);
            for (uintptr_t at = block & -(uintptr_t)BIFOLD_PAGE;
                 at < block + sizes[i]; at += BIFOLD_PAGE)
                CHECK_THAT(is_resident(at), "page %zu of a block of %zu",
                           (size_t)(at - block) / BIFOLD_PAGE, sizes[i]);
        }
    }
}

static void look_at_peak(struct lines *lines, char *line) {
    if (strncmp(line, "VmHWM:", 6) == 0)
        lines->sum = strtoull(line + 6, NULL, 10);
}

// What is mapped for the sake of an alignment is no part of a block.
static void an_alignment_makes_nothing_resident(void) {
    need_bifold();
    size_t before = resident_kib();
    char *block = aligned_alloc(512 * MIB, MIB);
    CHECK(block && is_aligned(block, 512 * MIB));
    for (size_t at = 0; at < MIB; at += BIFOLD_PAGE)
        CHECK(is_resident((uintptr_t)block + at));
    struct lines lines = {0};
    for_each_line("/proc/self/status", &lines, look_at_peak);
    size_t most = lines.sum;
    CHECK_THAT(most > 0 && most < before + 16 * KIB, "%zu KiB, then %zu", before, most);
    free(block);
}

// A mapping that grows by realloc is resident, too.
static void is_resident_when_it_has_grown(void) {
    need_bifold();
    char *block = malloc(3 * MIB);
    CHECK(block);
    for (size_t size = 4 * MIB; size < 40 * MIB; size += 7 * MIB) {
        block = realloc(block, size);
        CHECK(block);
        for (size_t at = 0; at < size; at += BIFOLD_PAGE)
            CHECK(is_resident((uintptr_t)block + at));
    }
}

static void reserve_is_mapped(void) {
    need_bifold();
    struct mallinfo2 info = mallinfo2();
    CHECK_THAT(info.arena >= 128 * MIB && info.arena < 160 * MIB, "%zu KiB",
               info.arena / KIB);
    // Too long for the first span, which is there with or without a reserve.
    void *first = malloc(2 * MIB);
    size_t size = smaps_kib("Size", first), rss = smaps_kib("Rss", first);
    CHECK_THAT(size >= 128 * KIB, "%zu KiB mapped", size);
    if (more_count)
        CHECK_THAT(rss >= 128 * KIB, "%zu KiB resident", rss);
    else
        CHECK_THAT(rss < KIB, "%zu KiB resident", rss);
    // Up to 2 MiB all is taken from there.
    size_t arena = mallinfo2().arena;
    for (int i = 0; i < 40; i++)
        CHECK(malloc(2 * MIB));
    CHECK(mallinfo2().arena == arena && mallinfo2().hblks == 0);
}

static void threshold_wins_over_reserve(void) {
    need_bifold();
    size_t before = mallinfo2().hblks;
    CHECK(malloc(100 * KIB));
    CHECK(malloc(MIB));
    CHECK(mallinfo2().hblks == before + 1);
}

// No page fault once the program has begun: a million calls of all kinds, while
// less than 64 MiB are live.

enum { SLOTS = 4096, THREADS = 4 };

struct player {
    void *block[SLOTS];
    size_t size[SLOTS];
    size_t live, most, calls;
    uint64_t state;
};

static size_t any_size(uint64_t *state) {
    uint64_t random = next_random(state);
    size_t floor = (size_t)1 << (random >> 32) % 20;
    return floor + (random & 0xfffff) % floor;
}

static void drop(struct player *p, size_t slot) {
    free(p->block[slot]);
    p->live -= p->size[slot];
    p->block[slot] = NULL;
    p->size[slot] = 0;
}

static void take(struct player *p, size_t slot) {
    size_t size = any_size(&p->state);
    void *block = NULL;
    switch (next_random(&p->state) % 8) {
    case 0:
        block = calloc(1, size);
        break;
    case 1:
        CHECK(posix_memalign(&block, (size_t)16 << p->state % 9, size) == 0);
        break;
    case 2:
        size = size / 2 + 1;
        block = realloc(malloc(size / 3 + 1), size);
        break;
    default:
        block = malloc(size);
    }
    CHECK(block);
    // Every page of it.
    for (size_t at = 0; at < size; at += BIFOLD_PAGE)
        ((volatile char *)block)[at] = 1;
    ((volatile char *)block)[size - 1] = 1;
    p->block[slot] = block;
    p->size[slot] = size;
    p->live += size;
}

static void *play(void *player) {
    struct player *p = player;
    for (size_t call = 0; call < p->calls; call++) {
        size_t slot = next_random(&p->state) % SLOTS;
        if (p->block[slot]) {
            drop(p, slot);
        } else {
            take(p, slot);
            while (p->live > p->most)
                drop(p, next_random(&p->state) % SLOTS);
        }
    }
    for (size_t slot = 0; slot < SLOTS; slot++)
        drop(p, slot);
    return NULL;
}

static struct player players[THREADS];
static pthread_barrier_t ready, go, done, end;

static void prepare(size_t count, size_t calls) {
    memset(players, 0, sizeof players);
    for (size_t i = 0; i < count; i++) {
        players[i].state = 4711 + i;
        players[i].most = 48 * MIB / count;
        players[i].calls = calls / count;
    }
}

// What the program itself touches is touched.
static void touch_stack(void) {
    volatile char stack[64 * KIB];
    for (size_t i = 0; i < sizeof stack; i += BIFOLD_PAGE)
        stack[i] = 1;
    (void)faults();
}

static void no_faults(void) {
    need_bifold();
    touch_stack();
    // The functions of the C library are bound at their first call.
    prepare(1, 500);
    play(&players[0]);
    prepare(1, 1000000);
    long before = faults();
    play(&players[0]);
    long after = faults();
    CHECK_THAT(after == before, "%ld page faults", after - before);
}

static void *play_in_thread(void *player) {
    touch_stack();
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&go);
    play(player);
    pthread_barrier_wait(&done);
    pthread_barrier_wait(&end);
    return NULL;
}

static void no_faults_in_threads(void) {
    need_bifold();
    pthread_t threads[THREADS];
    touch_stack();
    prepare(1, 500);
    play(&players[0]);
    prepare(THREADS, 1000000);
    pthread_barrier_init(&ready, NULL, THREADS + 1);
    pthread_barrier_init(&go, NULL, THREADS + 1);
    pthread_barrier_init(&done, NULL, THREADS + 1);
    pthread_barrier_init(&end, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, play_in_thread, &players[i]) ==
              0);
    pthread_barrier_wait(&ready);
    long before = faults();
    pthread_barrier_wait(&go);
    pthread_barrier_wait(&done);
    long after = faults();
    pthread_barrier_wait(&end);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_THAT(after == before, "%ld page faults", after - before);
}

MAIN(CASE(untouched), CASE(untouched_slabs), CASE(zeros),
     CASE(a_run_is_used_again), CASE(pages_ahead), CASE(runs_ahead),
     CASE(is_resident_before_it_is_touched),
     CASE(an_alignment_makes_nothing_resident),
     CASE(is_resident_when_it_has_grown), CASE(reserve_is_mapped),
     CASE(threshold_wins_over_reserve), CASE(no_faults),
     CASE(no_faults_in_threads))
