// Locked heaps where the kernel refuses: requests fail, and nothing is lost.
// Each case has the kernel say why, once, on standard error.

#include "heaps.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static size_t sizes[] = {1, 16, 100, 1000, 4096, 5000, 9000, 40000, 64 << 10};

static void *request(bifold_heap *heap, size_t size) {
    errno = 0;
    unsigned char *block = API(bifold_heap_malloc)(heap, size);
    if (!block) {
        CHECK(errno == ENOMEM);
        return NULL;
    }
    if (is_aligned(block, 256)) {
        struct mapping mapping = mapping_of(block + size / 2);
        CHECK_THAT(has_flag(&mapping, "lo"), "%zu bytes: %s", size,
                   mapping.flags);
    }
    memset(block, 0xa7, malloc_usable_size(block));
    return block;
}

static bifold_heap *limited_heap(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    CHECK(limit.rlim_cur == 64 * KIB && geteuid() != 0);
    need_way(locked_ways[atoi(more[0])]);
    return make_heap(locked_ways[atoi(more[0])]);
}

// Blocks of a size, until the limit is reached.
static void fill_up(size_t size) {
    bifold_heap *heap = limited_heap();
    static void *blocks[5000];
    for (int round = 0; round < 3; round++) {
        size_t count = 0;
        while ((blocks[count] = request(heap, size)))
            CHECK(++count < COUNT(blocks));
        CHECK_THAT(count >= 64 * KIB / (size + 16) * 2 / 3, "%zu of %zu", count,
                   size);
        CHECK(status_kib("VmLck:") <= 64);
        // Those that are there are as they were, and serve again.
        for (size_t i = 0; i < count; i++)
            CHECK(*(unsigned char *)blocks[i] == 0xa7);
        free(blocks[count / 2]);
        blocks[count / 2] = request(heap, size);
        CHECK(blocks[count / 2] && !request(heap, size));
        CHECK(!API(bifold_heap_realloc)(heap, blocks[0], 200000));
        CHECK(!realloc(blocks[0], 200000) && errno == ENOMEM);
        CHECK(*(unsigned char *)blocks[0] == 0xa7);
        CHECK(!API(bifold_heap_calloc)(heap, 3, 30000));
        if (round == 1) {
            API(bifold_heap_destroy)(heap);
            CHECK(status_kib("VmLck:") == 0);
            heap = limited_heap();
        } else {
            for (size_t i = 0; i < count; i++)
                free(blocks[i]);
        }
    }
    API(bifold_heap_destroy)(heap);
    CHECK(status_kib("VmLck:") == 0);
    CHECK(malloc(200000));
}

static void limit_of_small_blocks(void) {
    fill_up(16);
}

static void limit_of_longer_blocks(void) {
    fill_up(1000);
}

static void limit_of_pages(void) {
    fill_up(4096);
}

static void limit_of_medium_blocks(void) {
    fill_up(9000);
}

// Another class's free slabs make room.
static void limit_of_one_size_after_another(void) {
    bifold_heap *heap = limited_heap();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *blocks[5000];
        size_t count = 0;
        while ((blocks[count] = request(heap, sizes[i])))
            CHECK(++count < COUNT(blocks));
        CHECK_THAT(count > 0 || sizes[i] > 40000, "none of %zu", sizes[i]);
        while (count > 0)
            free(blocks[--count]);
    }
    API(bifold_heap_destroy)(heap);
}

static void limit_of_long_blocks(void) {
    bifold_heap *heap = limited_heap();
    unsigned char *block = request(heap, 5000);
    CHECK(!request(heap, 100000) && !request(heap, 1 << 20));
    CHECK(!request(heap, 5 << 20));
    CHECK(block && *block == 0xa7 && request(heap, 5000));
    API(bifold_heap_destroy)(heap);
    CHECK(status_kib("VmLck:") == 0);
}

// The kernel refuses a system call whose argument `number` is `value`, with
// `error`.
static void refuse(long call, unsigned number, unsigned value, unsigned error) {
    size_t offset = offsetof(struct seccomp_data, args) + 8 * number;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT(filter), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        SKIP("seccomp: %s", strerror(errno));
}

static void nothing_works(bifold_heap *heap) {
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT(heap_sizes); i++)
            CHECK(!request(heap, heap_sizes[i]));
        CHECK(status_kib("VmLck:") == 0);
    }
    API(bifold_heap_destroy)(heap);
    bifold_heap *other = make_heap(0);
    for (size_t i = 0; i < COUNT(heap_sizes); i++) {
        void *block = API(bifold_heap_malloc)(other, heap_sizes[i]);
        CHECK(block);
        memset(block, 1, malloc_usable_size(block));
    }
    API(bifold_heap_destroy)(other);
}

// Before Linux 4.14.
static void no_wiping_on_fork(void) {
    bifold_heap *heap = make_locked(BIFOLD_HEAP_LOCKED);
    refuse(SYS_madvise, 2, MADV_WIPEONFORK, EINVAL);
    nothing_works(heap);
}

static void no_exclusion_from_dumps(void) {
    bifold_heap *heap = make_locked(BIFOLD_HEAP_LOCKED);
    refuse(SYS_madvise, 2, MADV_DONTDUMP, EINVAL);
    nothing_works(heap);
}

// Before Linux 4.4.
static void no_locking_on_fault(void) {
    bifold_heap *heap = make_locked(BIFOLD_HEAP_LOCKED_ON_FAULT);
    refuse(SYS_mlock2, 2, MLOCK_ONFAULT, ENOSYS);
    nothing_works(heap);
}

// The limit of mappings.
static void no_guards(void) {
    bifold_heap *heap = make_locked(BIFOLD_HEAP_LOCKED);
    refuse(SYS_mprotect, 2, PROT_NONE, ENOMEM);
    nothing_works(heap);
}

// What can't be made ordinary memory again is nobody's any more.
static void no_way_back(void) {
    bifold_heap *heap = make_locked(BIFOLD_HEAP_LOCKED);
    char *blocks[COUNT(heap_sizes)], *all = NULL;
    for (size_t i = 0; i < COUNT(heap_sizes); i++)
        CHECK((blocks[i] = request(heap, heap_sizes[i])));
    refuse(SYS_mmap, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, ENOMEM);
    for (size_t i = 0; i < COUNT(heap_sizes); i++) {
        free(blocks[i]);
        if (heap_sizes[i] > 16 && heap_sizes[i] <= STAYS_MAPPED)
            CHECK(is_zero(blocks[i] + 16, heap_sizes[i] - 16));
    }
    API(bifold_heap_destroy)(heap);
    for (size_t i = 0; i < 3000; i++) {
        CHECK((all = malloc(9000 + i)));
        memset(all, 1, 9000 + i);
        for (size_t k = 0; k < COUNT(heap_sizes); k++)
            if (heap_sizes[k] <= STAYS_MAPPED)
                CHECK(blocks[k] + heap_sizes[k] <= all ||
                      all + 9000 + i <= blocks[k]);
    }
}

MAIN(CASE(limit_of_small_blocks), CASE(limit_of_longer_blocks),
     CASE(limit_of_pages), CASE(limit_of_medium_blocks),
     CASE(limit_of_one_size_after_another), CASE(limit_of_long_blocks),
     CASE(no_wiping_on_fork), CASE(no_exclusion_from_dumps),
     CASE(no_locking_on_fault), CASE(no_guards), CASE(no_way_back))
