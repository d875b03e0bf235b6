// What operator new does when there is no memory: bad_alloc, nullptr, and the
// new-handler.

#include "check.h"
#include <exception>
#include <new>
#include <string>
#include <sys/resource.h>
#include <vector>

static volatile size_t impossible[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1,
                                       PTRDIFF_MAX, (size_t)1 << 60,
                                       SIZE_MAX - 4096};

// libstdc++ rounds the size up to the alignment, past the end and back to 0.
static bool is_wrapped(size_t size, size_t alignment) {
    return size > SIZE_MAX - alignment && !on_bifold();
}

template <typename New>
static void must_throw(New allocate, size_t alignment = 0) {
    for (size_t i = 0; i < COUNT(impossible); i++) {
        if (is_wrapped(impossible[i], alignment))
            continue;
        bool caught = false;
        try {
            void *block = allocate(impossible[i]);
            HIDE(block);
            FAIL("%zu bytes at %p", impossible[i], block);
        } catch (const std::bad_alloc &error) {
            caught = error.what() && *error.what();
        }
        CHECK(caught);
    }
}

template <typename New>
static void must_return_null(New allocate, size_t alignment = 0) {
    for (size_t i = 0; i < COUNT(impossible); i++) {
        if (is_wrapped(impossible[i], alignment))
            continue;
        void *block = allocate(impossible[i]);
        HIDE(block);
        CHECK(!block);
    }
}

static const std::align_val_t at{64};

static void plain_throws() {
    must_throw([](size_t n) { return ::operator new(n); });
}

static void array_throws() {
    must_throw([](size_t n) { return ::operator new[](n); });
}

static void aligned_throws() {
    must_throw([](size_t n) { return ::operator new(n, at); }, 64);
    must_throw(
        [](size_t n) { return ::operator new(n, std::align_val_t{MIB}); },
        MIB);
}

static void array_aligned_throws() {
    must_throw([](size_t n) { return ::operator new[](n, at); }, 64);
}

static void nothrow_returns_null() {
    must_return_null([](size_t n) { return ::operator new(n, std::nothrow); });
}

static void array_nothrow_returns_null() {
    must_return_null(
        [](size_t n) { return ::operator new[](n, std::nothrow); });
}

static void aligned_nothrow_returns_null() {
    must_return_null(
        [](size_t n) { return ::operator new(n, at, std::nothrow); }, 64);
}

static void array_aligned_nothrow_returns_null() {
    must_return_null(
        [](size_t n) { return ::operator new[](n, at, std::nothrow); }, 64);
}

static void containers_throw() {
    bool caught = false;
    try {
        std::vector<char> bytes(static_cast<size_t>(1) << 60);
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught);
    std::string text(1000, 'x');
    try {
        caught = false;
        text.reserve(static_cast<size_t>(1) << 60);
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught && text == std::string(1000, 'x'));
}

static int calls;

