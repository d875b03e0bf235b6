// Something for the C++ compiler to chew on: the more of the library and the
// more instances of a template, the greater SCALE.
#include <algorithm>
#include <map>
#include <string>
#include <vector>
#if SCALE > 1
#include <functional>
#include <iostream>
#include <memory>
#include <regex>
#include <unordered_map>
#endif

template <int N> struct Row {
    std::vector<std::string> cells;
    std::map<int, std::string> names;

    void add(const std::string &cell) {
        names[N + static_cast<int>(cells.size())] = cell;
        cells.push_back(cell + std::to_string(N));
        std::sort(cells.begin(), cells.end());
    }
    std::size_t width() const { return Row<N - 1>().width() + cells.size(); }
};

template <> struct Row<0> {
    std::size_t width() const { return 0; }
};

std::size_t width(const std::string &cell) {
    Row<4 * SCALE> row;
    row.add(cell);
    return row.width();
}

#if SCALE > 1
int main(int count, char **words) {
    std::unordered_map<std::string, std::function<int(int)>> table;
    std::regex pattern("(a|b)+c");
    for (int i = 1; i < count; i++)
        if (std::regex_match(words[i], pattern))
            table[words[i]] = [i](int n) { return n + i; };
    auto all = std::make_shared<int>(0);
    for (auto &[word, f] : table)
        *all += f(static_cast<int>(width(word)));
    std::cout << *all << '\n';
}
#endif
