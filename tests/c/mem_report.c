// A shared object to preload: when the process exits, it writes resident memory
// and its parts to the file that MEM_REPORT_FILE names. It calls no malloc.

#include "mem.h"

static int line(char *at, const char *name, long figure) {
    return snprintf(at, 64, "%s %ld\n", name, figure);
}

__attribute__((destructor)) static void report(void) {
    const char *name = getenv("MEM_REPORT_FILE");
    if (!name)
        return;
    char text[4096], out[256];
    read_rollup(text);
    int length = line(out, "rss_kib", rollup_field(text, "\nRss:"));
    length += line(out + length, "pss_kib", rollup_field(text, "\nPss:"));
    length += line(out + length, "swap_kib", rollup_field(text, "\nSwap:"));
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || write(file, out, length) != length)
        _exit(3);
    close(file);
}
