/*
 * How late a timer fires on a loop that has nothing else to do.
 *
 *     loop-lateness [-n COUNT] LOOP
 *
 * A timer 1 ms ahead, COUNT times, and as often, in turns with it, clock_nanosleep() until 1 ms
 * ahead. A sample is the time of the callback, or of the return, after the deadline; it is negative
 * where a loop's clock is coarse and it fires too soon. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"

#include <stdio.h>
#include <time.h>

#define AHEAD_NS INT64_C(1000000)
#define WARM_UP  50

static const LoopOps *ops;
static void *loop;
static unsigned int left;
static unsigned int warm_up = WARM_UP;
static int64_t deadline_ns;
static Samples late;       /* of the timer */
static Samples sleep_late; /* of clock_nanosleep() */

/* How late clock_nanosleep() returns. */
static int64_t sleep_once(void)
{
    int64_t until_ns = bench_now_ns() + AHEAD_NS;
    struct timespec until = {
        .tv_sec = until_ns / 1000000000,
        .tv_nsec = until_ns % 1000000000,
    };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
    }
    return bench_now_ns() - until_ns;
}

static void arm(LoopTimer *timer)
{
    deadline_ns = bench_now_ns() + AHEAD_NS;
    ops->update_now(loop);
    ops->timer_start(loop, timer, AHEAD_NS);
}

static void on_timer(LoopTimer *timer)
{
    int64_t late_ns = bench_now_ns() - deadline_ns;
    int64_t sleep_late_ns = sleep_once();

    if (warm_up > 0) {
        warm_up--;
    } else {
        samples_add(&late, late_ns);
        samples_add(&sleep_late, sleep_late_ns);
        left--;
    }
    if (left == 0) {
        ops->stop(loop);
        return;
    }
    arm(timer);
}

int main(int argc, char **argv)
{
    unsigned int count = 1000;
    const BenchOption options[] = { { 'n', &count, 1, 1000000 }, { 0 } };
    LoopTimer *timer;
    double median_us;
    double sleep_us;

    ops = bench_loop_argument(argc, argv, bench_options(argc, argv, options));
    if (!ops->timer_init) {
        bench_loop_lacks(ops, "timers");
    }
    loop = ops->open(LOOP_PRECISE);
    samples_init(&late, count);
    samples_init(&sleep_late, count);
    left = count;
    timer = bench_loop_array(1, ops->timer_size);
    timer->due = on_timer;
    ops->timer_init(loop, timer);
    arm(timer);
    ops->run(loop);
    median_us = (double)samples_percentile(&late, 50) / 1e3;
    sleep_us = (double)samples_percentile(&sleep_late, 50) / 1e3;
    printf("{\"median_us\": %.2f, \"p99_us\": %.2f, \"sleep_median_us\": %.2f,"
           " \"sleep_p99_us\": %.2f, \"ratio\": %.3f}\n",
           median_us, (double)samples_percentile(&late, 99) / 1e3, sleep_us,
           (double)samples_percentile(&sleep_late, 99) / 1e3, median_us / sleep_us);
    return 0;
}
