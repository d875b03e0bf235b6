// Gives back what is not a block: `bad_pointer KIND OPERATION [SIZE OFFSET]`.
//
// The program says which pointer it is about to give back, so that the report
// can be compared. It must not survive: coming back from the call is exit 1.

#include "check.h"
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>

static char zeroed[4096] __attribute__((aligned(64)));
static char initialised[4096] __attribute__((aligned(64))) = {1};
static const char constant[4096] __attribute__((aligned(64))) = {1};
static __thread char of_thread[4096] __attribute__((aligned(64)));

static size_t argument(int index) {
    CHECK(index < more_count);
    return strtoull(more[index], NULL, 0);
}

// The heap is in use, as in any program.
static void *in_use[20];

__attribute__((constructor)) static void warm_up(void) {
    size_t size = 1;
    for (unsigned i = 0; i < COUNT(in_use) && size < 100000; i++, size *= 3) {
        in_use[i] = malloc(size);
        CHECK(in_use[i]);
    }
}

static void *volatile result;

static void use(const char *operation, void *pointer) {
    if (!strcmp(operation, "free")) {
        free(pointer);
    } else if (!strcmp(operation, "realloc")) {
        result = realloc(pointer, 100);
    } else if (!strcmp(operation, "shrink")) {
        result = realloc(pointer, 1);
    } else if (!strcmp(operation, "grow")) {
        result = realloc(pointer, 10 * MIB);
    } else if (!strcmp(operation, "realloc0")) {
        result = realloc(pointer, 0);
    } else if (!strcmp(operation, "reallocarray")) {
        result = reallocarray(pointer, 10, 10);
    } else if (!strcmp(operation, "free_sized")) {
        void (*function)(void *, size_t) =
            (void (*)(void *, size_t))look_up("free_sized");
        CHECK(function);
        function(pointer, 100);
    } else {
        // A mangled name: cfree, or an operator delete of one argument.
        void (*function)(void *) = (void (*)(void *))look_up(operation);
        CHECK(function);
        function(pointer);
    }
}

static void give_back(void *pointer) {
    HIDE(pointer);
    CHECK(more_count >= 1);
    for (unsigned i = 0; i < COUNT(in_use); i++)
        if (pointer == in_use[i])
            SKIP("a block happens to be at %p", pointer);
    if (!strcmp(more[0], "usable")) {
        size_t size = malloc_usable_size(pointer);
        CHECK_THAT(size == 0, "usable size of %p: %zu", pointer, size);
        return;
    }
    say("%p\n", pointer);
    use(more[0], pointer);
    FAIL("came back from %s", more[0]);
}

static void stack(void) {
    char local[4096] __attribute__((aligned(64)));
    char *place = local;
    HIDE(place);
    memset(place, 0, sizeof local);
    give_back(place + 128);
    HIDE(place);
}

static void *give_back_in_thread(void *unused) {
    stack();
    return unused;
}

static void stack_of_thread(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, give_back_in_thread, NULL) == 0);
    pthread_join(thread, NULL);
}

static void data(void) {
    give_back(initialised + 64);
}
static void bss(void) {
    give_back(zeroed + 64);
}
static void rodata(void) {
    give_back((char *)constant + 64);
}
static void thread_local_storage(void) {
    give_back(of_thread + 64);
}
static void text(void) {
    give_back((void *)((uintptr_t)stack & ~(uintptr_t)15));
}
static void text_of_a_library(void) {
    give_back((void *)((uintptr_t)look_up("printf") & ~(uintptr_t)15));
}
static void data_of_a_library(void) {
    give_back((void *)((uintptr_t)look_up("stdout") & ~(uintptr_t)15));
}
static void argument_string(void) {
    give_back((void *)((uintptr_t)more[0] & ~(uintptr_t)15));
}
static void vdso(void) {
    give_back((void *)(getauxval(AT_SYSINFO_EHDR) + 0x100));
}
static void program_break(void) {
    give_back((char *)sbrk(8192) + 4096);
}

// Memory of the allocator's own.
static void library_itself(void) {
    Dl_info info;
    void *version = look_up("bifold_version");
    CHECK(version && dladdr(version, &info));
    give_back((char *)info.dli_fbase + argument(1));
}

static int find_data(struct dl_phdr_info *object, size_t size, void *found) {
    Dl_info info;
    (void)size;
    CHECK(dladdr(look_up("bifold_version"), &info));
    if (object->dlpi_addr != (uintptr_t)info.dli_fbase)
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_LOAD &&
            object->dlpi_phdr[i].p_flags & PF_W)
            *(uintptr_t *)found =
                (object->dlpi_addr + object->dlpi_phdr[i].p_vaddr + 15) &
                ~(uintptr_t)15;
    return 1;
}

