// usable / requested over 20,000 sizes from 65 bytes to 1 MiB, spaced
// log-uniformly: the mean, the worst, and the size at which it is worst.

#include "mem.h"

#include <malloc.h>
#include <math.h>

enum { POINTS = 20000, LEAST = 65, MOST = 1 << 20 };

int main(void) {
    double sum = 0, worst = 0;
    size_t worst_size = 0, short_of = 0;
    for (int k = 0; k < POINTS; k++) {
        double share = (double)k / (POINTS - 1);
        size_t size = lround(LEAST * pow((double)MOST / LEAST, share));
        void *block = malloc(size);
        size_t usable = malloc_usable_size(block);
        free(block);
        double ratio = (double)usable / size;
        sum += ratio;
        short_of += usable < size;
        if (ratio > worst) {
            worst = ratio;
            worst_size = size;
        }
    }
    figure("mean", sum / POINTS);
    figure("worst", worst);
    figure("worst_size", worst_size);
    figure("short", short_of);
    return 0;
}
