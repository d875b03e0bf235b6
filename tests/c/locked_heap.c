// Locked heaps: what is promised of their memory, seen from inside.

#include "heaps.h"
#include <malloc.h>
#include <pthread.h>

static void *allocate(bifold_heap *heap, size_t size) {
    void *block = API(bifold_heap_malloc)(heap, size);
    CHECK_THAT(block, "no block of %zu bytes", size);
    memset(block, 0xa7, malloc_usable_size(block));
    return block;
}

static void destroy(bifold_heap *heap) {
    API(bifold_heap_destroy)(heap);
}

static void check_page(const void *page, unsigned way, size_t size) {
    need_advice();
    struct mapping mapping = mapping_of(page);
    CHECK_THAT(has_flag(&mapping, "lo") && has_flag(&mapping, "dd") &&
                   has_flag(&mapping, "wf") && mapping.locked_kib > 0,
               "block of %zu: %zu KiB locked, %s", size, mapping.locked_kib,
               mapping.flags);
    CHECK(has_flag(&mapping, "lf") == (way == BIFOLD_HEAP_LOCKED_ON_FAULT));
}

static void every_page_is_locked_and_hidden(void) {
    for (size_t w = 0; w < COUNT(locked_ways); w++) {
        bifold_heap *heap = make_locked(locked_ways[w]);
        for (size_t i = 0; i < COUNT(heap_sizes); i++) {
            char *block = NULL;
            // Enough for slabs of several pages.
            size_t count = heap_sizes[i] > 9000 ? 2 : 40;
            for (size_t k = 0; k < count; k++) {
                block = allocate(heap, heap_sizes[i]);
                size_t length = malloc_usable_size(block);
                if (length == 0)
                    continue;
                check_page(block, locked_ways[w], length);
                check_page(block + length / 2, locked_ways[w], length);
                check_page(block + length - 1, locked_ways[w], length);
            }
        }
        destroy(heap);
    }
}

static void aligned_blocks_are_locked(void) {
    for (size_t w = 0; w < COUNT(locked_ways); w++) {
        bifold_heap *heap = make_locked(locked_ways[w]);
        for (size_t alignment = 1; alignment <= 2 * MIB; alignment *= 2) {
            size_t sizes[] = {1, 5000, 100000, MIB};
            for (size_t i = 0; i < COUNT(sizes); i++) {
                char *block = API(bifold_heap_aligned_alloc)(heap, alignment,
                                                             sizes[i]);
                CHECK(block && is_aligned(block, alignment));
                memset(block, 1, sizes[i]);
                check_page(block, locked_ways[w], sizes[i]);
                check_page(block + sizes[i] - 1, locked_ways[w], sizes[i]);
                free(block);
            }
        }
        destroy(heap);
    }
}

static void touch(void *address) {
    *(volatile char *)address = 1;
}

static void check_guard(char *address) {
    struct mapping mapping = mapping_of(address);
    CHECK(mapping.end && !mapping.is_readable);
    CHECK(in_child(touch, address) == -SIGSEGV);
}

// The addresses around a block up to which the program may read.
static void find_ends(char *block, char **start, char **end) {
    struct mapping mapping = mapping_of(block);
    *start = (char *)mapping.start;
    *end = (char *)mapping.end;
    while ((mapping = mapping_of(*start - 1)).is_readable)
        *start = (char *)mapping.start;
    while ((mapping = mapping_of(*end)).is_readable)
        *end = (char *)mapping.end;
}

static void guards_at_both_ends(void) {
    for (size_t w = 0; w < COUNT(locked_ways); w++) {
        bifold_heap *heap = make_locked(locked_ways[w]);
        for (size_t i = 0; i < COUNT(heap_sizes); i++) {
            char *block = allocate(heap, heap_sizes[i]);
            char *start = block, *end = block + malloc_usable_size(block);
            // What is left of the last page is the block's, too.
            end += -(uintptr_t)end % os_page();
            if (heap_sizes[i] <= 64 * KIB)
                find_ends(block, &start, &end);
            CHECK_THAT(end - start < 6 << 20, "%zu", (size_t)(end - start));
            touch(block);
            check_guard(start - 1);
            check_guard(end);
        }
        destroy(heap);
    }
}