static void data_of_the_library_itself(void) {
    uintptr_t found = 0;
    CHECK(dl_iterate_phdr(find_data, &found) == 1 && found);
    give_back((char *)found + argument(1));
}

// An address that nobody has: the argument says which.
static void wild(void) {
    give_back((void *)argument(1));
}

// Distances from a block that lead out of all mapped memory, or to its edge.
static void far_from_a_block(void) {
    char *block = malloc(argument(1));
    CHECK(block);
    give_back(block + argument(2));
}

static char *map(size_t size, int protection) {
    char *mapping =
        mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mapping != MAP_FAILED);
    return mapping;
}

static void mapping_start(void) {
    give_back(map(argument(1), PROT_READ | PROT_WRITE));
}
static void mapping_middle(void) {
    give_back(map(argument(1), PROT_READ | PROT_WRITE) + argument(1) / 2);
}
static void mapping_offset_16(void) {
    give_back(map(argument(1), PROT_READ | PROT_WRITE) + 16);
}
static void mapping_offset_64(void) {
    give_back(map(argument(1), PROT_READ | PROT_WRITE) + 64);
}
static void mapping_without_access(void) {
    give_back(map(argument(1), PROT_NONE));
}
static void mapping_of_zeros(void) {
    // All that could be taken for a header reads as zero, and may be written.
    char *mapping = map(4 * MIB, PROT_READ | PROT_WRITE);
    memset(mapping, 0, 4 * MIB);
    give_back(
        (char *)(((uintptr_t)mapping + 2 * MIB) & ~(uintptr_t)(2 * MIB - 1)));
}
static void mapping_gone(void) {
    char *mapping = map(argument(1), PROT_READ | PROT_WRITE);
    munmap(mapping, argument(1));
    give_back(mapping);
}
static void mapping_of_a_file(void) {
    int file = open("/proc/self/exe", O_RDONLY);
    CHECK(file >= 0);
    char *mapping = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    CHECK(mapping != MAP_FAILED);
    give_back(mapping);
}

// A place in a block that is not its start, with blocks of its kind around it.
static void inside(void) {
    size_t size = argument(1);
    unsigned count = size > 100000 ? 3 : 50;
    char *blocks[50];
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        CHECK(blocks[i]);
        memset(blocks[i], 0, size < 1000 ? size : 1000);
    }
    give_back(blocks[count / 2] + (ptrdiff_t)argument(2));
}

// The same in memory that no block has been written to.
static void inside_untouched(void) {
    char *block = malloc(argument(1));
    CHECK(block);
    give_back(block + (ptrdiff_t)argument(2));
}

static void inside_zeroed(void) {
    char *block = calloc(1, argument(1));
    CHECK(block);
    give_back(block + (ptrdiff_t)argument(2));
}

// `SIZE OFFSET ALIGNMENT`.
static void inside_aligned(void) {
    char *block = memalign(argument(3), argument(1));
    CHECK(block);
    give_back(block + (ptrdiff_t)argument(2));
}

static char *of_other_thread;

static void *allocate(void *unused) {
    of_other_thread = malloc(argument(1));
    CHECK(of_other_thread);
    pause();
    return unused;
}

static void inside_of_other_thread(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, allocate, NULL) == 0);
    while (!__atomic_load_n(&of_other_thread, __ATOMIC_ACQUIRE))
        usleep(100);
    give_back(of_other_thread + (ptrdiff_t)argument(2));
}

// The first page of a block that a shrinking realloc has given up, or its end.
static void beyond_a_shrunken_block(void) {
    char *block = malloc(argument(1));
    CHECK(block);
    memset(block, 1, argument(1));
    block = realloc(block, argument(2));
    CHECK(block);
    give_back(block + ((argument(2) + 4095) & ~(size_t)4095));
}

MAIN(CASE(stack), CASE(stack_of_thread), CASE(data), CASE(bss), CASE(rodata),
     CASE(thread_local_storage), CASE(text), CASE(text_of_a_library),
     CASE(data_of_a_library), CASE(argument_string), CASE(vdso),
     CASE(program_break), CASE(library_itself),
     CASE(data_of_the_library_itself), CASE(wild), CASE(far_from_a_block),
     CASE(mapping_start), CASE(mapping_middle), CASE(mapping_offset_16),
     CASE(mapping_offset_64), CASE(mapping_without_access),
     CASE(mapping_of_zeros), CASE(mapping_gone), CASE(mapping_of_a_file),
     CASE(inside), CASE(inside_untouched), CASE(inside_zeroed),
     CASE(inside_aligned), CASE(inside_of_other_thread),
     CASE(beyond_a_shrunken_block))
