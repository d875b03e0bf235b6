// Starts `true` on a library, with a variable that is there twice.

#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    char preload[4096], page[64] = "BIFOLD_TEST_PAGE=";
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", argv[1]);
    const char *simulated = getenv("BIFOLD_TEST_PAGE");
    if (simulated)
        strncat(page, simulated, 16);
    char *arguments[] = {"true", NULL};
    char *environment[] = {preload, "BIFOLD_VERBOSE=1", "BIFOLD_SPARE=1M",
                           "BIFOLD_SPARE=2M", page, NULL};
    execvpe("true", arguments, environment);
    FAIL("true: %s", strerror(errno));
}