// The free list has the first two words.
static void freed_blocks_are_zero(void) {
    for (size_t w = 0; w < COUNT(locked_ways); w++) {
        bifold_heap *heap = make_locked(locked_ways[w]);
        for (size_t i = 0; i < COUNT(heap_sizes); i++) {
            void *neighbour = allocate(heap, heap_sizes[i]);
            char *block = allocate(heap, heap_sizes[i]);
            size_t length = malloc_usable_size(block);
            if (length > STAYS_MAPPED)
                continue;
            if (i % 2)
                free(block);
            else
                API(bifold_heap_free)(heap, block);
            CHECK_THAT(length < 16 || is_zero(block + 16, length - 16),
                       "%zu bytes", length);
            free(neighbour);
        }
        destroy(heap);
    }
}

static void reallocated_blocks_are_wiped(void) {
    for (size_t w = 0; w < COUNT(locked_ways); w++) {
        bifold_heap *heap = make_locked(locked_ways[w]);
        for (size_t i = 2; i < COUNT(heap_sizes); i++) {
            for (int own = 0; own < 2; own++) {
                void *neighbour = allocate(heap, heap_sizes[i]);
                char *block = allocate(heap, heap_sizes[i]);
                size_t length = malloc_usable_size(block);
                // In place: what is behind is wiped.
                size_t less = length - length / 3;
                char *same = own ? API(bifold_heap_realloc)(heap, block, less)
                                 : realloc(block, less);
                CHECK(same == block);
                CHECK(is_zero(block + less, length - less));
                CHECK(((unsigned char)block[less - 1]) == 0xa7);
                // Elsewhere: the old one is.
                size_t more = 2 * length;
                char *moved = own ? API(bifold_heap_realloc)(heap, block, more)
                                  : realloc(block, more);
                CHECK(moved && moved != block);
                check_page(moved, locked_ways[w], more);
                for (size_t k = 0; k < less; k++)
                    CHECK((unsigned char)moved[k] == 0xa7);
                if (length <= STAYS_MAPPED)
                    CHECK(is_zero(block + 16, length - 16));
                // To a shorter one, elsewhere again.
                char *shorter = realloc(moved, length / 4 + 1);
                CHECK(shorter && shorter != moved);
                check_page(shorter, locked_ways[w], length);
                free(shorter);
                free(neighbour);
            }
        }
        destroy(heap);
    }
}

// Whether a page can be read: guards need not be mappings of their own.
static int is_accessible(int memory, size_t page) {
    char byte;
    return pread(memory, &byte, 1, (off_t)page) == 1;
}

// How many places in writable memory, the stack aside, look like the blocks'
// contents.
static size_t count_copies(void) {
    int memory = open("/proc/self/mem", O_RDONLY);
    CHECK(memory >= 0);
    char *line = read_whole("/proc/self/maps");
    size_t copies = 0;
    for (; *line; line += strcspn(line, "\n") + 1) {
        char *end;
        size_t from = strtoull(line, &end, 16);
        size_t to = strtoull(end + 1, &end, 16);
        if (strncmp(end, " rw-p", 5) ||
            memmem(line, strcspn(line, "\n"), "[stack]", 7))
            continue;
        unsigned run = 0;
        for (size_t page = from; page < to; page += 4096) {
            if (!is_accessible(memory, page))
                continue;
            volatile unsigned char *bytes = (void *)page;
            for (unsigned i = 0; i < 4096; i++) {
                run = bytes[i] == 0xa7 ? run + 1 : 0;
                copies += run == 24;
            }
        }
    }
    close(memory);
    return copies;
}

static void nothing_is_left_of_a_heap(void) {
    for (size_t w = 0; w < COUNT(locked_ways); w++) {
        bifold_heap *heap = make_locked(locked_ways[w]);
        for (size_t round = 0; round < 4; round++)
            for (size_t i = 0; i < COUNT(heap_sizes); i++) {
                void *block = allocate(heap, heap_sizes[i]);
                if (round == 1)
                    free(block);
                if (round == 2)
                    CHECK(realloc(block, heap_sizes[i] * 3 + 1));
                if (round == 3)
                    CHECK(realloc(block, heap_sizes[i] / 3 + 1));
            }
        CHECK(count_copies() > 20);
        destroy(heap);
        CHECK_THAT(count_copies() == 0, "%zu copies", count_copies());
    }
}

static size_t count_mappings(void) {
    size_t count = 0;
    for (char *at = read_whole("/proc/self/maps"); *at; at++)
        count += *at == '\n';
    return count;
}

