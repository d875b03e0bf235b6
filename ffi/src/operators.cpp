// What operator new does when there is no memory: call the new-handler as
// long as there is one, then throw std::bad_alloc, or return null.
//
// In C++, because a handler may throw, and the exception must find its way
// through these frames. The C++ runtime is not linked: that would cost every
// small C program a megabyte. Its functions are weak references, found where
// the program has loaded them itself; where that happens later than bifold
// is loaded (a plug-in in C++ under a program in C), they are looked up.

#include <cstddef>
#include <dlfcn.h>

namespace std {
using new_handler = void (*)();
new_handler get_new_handler() noexcept __attribute__((weak));
[[noreturn]] void __throw_bad_alloc() __attribute__((weak));
} // namespace std

// The names that a catch block refers to.
asm(".weak __gxx_personality_v0\n"
    ".weak __cxa_begin_catch\n"
    ".weak __cxa_end_catch\n"
    ".weak _Unwind_Resume\n"
    ".weak _ZSt9terminatev\n");
extern "C" int __gxx_personality_v0(...) __attribute__((weak));

namespace {

void *look_up(const char *name) {
    // Only where the library is loaded already.
    void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr)
        return nullptr;
    void *function = dlsym(library, name);
    dlclose(library);
    return function;
}

std::new_handler handler() {
    if (std::get_new_handler != nullptr)
        return std::get_new_handler();
    auto *get = look_up("_ZSt15get_new_handlerv");
    return get == nullptr ? nullptr
                          : reinterpret_cast<std::new_handler (*)()>(get)();
}

// Allocates, or returns null; and ends the process with a message. What Rust
// exports from a shared library is visible to all, so these are handed over.
using Allocate = void *(*)(std::size_t size, std::size_t alignment);
using Die = void (*)(std::size_t size);

// Memory at last, or null when there is no handler any more.
void *retry(std::size_t size, std::size_t alignment, Allocate allocate) {
    while (std::new_handler call = handler()) {
        call();
        if (void *block = allocate(size, alignment))
            return block;
    }
    return nullptr;
}

} // namespace

extern "C" __attribute__((visibility("hidden"))) void *
bifold_new_failed(std::size_t size, std::size_t alignment, Allocate allocate,
                  Die die) {
    if (void *block = retry(size, alignment, allocate))
        return block;
    if (std::__throw_bad_alloc != nullptr)
        std::__throw_bad_alloc();
    if (auto *toss = look_up("_ZSt17__throw_bad_allocv"))
        reinterpret_cast<void (*)()>(toss)();
    die(size);
    return nullptr;
}

extern "C" __attribute__((visibility("hidden"))) void *
bifold_new_nothrow_failed(std::size_t size, std::size_t alignment,
                          Allocate allocate) noexcept {
    // Without the runtime nobody could catch what a handler throws.
    if (__gxx_personality_v0 == nullptr)
        return nullptr;
    try {
        return retry(size, alignment, allocate);
    } catch (...) {
        return nullptr;
    }
}
