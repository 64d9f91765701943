/*
 * What every measuring program needs. See the header.
 */
#include "config.h"

#include "bench/bench-util.h"

#include <assert.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

int64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void samples_init(Samples *samples, size_t room)
{
    samples->values = calloc(room, sizeof(*samples->values));
    if (!samples->values) {
        err(1, "%zu samples", room);
    }
    samples->count = 0;
    samples->room = room;
}

void samples_free(Samples *samples)
{
    free(samples->values);
    samples->values = NULL;
}

void samples_add(Samples *samples, int64_t value)
{
    assert(samples->count < samples->room);
    samples->values[samples->count++] = value;
}

static int compare_values(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

int64_t samples_percentile(Samples *samples, unsigned int percent)
{
    size_t rank = (samples->count * percent + 99) / 100;

    assert(samples->count > 0 && percent <= 100);
    qsort(samples->values, samples->count, sizeof(*samples->values), compare_values);
    return samples->values[rank > 0 ? rank - 1 : 0];
}

unsigned int bench_number(char option, const char *text, unsigned int min, unsigned int max)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < min || value > max) {
        errx(2, "-%c expects a number from %u to %u, not '%s'", option, min, max, text);
    }
    return (unsigned int)value;
}

void bench_end_with_parent(void)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) {
        err(1, "prctl(PR_SET_PDEATHSIG)");
    }
}
