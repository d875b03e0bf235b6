// A C program that loads C++, and with it libstdc++, while it runs. The path of
// the plugin is its argument.

#include "check.h"
#include <pthread.h>

static const char *const functions[] = {
    "plugin_was_constructed",
    "plugin_uses_containers",
    "plugin_catches_bad_alloc",
    "plugin_uses_a_handler",
};

static void check_plugin(int flags) {
    void *plugin = dlopen(more[0], flags);
    CHECK_THAT(plugin, "%s", dlerror());
    for (size_t i = 0; i < COUNT(functions); i++) {
        int (*function)(void) = (int (*)(void))dlsym(plugin, functions[i]);
        CHECK(function);
        CHECK_THAT(function() == 0, "%s", functions[i]);
    }
    CHECK(dlclose(plugin) == 0);
}

static void has_no_cpp_yet(void) {
    CHECK(more_count == 1);
    CHECK(!look_up("_ZSt15set_new_handlerPFvvE"));
}

static void loaded_locally(void) {
    has_no_cpp_yet();
    check_plugin(RTLD_NOW | RTLD_LOCAL);
}

static void loaded_globally(void) {
    has_no_cpp_yet();
    check_plugin(RTLD_NOW | RTLD_GLOBAL);
}

static void loaded_lazily(void) {
    has_no_cpp_yet();
    check_plugin(RTLD_LAZY | RTLD_LOCAL);
}

static void loaded_after_allocations(void) {
    has_no_cpp_yet();
    void *blocks[1000];
    for (unsigned i = 0; i < 1000; i++)
        blocks[i] = malloc(i * 7);
    check_plugin(RTLD_NOW | RTLD_LOCAL);
    check_plugin(RTLD_NOW | RTLD_LOCAL);
    for (unsigned i = 0; i < 1000; i++)
        free(blocks[i]);
}

static void *load(void *unused) {
    check_plugin(RTLD_NOW | RTLD_LOCAL);
    return unused;
}

static void loaded_by_a_thread(void) {
    has_no_cpp_yet();
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, load, NULL) == 0);
        pthread_join(thread, NULL);
    }
}

// The operators are there all the same; without C++ there is nobody to throw.
static void without_any_cpp(void) {
    has_no_cpp_yet();
    void *(*operator_new)(size_t) = (void *(*)(size_t))look_up("_Znwm");
    void *(*nothrow)(size_t, const void *) =
        (void *(*)(size_t, const void *))look_up("_ZnwmRKSt9nothrow_t");
    void (*operator_delete)(void *) = (void (*)(void *))look_up("_ZdlPv");
    if (!operator_new)
        SKIP("needs bifold");
    for (size_t i = 0; i < 10000; i++) {
        void *block = operator_new(i);
        CHECK(block);
        operator_delete(block);
    }
    CHECK(!nothrow(SIZE_MAX, NULL));
}

MAIN(CASE(loaded_locally), CASE(loaded_globally), CASE(loaded_lazily),
     CASE(loaded_after_allocations), CASE(loaded_by_a_thread),
     CASE(without_any_cpp))
