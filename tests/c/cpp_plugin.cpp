// A shared object in C++, for a program that has no libstdc++ of its own.

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <vector>

static int handler_calls;

static void handler() {
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

// Each returns 0 when all is well.

extern "C" int plugin_catches_bad_alloc(void) {
    volatile std::size_t impossible = static_cast<std::size_t>(-1) / 2;
    for (int i = 0; i < 100; i++) {
        try {
            void *block = ::operator new(impossible);
            __asm__ volatile("" : "+r"(block));
            return 1;
        } catch (const std::bad_alloc &) {
        }
    }
    return ::operator new(impossible, std::nothrow) != nullptr;
}

extern "C" int plugin_uses_a_handler(void) {
    volatile std::size_t impossible = static_cast<std::size_t>(-1) / 2;
    handler_calls = 0;
    std::set_new_handler(handler);
    try {
        void *block = ::operator new[](impossible);
        __asm__ volatile("" : "+r"(block));
        return 1;
    } catch (const std::bad_alloc &) {
        return handler_calls != 3;
    }
}

extern "C" int plugin_uses_containers(void) {
    std::vector<std::unique_ptr<std::string>> texts;
    for (std::size_t i = 0; i < 10000; i++)
        texts.push_back(std::make_unique<std::string>(i % 200, 'x'));
    for (std::size_t i = 0; i < texts.size(); i++)
        if (texts[i]->size() != i % 200)
            return 1;
    return 0;
}

static const std::string made_at_load(1000, 'x');

extern "C" int plugin_was_constructed(void) {
    return made_at_load.size() != 1000;
}
