/*
 * A pass that fires some timers of many.
 *
 *     loop-timers-fire [-n TIMERS] [-f DUE] [-r ROUNDS] LOOP
 *
 * TIMERS are pending, far from due. In each round DUE further ones get deadlines within the next
 * two milliseconds; when these have gone by, the loop runs without waiting until all DUE have
 * fired, which takes most loops one pass. Prints one line of JSON: the median round, and that
 * divided by DUE.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"

#include <stdio.h>

#define SECOND INT64_C(1000000000)
#define MS     INT64_C(1000000)

static struct {
    const LoopOps *ops;
    void *loop;
    char *timers;
    unsigned int fired;
    uint64_t random;
} bench;

static LoopTimer *timer_at(unsigned int index)
{
    return (LoopTimer *)(bench.timers + index * bench.ops->timer_size);
}

static void count_it(LoopTimer *timer)
{
    bench.fired++;
}

/* 1,000 to 2,000 seconds ahead. */
static int64_t random_delay(void)
{
    return 1000 * SECOND + (int64_t)(bench_random(&bench.random) % (1000 * (uint64_t)SECOND));
}

/* The @i-th of @due timers, which lie evenly among all @timers. */
static LoopTimer *chosen(unsigned int i, unsigned int due, unsigned int timers)
{
    return timer_at((unsigned int)((uint64_t)i * timers / due));
}

/* Fire @due timers; how long it took, in ns. */
static int64_t fire(unsigned int due, unsigned int timers)
{
    int64_t armed;
    int64_t start;

    bench.ops->update_now(bench.loop);
    armed = bench_now_ns();
    for (unsigned int i = 0; i < due; i++) {
        bench.ops->timer_start(bench.loop, chosen(i, due, timers),
                               (int64_t)(bench_random(&bench.random) % (2 * MS)));
    }
    /* All are due then, also where a clock has milliseconds. */
    while (bench_now_ns() < armed + 5 * MS) {
    }
    bench.fired = 0;
    start = bench_now_ns();
    while (bench.fired < due) {
        bench.ops->pass(bench.loop);
    }
    return bench_now_ns() - start;
}

int main(int argc, char **argv)
{
    unsigned int timers = 1000000;
    unsigned int due = 1000;
    unsigned int rounds = 50;
    const BenchOption options[] = {
        { 'n', &timers, 1, 100000000 },
        { 'f', &due, 1, 100000000 },
        { 'r', &rounds, 1, 100000 },
        { 0 },
    };
    Samples samples;
    double median_ns;

    bench.random = 88172645463325252;
    bench.ops = bench_loop_argument(argc, argv, bench_options(argc, argv, options));
    if (!bench.ops->timer_size) {
        bench_loop_lacks(bench.ops, "timers");
    }
    timers += due;
    bench.loop = bench.ops->open(0);
    bench.timers = bench_loop_array(timers, bench.ops->timer_size);
    bench.ops->update_now(bench.loop);
    for (unsigned int i = 0, next = 0; i < timers; i++) {
        timer_at(i)->due = count_it;
        bench.ops->timer_init(bench.loop, timer_at(i));
        if (next < due && timer_at(i) == chosen(next, due, timers)) {
            next++;
        } else {
            bench.ops->timer_start(bench.loop, timer_at(i), random_delay());
        }
    }
    samples_init(&samples, rounds);
    for (unsigned int i = 0; i < 3 + rounds; i++) {
        int64_t elapsed_ns = fire(due, timers);

        if (i >= 3) {
            samples_add(&samples, elapsed_ns);
        }
    }
    median_ns = (double)samples_percentile(&samples, 50);
    samples_free(&samples);
    printf("{\"pass_us\": %.1f, \"timer_ns\": %.1f}\n", median_ns / 1e3, median_ns / due);
    return 0;
}
