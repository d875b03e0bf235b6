// Objects of C++ with a life of their own: thread_local and static ones, whose
// constructors and destructors allocate.

#include "check.h"
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

static std::atomic<int> destroyed;

struct Holder {
    std::vector<std::string> texts;
    std::map<int, std::unique_ptr<int[]>> arrays;

    Holder() {
        for (int i = 0; i < 100; i++)
            add(i);
    }

    void add(int i) {
        texts.push_back(std::string(static_cast<size_t>(i * 37 % 5000), 'x'));
        arrays[i] =
            std::make_unique<int[]>(static_cast<size_t>(i * 101 % 60000 + 1));
    }

    ~Holder() {
        for (int i = 0; i < 100; i++)
            CHECK(texts[static_cast<size_t>(i)].size() ==
                  static_cast<size_t>(i * 37 % 5000));
        // A destructor that needs memory itself.
        Holder *other = nullptr;
        if (!inner) {
            inner = true;
            other = new Holder;
            delete other;
            inner = false;
            destroyed++;
        }
    }

    static thread_local bool inner;
};

thread_local bool Holder::inner;

static thread_local Holder first;
static thread_local std::unique_ptr<Holder> second;

static void touch() {
    first.add(1000);
    second = std::make_unique<Holder>();
}

static void in_threads() {
    for (int round = 0; round < 10; round++) {
        std::vector<std::thread> threads;
        for (int i = 0; i < 8; i++)
            threads.emplace_back(touch);
        for (std::thread &thread : threads)
            thread.join();
    }
    CHECK_THAT(destroyed == 160, "%d destroyed", destroyed.load());
}

// Made while another is destroyed, and destroyed after it.
struct Late {
    std::string text = std::string(10000, 'l');
    ~Late() {
        CHECK(text.size() == 10000);
        destroyed++;
    }
};

static Late &late() {
    thread_local Late object;
    return object;
}

struct MakesLate {
    ~MakesLate() {
        late().text[0] = 'm';
        std::string after(5000, 'a');
        CHECK(after.size() == 5000);
    }
};

static void made_by_a_destructor() {
    for (int i = 0; i < 50; i++) {
        std::thread([] {
            thread_local MakesLate object;
            (void)object;
            HIDE(*reinterpret_cast<char *>(&object));
        }).join();
    }
    CHECK(destroyed == 50);
}

static void key_destructor(void *value) {
    delete static_cast<std::string *>(value);
    // Key destructors run after those of thread_local objects.
    std::vector<std::string> texts(100, std::string(1000, 'k'));
    CHECK(texts.size() == 100);
    destroyed++;
}

static void with_keys() {
    pthread_key_t key;
    CHECK(pthread_key_create(&key, key_destructor) == 0);
    for (int i = 0; i < 20; i++) {
        std::thread([key] {
            touch();
            CHECK(pthread_setspecific(key, new std::string(1000, 'v')) == 0);
        }).join();
    }
    CHECK_THAT(destroyed == 60, "%d destroyed", destroyed.load());
}

// Static ones, and those of the main thread, when the program ends.
static bool check_at_exit;

struct AtExit {
    std::vector<std::string> texts =
        std::vector<std::string>(1000, std::string(300, 's'));
    ~AtExit() {
        for (const std::string &text : texts)
            CHECK(text.size() == 300);
        texts.assign(2000, std::string(500, 't'));
        if (check_at_exit) {
            CHECK_THAT(destroyed == 2, "%d destroyed", destroyed.load());
            _exit(0);
        }
    }
};

static AtExit at_exit;

static void in_the_main_thread() {
    touch();
    check_at_exit = true;
    exit(EXIT_WRONG);
}

static void memory_stays_flat() {
    for (int i = 0; i < 30; i++)
        std::thread(touch).join();
    size_t before = status_kib("VmRSS:");
    for (int i = 0; i < 200; i++)
        std::thread(touch).join();
    size_t after = status_kib("VmRSS:");
    need_exact_memory();
    CHECK_THAT(after <= before + 2 * MIB / KIB, "%zu KiB before, %zu after",
               before, after);
}

MAIN(CASE(in_threads), CASE(made_by_a_destructor), CASE(with_keys),
     CASE(in_the_main_thread), CASE(memory_stays_flat))
