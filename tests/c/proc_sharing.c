// Two threads at the same slabs: one frees its own blocks while the other
// frees into them, gives them back, or trims. Each case is a race, and is run
// for long enough to lose it some times where it can be lost.

#include "check.h"
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

enum { SLAB = 4096, PAIRS = 20, SIZE = 16 };

static void *block[PAIRS * 2 * SLAB];
static atomic_int turn = -1, other_at_it = -1, other_done = -1;
static atomic_bool over;
static bool trims;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

// Frees one slab wholly, which gives it back, and one block of the next: the
// last free comes while the owner frees the rest.
static void *other(void *unused) {
    for (int n = 0;; n++) {
        while (atomic_load(&turn) != n)
            if (atomic_load(&over))
                return unused;
        void **whole = block + n % PAIRS * 2 * SLAB, **shared = whole + SLAB;
        for (int i = 0; i < SLAB - 1; i++)
            free(whole[i]);
        free(shared[SLAB - 1]);
        atomic_store(&other_at_it, n);
        free(whole[SLAB - 1]);
        if (trims)
            malloc_trim(0);
        atomic_store(&other_done, n);
    }
}

static void both_free(bool trim) {
    trims = trim;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, other, NULL) == 0);
    double end = now() + 2;
    for (int n = 0; now() < end;) {
        // From the start of a slab, if slabs are 64 KiB.
        for (int i = 0; i < 2 * SLAB; i++) {
            void *last = malloc(SIZE);
            CHECK(last);
            if (((uintptr_t)last & 0xffff) == 0xfff0)
                break;
        }
        for (size_t i = 0; i < COUNT(block); i++) {
            block[i] = malloc(SIZE);
            CHECK(block[i]);
        }
        for (int pair = 0; pair < PAIRS; pair++, n++) {
            void **shared = block + (pair * 2 + 1) * SLAB;
            atomic_store(&turn, n);
            while (atomic_load(&other_at_it) < n)
                ;
            for (int i = 0; i < 240; i++)
                free(shared[i]);
            while (atomic_load(&other_done) < n)
                ;
            for (int i = 240; i < SLAB - 1; i++)
                free(shared[i]);
        }
    }
    atomic_store(&over, true);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void frees_of_two_threads(void) { both_free(false); }
static void frees_and_trims_of_two_threads(void) { both_free(true); }

static void *trim_all_the_time(void *unused) {
    while (!atomic_load(&over))
        malloc_trim(0);
    return unused;
}

// Pops and pushes of slabs with one block or a few, while another thread
// trims: what is live keeps its contents and is not handed out again.
static void pops_while_another_trims(void) {
    static const size_t sizes[] = {16, 48, 1024, 4096, 8192, 20000, 65536};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, trim_all_the_time, NULL) == 0);
    double end = now() + 2;
    for (unsigned turn = 1; now() < end; turn++) {
        for (size_t k = 0; k < COUNT(sizes); k++) {
            enum { MOST = 6 };
            unsigned char *live[MOST];
            unsigned count = 1 + turn % MOST;
            for (unsigned i = 0; i < count; i++) {
                live[i] = malloc(sizes[k]);
                CHECK(live[i]);
                memset(live[i], (int)(turn + i), sizes[k]);
            }
            for (unsigned i = 0; i < count; i++) {
                for (size_t at = 0; at < sizes[k]; at += 15)
                    CHECK(live[i][at] == (unsigned char)(turn + i));
                free(live[i]);
            }
        }
    }
    atomic_store(&over, true);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void *many[400000];

static void *free_one_in_two_hundred(void *unused) {
    for (size_t i = 0; i < COUNT(many); i += 200)
        free(many[i]);
    return unused;
}

static size_t resident(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%*s %ld", &pages) == 1);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

// Another thread frees some blocks of every slab, the owner the rest, and the
// last: the pages then serve another size.
static void last_free_is_the_owners(void) {
    for (size_t i = 0; i < COUNT(many); i++) {
        many[i] = malloc(100);
        CHECK(many[i]);
        memset(many[i], 1, 100);
    }
    size_t full = resident();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, free_one_in_two_hundred, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    // The owner comes to its slow path and sees what the other has freed.
    for (int i = 0; i < 3000; i++)
        CHECK(malloc(700));
    for (size_t i = 0; i < COUNT(many); i++)
        if (i % 200)
            free(many[i]);
    for (size_t i = 0; i < COUNT(many) / 2; i++) {
        many[i] = malloc(200);
        CHECK(many[i]);
        memset(many[i], 1, 200);
    }
    CHECK_THAT(resident() < full + 8 * MIB, "%zu MiB, then %zu", full / MIB,
               resident() / MIB);
}

MAIN(CASE(frees_of_two_threads), CASE(frees_and_trims_of_two_threads),
     CASE(pops_while_another_trims), CASE(last_free_is_the_owners))
