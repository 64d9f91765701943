/*
 * What every measuring program needs: a clock, samples with their percentiles, numbers from the
 * command line. A measurement that can't be taken ends the program with one line on stderr (err(),
 * errx()); whoever ran it says so in the table.
 */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <stddef.h>
#include <stdint.h>

typedef struct Samples {
    int64_t *values;
    size_t count;
    size_t room;
} Samples;

/* The monotonic clock, in nanoseconds. */
int64_t bench_now_ns(void);

/* Make room for @room samples, so that adding them allocates nothing. */
void samples_init(Samples *samples, size_t room);
void samples_free(Samples *samples);

/* Keep @value. More samples than there is room for are a bug of the caller's. */
void samples_add(Samples *samples, int64_t value);

/*
 * The sample that @percent of all samples do not exceed (nearest rank); 50 is the median. Sorts
 * the samples. There must be at least one.
 */
int64_t samples_percentile(Samples *samples, unsigned int percent);

/*
 * @text, the value of option @option, as a whole number from @min to @max; ends the program when it
 * is none.
 */
unsigned int bench_number(char option, const char *text, unsigned int min, unsigned int max);

/*
 * Have the kernel end this process when its parent ends, however that happens: nothing that a
 * measurement started outlives it. To be called first in main() and in a child after fork().
 */
void bench_end_with_parent(void);

#endif
