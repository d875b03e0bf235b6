// Each signature of operator new and operator delete, called by itself.

#include "check.h"
#include <malloc.h>
#include <new>

static const size_t sizes[] = {0,     1,      8,      16,      24,
                               100,   1000,   1025,   5000,    20000,
                               50000, 100000, 200000, 1048576, 3000001};

enum { ROUNDS = 300 };

// What is not freed shows: each case turns over far more than this.
static void check_memory() {
    CHECK(status_kib("VmRSS:") < 64 * KIB);
    CHECK(status_kib("VmSize:") < 2 * MIB);
}

template <typename New, typename Delete>
static void check(size_t alignment, New allocate, Delete release) {
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            size_t size = sizes[i];
            void *blocks[3];
            for (unsigned k = 0; k < 3; k++) {
                blocks[k] = allocate(size);
                HIDE(blocks[k]);
                CHECK(blocks[k]);
                CHECK_THAT(is_aligned(blocks[k], alignment), "%zu at %zu: %p",
                           size, alignment, blocks[k]);
                CHECK(k == 0 || blocks[k] != blocks[k - 1]);
                fill(blocks[k], size < 200 ? size : 200, k);
                if (size)
                    static_cast<volatile char *>(blocks[k])[size - 1] =
                        static_cast<char>(filler(k, size - 1));
            }
            for (unsigned k = 0; k < 3; k++) {
                CHECK(is_filled(blocks[k], size < 200 ? size : 200, k));
                release(blocks[k], size);
            }
        }
    }
    check_memory();
}

static void plain() {
    check(
        16, [](size_t n) { return ::operator new(n); },
        [](void *p, size_t) { ::operator delete(p); });
}

static void array() {
    check(
        16, [](size_t n) { return ::operator new[](n); },
        [](void *p, size_t) { ::operator delete[](p); });
}

static void nothrow() {
    check(
        16, [](size_t n) { return ::operator new(n, std::nothrow); },
        [](void *p, size_t) { ::operator delete(p, std::nothrow); });
}

static void array_nothrow() {
    check(
        16, [](size_t n) { return ::operator new[](n, std::nothrow); },
        [](void *p, size_t) { ::operator delete[](p, std::nothrow); });
}

static void sized() {
    check(
        16, [](size_t n) { return ::operator new(n); },
        [](void *p, size_t n) { ::operator delete(p, n); });
}

static void array_sized() {
    check(
        16, [](size_t n) { return ::operator new[](n); },
        [](void *p, size_t n) { ::operator delete[](p, n); });
}

// Each alignment that a type or a program may ask for.
template <typename Check> static void each_alignment(Check run) {
    for (size_t alignment = 1; alignment <= MIB; alignment *= 4)
        run(std::align_val_t(alignment), alignment);
}

template <typename New, typename Delete>
static void check_aligned(size_t alignment, New allocate, Delete release) {
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            void *blocks[3];
            for (unsigned k = 0; k < 3; k++) {
                blocks[k] = allocate(sizes[i]);
                HIDE(blocks[k]);
                CHECK(blocks[k]);
                CHECK_THAT(is_aligned(blocks[k], alignment), "%zu at %zu: %p",
                           sizes[i], alignment, blocks[k]);
                fill(blocks[k], sizes[i] < 200 ? sizes[i] : 200, k);
            }
            for (unsigned k = 0; k < 3; k++) {
                CHECK(
                    is_filled(blocks[k], sizes[i] < 200 ? sizes[i] : 200, k));
                release(blocks[k], sizes[i]);
            }
        }
    }
    check_memory();
}

static void aligned() {
    each_alignment([](std::align_val_t at, size_t alignment) {
        check_aligned(
            alignment, [=](size_t n) { return ::operator new(n, at); },
            [=](void *p, size_t) { ::operator delete(p, at); });
    });
}

static void array_aligned() {
    each_alignment([](std::align_val_t at, size_t alignment) {
        check_aligned(
            alignment, [=](size_t n) { return ::operator new[](n, at); },
            [=](void *p, size_t) { ::operator delete[](p, at); });
    });
}

