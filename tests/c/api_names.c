// Every function of the C API is there, and is the library's own.

#include "check.h"
#include <malloc.h>

static const char *const names[] = {
    "malloc",
    "free",
    "calloc",
    "realloc",
    "reallocarray",
    "aligned_alloc",
    "posix_memalign",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
    "free_sized",
    "free_aligned_sized",
    "cfree",
    "mallopt",
    "mallinfo",
    "mallinfo2",
    "malloc_trim",
    "malloc_stats",
    "malloc_info",
};

// plain, array, nothrow, sized, aligned, and what can be combined of these.
static const char *const operators[] = {
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
};

static const char *object_of(void *address) {
    Dl_info info;
    CHECK(dladdr(address, &info));
    return info.dli_fname;
}

static void check_names(const char *const *wanted, size_t count) {
    void *version = look_up("bifold_version");
    if (!version)
        SKIP("needs bifold");
    for (size_t i = 0; i < count; i++) {
        void *function = look_up(wanted[i]);
        CHECK_THAT(function, "no %s", wanted[i]);
        CHECK_THAT(!strcmp(object_of(function), object_of(version)),
                   "%s is in %s", wanted[i], object_of(function));
    }
}

static void every_function_is_exported(void) {
    check_names(names, COUNT(names));
}

static void every_operator_is_exported(void) {
    check_names(operators, COUNT(operators));
}

static void the_version_is_text(void) {
    if (!on_bifold())
        SKIP("needs bifold");
    const char *(*version)(void) =
        (const char *(*)(void))look_up("bifold_version");
    CHECK(strlen(version()) >= 5 && strchr(version(), '.'));
}

// For each way to allocate, each way to give back.
static void free_sized_frees(void) {
    void (*free_sized)(void *, size_t) =
        (void (*)(void *, size_t))look_up("free_sized");
    if (!free_sized)
        SKIP("needs bifold or a newer C library");
    errno = 4242;
    for (int round = 0; round < 3000; round++) {
        for (size_t size = 0; size <= 400000; size = size * 3 + 1) {
            void *block = round % 3 == 0   ? malloc(size)
                          : round % 3 == 1 ? calloc(1, size)
                                           : realloc(malloc(10), size);
            if (!block)
                continue;
            if (size)
                *(volatile char *)block = 1;
            free_sized(block, size);
        }
        free_sized(NULL, 100);
    }
    CHECK(errno == 4242);
    CHECK(status_kib("VmRSS:") < 64 * KIB && status_kib("VmSize:") < 2 * MIB);
}

static void free_aligned_sized_frees(void) {
    void (*free_aligned_sized)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))look_up("free_aligned_sized");
    if (!free_aligned_sized)
        SKIP("needs bifold or a newer C library");
    errno = 4242;
    for (int round = 0; round < 300; round++) {
        for (size_t alignment = 16; alignment <= MIB; alignment *= 4) {
            for (size_t size = 1; size <= 400000; size = size * 5 + 1) {
                void *block = aligned_alloc(alignment, size);
                CHECK(block);
                *(volatile char *)block = 1;
                free_aligned_sized(block, alignment, size);
            }
        }
        free_aligned_sized(NULL, 64, 100);
    }
    CHECK(errno == 4242);
    CHECK(status_kib("VmRSS:") < 64 * KIB && status_kib("VmSize:") < 2 * MIB);
}

static void cfree_frees(void) {
    void (*cfree)(void *) = (void (*)(void *))look_up("cfree");
    if (!cfree)
        SKIP("needs bifold or an older C library");
    for (int round = 0; round < 3000; round++) {
        for (size_t size = 1; size <= 400000; size = size * 3 + 1) {
            void *block = calloc(1, size);
            CHECK(block);
            *(volatile char *)block = 1;
            cfree(block);
        }
        cfree(NULL);
    }
    CHECK(status_kib("VmRSS:") < 64 * KIB && status_kib("VmSize:") < 2 * MIB);
}

static void mallopt_knows_its_parameters(void) {
    CHECK(mallopt(M_MMAP_THRESHOLD, 256 * 1024) == 1);
    CHECK(mallopt(M_TRIM_THRESHOLD, 256 * 1024) == 1);
    CHECK(mallopt(M_TOP_PAD, 64 * 1024) == 1);
    CHECK(mallopt(M_MMAP_MAX, 1000) == 1);
    CHECK(mallopt(M_ARENA_MAX, 4) == 1);
    void *block = malloc(1000);
    CHECK(block);
    free(block);
}

static void mallopt_refuses_what_it_does_not_know(void) {
    if (!on_bifold())
        SKIP("needs bifold: glibc accepts anything");
    CHECK(mallopt(4242, 1) == 0);
    CHECK(mallopt(-4242, 1) == 0);
    CHECK(mallopt(0x7fffffff, 1) == 0);
}

MAIN(CASE(every_function_is_exported), CASE(every_operator_is_exported),
     CASE(the_version_is_text), CASE(free_sized_frees),
     CASE(free_aligned_sized_frees), CASE(cfree_frees),
     CASE(mallopt_knows_its_parameters),
     CASE(mallopt_refuses_what_it_does_not_know))
