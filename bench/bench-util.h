/*
 * What every measuring program needs: a clock, samples with their percentiles, numbers from the
 * command line. A measurement that can't be taken ends the program with one line on stderr (err(),
 * errx()); whoever ran it says so in the table.
 */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <stdbool.h>
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

/* Print the median and the 99th percentile of @samples, which are ns, as one line of JSON with the
 * fields median_us and p99_us. */
void samples_print_us(Samples *samples);

/* An option of a measuring program: -@letter NUMBER, or a -@letter alone when @flag is set. */
typedef struct BenchOption {
    char letter;
    unsigned int *number;
    unsigned int min;
    unsigned int max;
    bool *flag;
} BenchOption;

/*
 * Read the command line's options, of which @options, ended by an element of zeroes, are known.
 * Returns where the other arguments begin; ends the program when an option is wrong. Also does what
 * bench_end_with_parent() does, so it is to be called first in main().
 */
int bench_options(int argc, char **argv, const BenchOption *options);

/* The exit status that stands for "n/a": this can't be measured here, or there is no such thing. */
#define BENCH_NOT_AVAILABLE 77

/* See that the process may have @count descriptors; ends it as not available when it may not. */
void bench_need_descriptors(unsigned int count);

/* Keep the calling thread on the @index-th of the processors that this process may use; does
 * nothing when there are not that many. */
void bench_pin(unsigned int index);

/* The next of a series of random numbers, the same in each run; @state is any number but 0 at
 * first. */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/*
 * Have the kernel end this process when its parent ends, however that happens: nothing that a
 * measurement started outlives it. To be called first in a child after fork().
 */
void bench_end_with_parent(void);

#endif