static void limit_memory(size_t bytes) {
    struct rlimit limit = {bytes, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    if (bytes != RLIM_INFINITY && !is_limited(GIB))
        SKIP("the address space cannot be limited");
}

static void lift_the_limit() {
    limit_memory(RLIM_INFINITY);
}

// Makes 512 MiB impossible, and so the next call of the handler necessary.
static const size_t too_much = 512 * MIB;

static void gives_back_at_the_third_call() {
    if (++calls == 3)
        lift_the_limit();
}

template <typename New> static void check_handler_gives_back(New allocate) {
    calls = 0;
    limit_memory(256 * MIB);
    std::set_new_handler(gives_back_at_the_third_call);
    void *block = allocate(too_much);
    HIDE(block);
    CHECK(block);
    CHECK_THAT(calls == 3, "%d calls", calls);
    CHECK(std::get_new_handler() == gives_back_at_the_third_call);
    ::operator delete(block);
}

static void handler_gives_back() {
    check_handler_gives_back([](size_t n) { return ::operator new(n); });
}

static void handler_gives_back_to_array() {
    check_handler_gives_back([](size_t n) { return ::operator new[](n); });
}

static void handler_gives_back_to_nothrow() {
    check_handler_gives_back(
        [](size_t n) { return ::operator new(n, std::nothrow); });
}

static void handler_gives_back_to_aligned() {
    check_handler_gives_back([](size_t n) { return ::operator new(n, at); });
}

static void handler_gives_back_to_aligned_nothrow() {
    check_handler_gives_back(
        [](size_t n) { return ::operator new(n, at, std::nothrow); });
}

static void uninstalls_itself() {
    if (++calls == 4)
        std::set_new_handler(nullptr);
}

static void handler_uninstalls_itself() {
    calls = 0;
    std::set_new_handler(uninstalls_itself);
    bool caught = false;
    try {
        void *block = ::operator new(impossible[0]);
        HIDE(block);
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught && calls == 4);
    calls = 0;
    std::set_new_handler(uninstalls_itself);
    CHECK(!::operator new(impossible[1], std::nothrow));
    CHECK(calls == 4);
}

static void installs_another() {
    calls++;
    std::set_new_handler(uninstalls_itself);
}

static void handler_installs_another() {
    calls = 0;
    std::set_new_handler(installs_another);
    CHECK(!::operator new[](impossible[0], std::nothrow));
    CHECK_THAT(calls == 4, "%d calls", calls);
}

struct NoMemory : std::bad_alloc {
    int number = 17;
};

static void throws_bad_alloc() {
    calls++;
    throw NoMemory();
}

static void throws_something_else() {
    calls++;
    throw 42;
}

static void handler_throws_bad_alloc() {
    calls = 0;
    std::set_new_handler(throws_bad_alloc);
    for (int i = 0; i < 100; i++) {
        bool caught = false;
        try {
            void *block = ::operator new(impossible[0]);
            HIDE(block);
        } catch (const NoMemory &error) {
            caught = error.number == 17;
        }
        CHECK(caught && calls == i + 1);
    }
}

static void handler_throws_something_else() {
    calls = 0;
    std::set_new_handler(throws_something_else);
    for (int i = 0; i < 100; i++) {
        int caught = 0;
        try {
            void *block = i % 2 ? ::operator new[](impossible[0])
                                : ::operator new(impossible[1], at);
            HIDE(block);
        } catch (int number) {
            caught = number;
        }
        CHECK(caught == 42 && calls == i + 1);
    }
}

// The nothrow forms turn the handler's bad_alloc into nullptr.
static void handler_throws_in_nothrow() {
    calls = 0;
    std::set_new_handler(throws_bad_alloc);
    CHECK(!::operator new(impossible[0], std::nothrow));
    CHECK(!::operator new[](impossible[0], std::nothrow));
    CHECK(!::operator new(impossible[1], at, std::nothrow));
    CHECK(!::operator new[](impossible[1], at, std::nothrow));
    CHECK(calls == 4);
}

static void allocates() {
    char *block = new char[1000];
    HIDE(block);
    delete[] block;
    if (++calls == 10)
        std::set_new_handler(nullptr);
}

static void handler_allocates() {
    calls = 0;
    std::set_new_handler(allocates);
    CHECK(!::operator new(impossible[0], std::nothrow));
    CHECK(calls == 10);
}

// malloc has no handler.
static void malloc_does_not_call_the_handler() {
    calls = 0;
    std::set_new_handler(throws_something_else);
    CHECK(!malloc(impossible[0]) && !calloc(1, impossible[1]) && calls == 0);
}

static std::vector<void *> *reserve;

static void frees_the_reserve() {
    calls++;
    if (reserve->empty()) {
        std::set_new_handler(nullptr);
        return;
    }
    ::operator delete(reserve->back());
    reserve->pop_back();
}

// Out of memory for small blocks: the handler frees a large one each time.
static void handler_frees_a_reserve() {
    std::vector<void *> blocks, kept;
    reserve = &kept;
    blocks.reserve(1 << 20);
    for (int i = 0; i < 4; i++) {
        kept.push_back(::operator new(8 * MIB));
        HIDE(kept.back());
    }
    limit_memory(status_kib("VmSize:") * KIB + 32 * MIB);
    std::set_new_handler(frees_the_reserve);
    bool caught = false;
    try {
        while (blocks.size() < blocks.capacity())
            blocks.push_back(::operator new(1000));
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught && calls == 5 && kept.empty());
    // 32 MiB from the system and 32 MiB from the handler, the most part of it.
    CHECK_THAT(blocks.size() > 45000, "%zu blocks", blocks.size());
    for (void *block : blocks)
        ::operator delete(block);
}

MAIN(CASE(plain_throws), CASE(array_throws), CASE(aligned_throws),
     CASE(array_aligned_throws), CASE(nothrow_returns_null),
     CASE(array_nothrow_returns_null), CASE(aligned_nothrow_returns_null),
     CASE(array_aligned_nothrow_returns_null), CASE(containers_throw),
     CASE(handler_gives_back), CASE(handler_gives_back_to_array),
     CASE(handler_gives_back_to_nothrow), CASE(handler_gives_back_to_aligned),
     CASE(handler_gives_back_to_aligned_nothrow),
     CASE(handler_uninstalls_itself), CASE(handler_installs_another),
     CASE(handler_throws_bad_alloc), CASE(handler_throws_something_else),
     CASE(handler_throws_in_nothrow), CASE(handler_allocates),
     CASE(malloc_does_not_call_the_handler), CASE(handler_frees_a_reserve))