static void aligned_sized() {
    each_alignment([](std::align_val_t at, size_t alignment) {
        check_aligned(
            alignment, [=](size_t n) { return ::operator new(n, at); },
            [=](void *p, size_t n) { ::operator delete(p, n, at); });
    });
}

static void array_aligned_sized() {
    each_alignment([](std::align_val_t at, size_t alignment) {
        check_aligned(
            alignment, [=](size_t n) { return ::operator new[](n, at); },
            [=](void *p, size_t n) { ::operator delete[](p, n, at); });
    });
}

static void aligned_nothrow() {
    each_alignment([](std::align_val_t at, size_t alignment) {
        check_aligned(
            alignment,
            [=](size_t n) { return ::operator new(n, at, std::nothrow); },
            [=](void *p, size_t) { ::operator delete(p, at, std::nothrow); });
    });
}

static void array_aligned_nothrow() {
    each_alignment([](std::align_val_t at, size_t alignment) {
        check_aligned(
            alignment,
            [=](size_t n) { return ::operator new[](n, at, std::nothrow); },
            [=](void *p, size_t) {
                ::operator delete[](p, at, std::nothrow);
            });
    });
}

static void delete_of_null() {
    void *volatile null = nullptr;
    std::align_val_t at{64};
    for (int round = 0; round < 100; round++) {
        ::operator delete(null);
        ::operator delete[](null);
        ::operator delete(null, std::nothrow);
        ::operator delete[](null, std::nothrow);
        ::operator delete(null, 100);
        ::operator delete[](null, 100);
        ::operator delete(null, at);
        ::operator delete[](null, at);
        ::operator delete(null, 100, at);
        ::operator delete[](null, 100, at);
        ::operator delete(null, at, std::nothrow);
        ::operator delete[](null, at, std::nothrow);
    }
}

// Nobody should, and much code does.
static void mixed_with_malloc() {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *block = ::operator new(sizes[i]);
        HIDE(block);
        CHECK(malloc_usable_size(block) >= sizes[i]);
        block = realloc(block, sizes[i] + 100);
        CHECK(block);
        free(block);
        block = malloc(sizes[i]);
        HIDE(block);
        ::operator delete(block);
        block = calloc(1, sizes[i]);
        HIDE(block);
        ::operator delete[](block);
    }
}

struct alignas(128) Wide {
    char bytes[200];
    static int live;
    Wide() { live++; }
    ~Wide() { live--; }
};

int Wide::live = 0;

struct Refuses {
    char bytes[100];
    Refuses() { throw 42; }
};

// By the compiler's own calls: which signature it picks depends on the type.
static void through_expressions() {
    for (int round = 0; round < 1000; round++) {
        Wide *one = new Wide;
        Wide *many = new Wide[7];
        Wide *quiet = new (std::nothrow) Wide;
        HIDE(one);
        HIDE(many);
        HIDE(quiet);
        CHECK(is_aligned(one, 128) && is_aligned(many, 128) &&
              is_aligned(quiet, 128));
        CHECK(Wide::live == 9);
        delete one;
        delete[] many;
        delete quiet;
        CHECK(Wide::live == 0);
        int *numbers = new int[1000];
        HIDE(numbers);
        delete[] numbers;
        // A constructor that throws has its memory deleted.
        for (int i = 0; i < 10; i++) {
            try {
                Refuses *refused = new Refuses;
                HIDE(refused);
                FAIL("constructed");
            } catch (int number) {
                CHECK(number == 42);
            }
        }
    }
    check_memory();
}

MAIN(CASE(plain), CASE(array), CASE(nothrow), CASE(array_nothrow), CASE(sized),
     CASE(array_sized), CASE(aligned), CASE(array_aligned),
     CASE(aligned_sized), CASE(array_aligned_sized), CASE(aligned_nothrow),
     CASE(array_aligned_nothrow), CASE(delete_of_null),
     CASE(mixed_with_malloc), CASE(through_expressions))