static void a_destroyed_heap_unlocks_all(void) {
    destroy(make_locked(BIFOLD_HEAP_LOCKED));
    size_t before = status_kib("VmLck:");
    size_t mappings = count_mappings();
    for (int round = 0; round < 20; round++) {
        bifold_heap *heap = make_locked(locked_ways[round % 2]);
        for (size_t i = 0; i < COUNT(heap_sizes); i++)
            for (int k = 0; k < 3; k++)
                allocate(heap, heap_sizes[i]);
        CHECK(status_kib("VmLck:") > before + 24 * KIB);
        destroy(heap);
        CHECK(status_kib("VmLck:") == before);
    }
    // What was the heap's is ordinary memory again, to the kernel, too.
    CHECK_THAT(count_mappings() <= mappings + 10, "%zu mappings, %zu before",
               count_mappings(), mappings);
    static char *blocks[400];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        CHECK((blocks[i] = malloc(60000)));
        memset(blocks[i], 1, 60000);
        struct mapping mapping = mapping_of(blocks[i]);
        CHECK(!has_flag(&mapping, "lo") && !has_flag(&mapping, "dd") &&
              !has_flag(&mapping, "wf"));
    }
}

static void freed_slabs_unlock_theirs(void) {
    bifold_heap *heap = make_locked(BIFOLD_HEAP_LOCKED);
    size_t before = status_kib("VmLck:");
    static void *blocks[20000];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(blocks); i++)
            blocks[i] = allocate(heap, 200);
        CHECK(status_kib("VmLck:") >= before + 20000 / 5);
        for (size_t i = 0; i < COUNT(blocks); i++)
            free(blocks[i]);
        API(bifold_trim)();
        CHECK_THAT(status_kib("VmLck:") == before, "%zu KiB, %zu before",
                   status_kib("VmLck:"), before);
    }
}

struct shared {
    bifold_heap *heap;
    char **blocks;
};

static void use_in_child(void *argument) {
    struct shared *shared = argument;
    for (size_t i = 0; i < COUNT(heap_sizes); i++) {
        char *block = shared->blocks[i];
        CHECK(malloc_usable_size(block) >= heap_sizes[i]);
        CHECK(is_zero(block, malloc_usable_size(block)));
        struct mapping mapping = mapping_of(block);
        CHECK(!has_flag(&mapping, "lo") && has_flag(&mapping, "dd"));
    }
    CHECK(status_kib("VmLck:") == 0);
    char *old[COUNT(heap_sizes)];
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < COUNT(heap_sizes); i++) {
            char *block = allocate(shared->heap, heap_sizes[i]);
            struct mapping mapping = mapping_of(block);
            CHECK(heap_sizes[i] == 0 ||
                  (has_flag(&mapping, "lo") && mapping.locked_kib > 0));
            for (size_t k = 0; k < COUNT(heap_sizes); k++)
                CHECK(block != shared->blocks[k]);
            if (round == 1)
                free(block);
            old[i] = block;
        }
    for (size_t i = 0; i < COUNT(heap_sizes); i++) {
        free(old[i]);
        if (i % 2) {
            // Moved to memory that is locked.
            size_t longer = 2 * malloc_usable_size(shared->blocks[i]);
            char *moved = realloc(shared->blocks[i], longer);
            struct mapping mapping = mapping_of(moved);
            CHECK(has_flag(&mapping, "lo") && is_zero(moved, heap_sizes[i]));
        } else {
            free(shared->blocks[i]);
        }
    }
    API(bifold_trim)();
    malloc_usable_size(allocate(shared->heap, 100));
}

static void destroy_in_child(void *argument) {
    struct shared *shared = argument;
    use_in_child(shared);
    destroy(shared->heap);
    CHECK(status_kib("VmLck:") == 0);
    bifold_heap *heap = make_heap(BIFOLD_HEAP_LOCKED);
    allocate(heap, 1000);
    destroy(heap);
    CHECK(count_copies() == 0);
}

static void fork_again(void *argument) {
    struct shared *shared = argument;
    char *block = allocate(shared->heap, 100);
    CHECK(in_child(use_in_child, argument) == 0);
    CHECK((unsigned char)*block == 0xa7);
    free(block);
}

