// Explicit heaps, locked ones too, while system calls fail.

#include "faults.h"
#include <linux/capability.h>
#include <sys/syscall.h>

static size_t sizes[] = {100, 4096, 9000, 100000, 2200000};

static void *request(bifold_heap *heap, size_t size) {
    return keep(API(bifold_heap_malloc)(heap, size), size);
}

// A block is freed, destroyed with its heap, or both.
static void use_heap(unsigned flags) {
    bifold_heap *heap = API(bifold_heap_create)(flags);
    if (!heap) {
        ENSURE(may_fail && errno == ENOMEM);
        return;
    }
    size_t before = held_count;
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int k = 0; k < (sizes[i] < 5000 ? 4 : 1); k++)
            request(heap, sizes[i]);
    drop(before, 3);
    for (size_t i = 0; i + 1 < COUNT(sizes); i++) {
        unsigned char *block = API(bifold_heap_calloc)(heap, 1, sizes[i]);
        ENSURE(!block || is_zero(block, sizes[i]));
        keep(block, sizes[i]);
        block = API(bifold_heap_aligned_alloc)(heap, 512, sizes[i]);
        ENSURE(is_aligned(block, 512));
        keep(block, sizes[i]);
    }
    void *block = API(bifold_heap_aligned_alloc)(heap, 64 * KIB, 3000000);
    ENSURE(is_aligned(block, 64 * KIB));
    keep(block, 3000000);
    for (size_t i = before; i < held_count; i += 2) {
        size_t size = sizes[i % COUNT(sizes)];
        change(&held[i],
               API(bifold_heap_realloc)(heap, held[i].block, size), size);
    }
    for (size_t i = before; i < held_count; i++)
        ENSURE(is_marked(held[i].block, held[i].size));
    drop(before, 2);
    held_count = before;
    API(bifold_heap_destroy)(heap);
}

static void scenario_plain(void) {
    use_heap(0);
    use_heap(0);
}

static void plain(void) {
    survive(scenario_plain);
}

// Guarded runs that cannot be mapped anew are nobody's any more. Those that can
// leave a mapping each.
static void survive_locked(void (*scenario)(void)) {
    may_lose = 24 * MIB;
    more_mappings = 200;
    void *trial = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mlock(trial, 32 * MIB) != 0)
        SKIP("too little may be locked: %s", strerror(errno));
    munmap(trial, 32 * MIB);
    // By then it is known what a purge does.
    free(malloc(100000));
    malloc_trim(0);
    survive(scenario);
}

static void scenario_locked(void) {
    use_heap(BIFOLD_HEAP_LOCKED);
}

static void locked(void) {
    survive_locked(scenario_locked);
}

static void scenario_locked_on_fault(void) {
    use_heap(BIFOLD_HEAP_LOCKED_ON_FAULT);
}

static void locked_on_fault(void) {
    survive_locked(scenario_locked_on_fault);
}

// The process loses the right to lock what it likes.
static void lose_the_right(void) {
    struct rlimit limit = {256 * KIB, 256 * KIB};
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    CHECK(syscall(SYS_capget, &header, sets) == 0);
    sets[0].effective &= ~(1u << CAP_IPC_LOCK);
    CHECK(syscall(SYS_capset, &header, sets) == 0);
}

static void locked_at_the_limit(void) {
    // What cannot be unmapped at all keeps its addresses.
    may_lose = 64 * MIB;
    more_mappings = 200;
    is_bounded = 1;
    lose_the_right();
    survive(scenario_locked);
}

// The child's heap is wiped, and serves on.
static void scenario_locked_and_forked(void) {
    bifold_heap *heap = API(bifold_heap_create)(BIFOLD_HEAP_LOCKED);
    if (!heap) {
        ENSURE(may_fail);
        return;
    }
    size_t before = held_count;
    for (size_t i = 0; i < 4; i++)
        request(heap, sizes[i]);
    pid_t child = fork();
    if (child == 0) {
        for (size_t i = before; i < held_count; i++) {
            errno = 0;
            free(held[i].block);
        }
        held_count = before;
        for (size_t i = 0; i < 4; i++)
            request(heap, sizes[i]);
        API(bifold_heap_destroy)(heap);
        _exit(0);
    }
    int status;
    ENSURE(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    drop(before, 1);
    API(bifold_heap_destroy)(heap);
}

static void locked_and_forked(void) {
    survive_locked(scenario_locked_and_forked);
}

MAIN(CASE(plain), CASE(locked), CASE(locked_on_fault),
     CASE(locked_at_the_limit), CASE(locked_and_forked))
