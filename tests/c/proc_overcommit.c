// Under vm.overcommit_memory = 2, where each writable page is charged when it is
// mapped.

#include "check.h"
#include <pthread.h>

static void check_mode(void) {
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "r");
    CHECK(file && fgetc(file) == '2');
    fclose(file);
}

static void use_all_sizes(void) {
    for (size_t size = 1; size < 40 * MIB; size = size * 2 + 1) {
        void *block = malloc(size);
        CHECK_THAT(block, "%zu bytes", size);
        memset(block, 1, size < 100000 ? size : 100000);
        free(block);
    }
}

static void *use_in_thread(void *unused) {
    use_all_sizes();
    return unused;
}

static void allocates(void) {
    check_mode();
    use_all_sizes();
    for (int i = 0; i < 8; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, use_in_thread, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
}

static size_t committed_kib(const char *field) {
    char line[200];
    size_t figure = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    CHECK(file);
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, field, strlen(field)))
            figure = strtoull(line + strlen(field), NULL, 10);
    fclose(file);
    CHECK(figure);
    return figure;
}

static void refuses_more_than_there_is(void) {
    check_mode();
    errno = 0;
    CHECK(!malloc((committed_kib("CommitLimit:") + 1) * KIB) &&
          errno == ENOMEM);
    use_all_sizes();
}

MAIN(CASE(allocates), CASE(refuses_more_than_there_is))
