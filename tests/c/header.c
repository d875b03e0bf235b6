/* bifold.h in a strict C program that is linked with the library. Also C++. */

#include "../../ffi/include/bifold.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int use(unsigned flags) {
    bifold_heap *heap = bifold_heap_create(flags);
    char *text, *longer;
    double *numbers;
    void *aligned;
    if (!heap)
        return 1;
    text = (char *)bifold_heap_malloc(heap, 8);
    numbers = (double *)bifold_heap_calloc(heap, 10, sizeof(double));
    aligned = bifold_heap_aligned_alloc(heap, 256, 100);
    if (!text || !numbers || !aligned)
        return 2;
    strcpy(text, "secret");
    longer = (char *)bifold_heap_realloc(heap, text, 1000);
    if (!longer || strcmp(longer, "secret") != 0 || numbers[9] > 0)
        return 3;
    bifold_heap_free(heap, longer);
    free(numbers);
    bifold_heap_destroy(heap);
    bifold_heap_destroy(NULL);
    (void)bifold_trim();
    return 0;
}

int main(void) {
    int failed = use(0) + use(BIFOLD_HEAP_LOCKED) +
                 use(BIFOLD_HEAP_LOCKED_ON_FAULT);
    if (bifold_heap_create(BIFOLD_HEAP_LOCKED | BIFOLD_HEAP_LOCKED_ON_FAULT))
        failed++;
    if (failed == 0 && strlen(bifold_version()) >= 5)
        puts("well");
    return failed;
}