static void a_child_sees_zeros_and_goes_on(void) {
    void (*const bodies[])(void *) = {use_in_child, destroy_in_child,
                                      fork_again};
    need_advice();
    for (size_t w = 0; w < COUNT(locked_ways); w++) {
        bifold_heap *heap = make_locked(locked_ways[w]);
        char *blocks[COUNT(heap_sizes)];
        for (size_t i = 0; i < COUNT(heap_sizes); i++) {
            // Full slabs, free blocks, and remote ones.
            for (size_t k = 0; k < 100 && heap_sizes[i] < 9000; k++) {
                void *block = allocate(heap, heap_sizes[i]);
                if (k % 3)
                    free(block);
            }
            blocks[i] = allocate(heap, heap_sizes[i]);
        }
        struct shared shared = {heap, blocks};
        for (size_t i = 0; i < COUNT(bodies); i++)
            CHECK(in_child(bodies[i], &shared) == 0);
        for (size_t i = 0; i < COUNT(heap_sizes); i++) {
            CHECK(heap_sizes[i] == 0 || (unsigned char)*blocks[i] == 0xa7);
            free(blocks[i]);
        }
        destroy(heap);
    }
}

// What was never touched needs no memory to be wiped.
static void long_blocks_are_freed_untouched(void) {
    // Not by make_locked, which locks memory for a trial.
    bifold_heap *heap = make_heap(BIFOLD_HEAP_LOCKED_ON_FAULT);
    for (int round = 0; round < 3; round++) {
        size_t sizes[] = {300 * KIB, 1 * MIB, 28 * MIB};
        for (size_t i = 0; i < COUNT(sizes); i++) {
            volatile char *block = API(bifold_heap_malloc)(heap, sizes[i]);
            if (!block)
                SKIP("too little may be locked");
            block[sizes[i] / 2] = 1;
            free((void *)block);
        }
    }
    CHECK_THAT(status_kib("VmHWM:") < 24 * KIB, "%zu KiB", status_kib("VmHWM:"));
    destroy(heap);
}

static volatile int stop;

static void *churn(void *argument) {
    bifold_heap *heap = argument;
    void *blocks[64] = {NULL};
    for (unsigned n = 1; !stop; n++) {
        unsigned place = n * 2654435761u % COUNT(blocks);
        free(blocks[place]);
        blocks[place] = allocate(heap, heap_sizes[n % 11]);
        HIDE(blocks[place]);
    }
    for (size_t i = 0; i < COUNT(blocks); i++)
        free(blocks[i]);
    return NULL;
}

static void churn_in_child(void *argument) {
    void *blocks[200];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(blocks); i++)
            blocks[i] = allocate(argument, heap_sizes[i % 11]);
        for (size_t i = 0; i < COUNT(blocks); i++)
            free(blocks[i]);
    }
    API(bifold_trim)();
    destroy(argument);
    free(malloc(100));
}

static void forks_while_threads_allocate(void) {
    bifold_heap *heap = make_locked(BIFOLD_HEAP_LOCKED);
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, churn, heap) == 0);
    for (int i = 0; i < 15; i++) {
        int ended = in_child(churn_in_child, heap);
        CHECK_THAT(ended == 0, "child %d ended with %d", i, ended);
    }
    stop = 1;
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    destroy(heap);
}

enum { PASSED = 4096 };
static unsigned char *passed[PASSED];

static void *pass(void *argument) {
    for (unsigned n = 0; n < 60000; n++) {
        size_t size = 16 + n * 2654435761u % 700;
        if (n % 8192 == 0)
            API(bifold_trim)();
        unsigned char *block = allocate(argument, size);
        block[0] = (unsigned char)size;
        block = __atomic_exchange_n(&passed[n * 40503u % PASSED], block,
                                    __ATOMIC_ACQ_REL);
        if (block) {
            CHECK(block[15] == 0xa7);
            CHECK(block[malloc_usable_size(block) - 1] == 0xa7);
            free(block);
        }
    }
    return NULL;
}

static void threads_pass_blocks(void) {
    bifold_heap *heap = make_locked(BIFOLD_HEAP_LOCKED);
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, pass, heap) == 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (size_t i = 0; i < PASSED; i++)
        free(passed[i]);
    destroy(heap);
    CHECK(count_copies() == 0);
}

MAIN(CASE(every_page_is_locked_and_hidden), CASE(aligned_blocks_are_locked),
     CASE(guards_at_both_ends), CASE(freed_blocks_are_zero),
     CASE(reallocated_blocks_are_wiped), CASE(nothing_is_left_of_a_heap),
     CASE(a_destroyed_heap_unlocks_all), CASE(freed_slabs_unlock_theirs),
     CASE(a_child_sees_zeros_and_goes_on),
     CASE(long_blocks_are_freed_untouched), CASE(forks_while_threads_allocate),
     CASE(threads_pass_blocks))
