// A set-user-ID program: it is linked with the library, since the loader
// ignores LD_PRELOAD there. Says on standard output whether it is one.

#include "check.h"
#include <sys/auxv.h>

int main(void) {
    if (!on_bifold())
        FAIL("the program does not run on bifold");
    for (size_t size = 1; size < 300000; size = size * 3 / 2 + 1) {
        void *block = malloc(size);
        CHECK(block);
        fill(block, size, 1);
        free(block);
    }
    say("%s\n", getauxval(AT_SECURE) ? "secure" : "ordinary");
    return 0;
}
