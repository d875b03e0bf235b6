// How much of an RLIMIT_AS can be allocated, freed and allocated again:
//
//     mem_limit MEBIBYTES
//
// The program limits itself and starts over, so that the allocator starts
// under the limit too. For each size it fills the address space twice, then
// goes on to the next size, and at the end to the first one again.

#include "mem.h"

#include <sys/resource.h>

enum { LEAST = 64 << 10 };

struct node {
    struct node *next;
};

// Links each block into the list through its first word, and returns the bytes
// allocated. Where a size does not divide the limit, halves of it fill the
// rest, down to LEAST.
static size_t fill(struct node **list, size_t size) {
    size_t bytes = 0;
    for (;;) {
        struct node *node = malloc(size);
        if (node) {
            node->next = *list;
            *list = node;
            bytes += size;
        } else if (size / 2 >= LEAST) {
            size /= 2;
        } else {
            return bytes;
        }
    }
}

static void empty(struct node *list) {
    while (list) {
        struct node *next = list->next;
        free(list);
        list = next;
    }
}

int main(int argc, char **argv) {
    static const size_t SIZES[] = {48,      1000,    20000, 100000,
                                   1 << 20, 10000000, 48};
    if (argc < 2)
        return 2;
    rlim_t limit = (rlim_t)atol(argv[1]) << 20;
    if (argc == 2) {
        struct rlimit both = {limit, limit};
        if (setrlimit(RLIMIT_AS, &both))
            return 2;
        execl("/proc/self/exe", argv[0], argv[1], "limited", (char *)0);
        return 2;
    }
    double least = 100;
    for (size_t k = 0; k < sizeof SIZES / sizeof *SIZES; k++) {
        for (int again = 0; again < 2; again++) {
            struct node *list = NULL;
            double percent = 100.0 * fill(&list, SIZES[k]) / limit;
            empty(list);
            char name[64];
            snprintf(name, sizeof name, "of_%zu_%s", SIZES[k],
                     again ? "again" : k ? "next" : "first");
            figure(name, percent);
            if (percent < least)
                least = percent;
        }
    }
    figure("least_percent", least);
    return 0;
}
