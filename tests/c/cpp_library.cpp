// The C++ library at work, and libstdc++ that arrives late.

#include "check.h"
#include <algorithm>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

static void containers() {
    std::map<int, std::string> ordered;
    std::unordered_map<std::string, int> hashed;
    std::list<std::vector<int>> lists;
    std::deque<std::string> queue;
    for (int i = 0; i < 20000; i++) {
        std::string text = std::to_string(i * 2654435761u);
        ordered[i] = text + text + text;
        hashed[text] = i;
        queue.push_back(text);
        if (i % 3 == 0)
            queue.pop_front();
        if (i % 100 == 0)
            lists.emplace_back(static_cast<size_t>(i), i);
    }
    for (int i = 0; i < 20000; i++) {
        std::string text = std::to_string(i * 2654435761u);
        CHECK(ordered[i] == text + text + text);
        CHECK(hashed.at(text) == i);
    }
    for (const std::vector<int> &list : lists)
        for (int value : list)
            CHECK(static_cast<size_t>(value) == list.size());
}

static void strings() {
    std::string text;
    for (int i = 0; i < 300000; i++)
        text += static_cast<char>('a' + i % 26);
    for (size_t i = 0; i < text.size(); i++)
        CHECK(text[i] == static_cast<char>('a' + i % 26));
    std::ostringstream stream;
    for (int i = 0; i < 50000; i++)
        stream << i << ' ';
    std::istringstream back(stream.str());
    for (int i = 0; i < 50000; i++) {
        int value = -1;
        back >> value;
        CHECK(value == i);
    }
}

struct Node {
    std::shared_ptr<Node> left, right;
    static int live;
    Node() { live++; }
    ~Node() { live--; }
};

int Node::live = 0;

static std::shared_ptr<Node> tree(int depth) {
    auto node = std::make_shared<Node>();
    if (depth) {
        node->left = tree(depth - 1);
        node->right = tree(depth - 1);
    }
    return node;
}

static void shared_pointers() {
    for (int round = 0; round < 5; round++) {
        std::shared_ptr<Node> root = tree(14);
        CHECK(Node::live == (1 << 15) - 1);
        std::weak_ptr<Node> weak = root;
        root.reset();
        CHECK(weak.expired() && Node::live == 0);
    }
}

// Blocks are made in one thread and deleted in another.
static void threads() {
    std::vector<std::future<std::vector<std::string>>> results;
    for (int thread = 0; thread < 8; thread++) {
        results.push_back(std::async(std::launch::async, [thread] {
            std::vector<std::string> texts;
            for (int i = 0; i < 20000; i++)
                texts.push_back(std::string(static_cast<size_t>(i % 300),
                                            static_cast<char>('a' + thread)));
            return texts;
        }));
    }
    for (int thread = 0; thread < 8; thread++) {
        std::vector<std::string> texts =
            results[static_cast<size_t>(thread)].get();
        for (int i = 0; i < 20000; i++)
            CHECK(texts[static_cast<size_t>(i)].size() ==
                  static_cast<size_t>(i % 300));
        for (const std::string &text : texts)
            CHECK(std::all_of(text.begin(), text.end(),
                              [thread](char c) { return c == 'a' + thread; }));
    }
}

static void memory_resources() {
    std::pmr::unsynchronized_pool_resource pool;
    std::pmr::monotonic_buffer_resource buffer;
    std::pmr::vector<std::pmr::string> texts(&pool);
    std::pmr::list<int> numbers(&buffer);
    for (int i = 0; i < 10000; i++) {
        texts.emplace_back(static_cast<size_t>(i % 100), 'x');
        numbers.push_back(i);
    }
    int next = 0;
    for (int number : numbers)
        CHECK(number == next++);
    for (size_t i = 0; i < texts.size(); i++)
        CHECK(texts[i].size() == i % 100);
}

static int thrown(int depth) {
    std::string text(static_cast<size_t>(depth) * 10 + 1, 'x');
    if (depth == 0)
        throw std::runtime_error(text);
    return thrown(depth - 1) + static_cast<int>(text.size());
}

static void exceptions() {
    for (int i = 0; i < 3000; i++) {
        try {
            thrown(i % 50);
            FAIL("returned");
        } catch (const std::runtime_error &error) {
            CHECK(!strcmp(error.what(), "x"));
        }
        std::exception_ptr kept;
        try {
            throw std::string(1000, 'y');
        } catch (...) {
            kept = std::current_exception();
        }
        try {
            std::rethrow_exception(kept);
        } catch (const std::string &text) {
            CHECK(text.size() == 1000);
        }
    }
}

MAIN(CASE(containers), CASE(strings), CASE(shared_pointers), CASE(threads),
     CASE(memory_resources), CASE(exceptions))
