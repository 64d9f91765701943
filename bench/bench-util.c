/*
 * What every measuring program needs. See the header.
 */
#include "config.h"

#include "bench/bench-util.h"

#include <assert.h>
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static cpu_set_t allowed_cpus; /* what the process may use, from before any thread is pinned */

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

void samples_print_us(Samples *samples)
{
    printf("{\"median_us\": %.3f, \"p99_us\": %.3f}\n",
           (double)samples_percentile(samples, 50) / 1e3,
           (double)samples_percentile(samples, 99) / 1e3);
}

/* @text, the value of @option, as a whole number in its bounds. */
static unsigned int parse_number(const BenchOption *option, const char *text)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < option->min ||
        value > option->max) {
        errx(2, "-%c expects a number from %u to %u, not '%s'", option->letter, option->min,
             option->max, text);
    }
    return (unsigned int)value;
}

int bench_options(int argc, char **argv, const BenchOption *options)
{
    char letters[64] = "+"; /* what follows the first argument is a server's */
    size_t length = 1;
    int letter;

    bench_end_with_parent();
    sched_getaffinity(0, sizeof(allowed_cpus), &allowed_cpus);
    for (const BenchOption *option = options; option->letter; option++) {
        assert(length + 2 < sizeof(letters));
        letters[length++] = option->letter;
        if (!option->flag) {
            letters[length++] = ':';
        }
    }
    while ((letter = getopt(argc, argv, letters)) != -1) {
        const BenchOption *option = options;

        while (option->letter && option->letter != letter) {
            option++;
        }
        if (!option->letter) {
            exit(2);
        }
        if (option->flag) {
            *option->flag = true;
        } else {
            *option->number = parse_number(option, optarg);
        }
    }
    return optind;
}

void bench_need_descriptors(unsigned int count)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        err(1, "getrlimit");
    }
    if (limit.rlim_cur >= count) {
        return;
    }
    limit.rlim_cur = count;
    limit.rlim_max = limit.rlim_max > count ? limit.rlim_max : count;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        errx(BENCH_NOT_AVAILABLE, "%u descriptors are more than the system allows", count);
    }
}

void bench_pin(unsigned int index)
{
    cpu_set_t one;

    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed_cpus) && index-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof(one), &one);
            return;
        }
    }
}

void bench_end_with_parent(void)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) {
        err(1, "prctl(PR_SET_PDEATHSIG)");
    }
}
