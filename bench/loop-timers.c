/*
 * Re-arming a timer that is one of many.
 *
 *     loop-timers [-n TIMERS] [-c COUNT] [-b] LOOP
 *
 * TIMERS are pending, far from due. Then, COUNT times, one of them chosen at random gets a new
 * deadline: a random one, or with -b one that is later than all before it, as a timeout has that is
 * pushed back whenever something was heard. That happens in a callback of the loop, so
 * that what a loop keeps of the time is at hand. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"

#include <err.h>
#include <stdio.h>

#define SECOND INT64_C(1000000000)

static struct {
    const LoopOps *ops;
    void *loop;
    char *timers;
    unsigned int n_timers;
    unsigned int count;
    bool push_back;
    uint64_t random;
    int64_t elapsed_ns;
} bench;

static LoopTimer *timer_at(unsigned int index)
{
    return (LoopTimer *)(bench.timers + index * bench.ops->timer_size);
}

static void never(LoopTimer *timer)
{
    errx(1, "a timer fired long before its deadline");
}

/* 100 to 1,100 seconds ahead. */
static int64_t random_delay(void)
{
    return 100 * SECOND + (int64_t)(bench_random(&bench.random) % (1000 * (uint64_t)SECOND));
}

/* The @n-th deadline of those that only grow: no timer's is later. */
static int64_t growing_delay(unsigned int n)
{
    return 1200 * SECOND + n * INT64_C(1000);
}

static void rearm(unsigned int count, unsigned int first)
{
    for (unsigned int i = first; i < first + count; i++) {
        LoopTimer *timer = timer_at((bench_random(&bench.random) >> 20) % bench.n_timers);

        bench.ops->timer_again(bench.loop, timer,
                               bench.push_back ? growing_delay(i) : random_delay());
    }
}

/* The callback of a timer that is due at once: all happens in here. */
static void measure(LoopTimer *timer)
{
    unsigned int warm_up = bench.count / 10 + 1;
    int64_t start;

    bench.ops->update_now(bench.loop);
    rearm(warm_up, 0);
    start = bench_now_ns();
    rearm(bench.count, warm_up);
    bench.elapsed_ns = bench_now_ns() - start;
    bench.ops->stop(bench.loop);
}

int main(int argc, char **argv)
{
    const BenchOption options[] = {
        { 'n', &bench.n_timers, 1, 100000000 },
        { 'c', &bench.count, 1, 100000000 },
        { 'b', .flag = &bench.push_back },
        { 0 },
    };
    LoopTimer *first;

    bench.n_timers = 1000;
    bench.count = 1000000;
    bench.random = 88172645463325252;
    bench.ops = bench_loop_argument(argc, argv, bench_options(argc, argv, options));
    if (!bench.ops->timer_size) {
        bench_loop_lacks(bench.ops, "timers");
    }
    bench.loop = bench.ops->open(0);
    bench.timers = bench_loop_array(bench.n_timers + 1, bench.ops->timer_size);
    bench.ops->update_now(bench.loop);
    for (unsigned int i = 0; i < bench.n_timers; i++) {
        timer_at(i)->due = never;
        bench.ops->timer_init(bench.loop, timer_at(i));
        bench.ops->timer_start(bench.loop, timer_at(i), random_delay());
    }
    first = timer_at(bench.n_timers);
    first->due = measure;
    bench.ops->timer_init(bench.loop, first);
    bench.ops->timer_start(bench.loop, first, 0);
    bench.ops->run(bench.loop);
    printf("{\"rearm_ns\": %.1f}\n", (double)bench.elapsed_ns / bench.count);
    return 0;
}
