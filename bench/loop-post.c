/*
 * Oneshots that one thread posts to the loop of another, as fast as it can.
 *
 *     loop-post [-n COUNT] [-w WINDOW] [-r ROUNDS] LOOP
 *
 * In each round a thread without a loop posts COUNT of them; the time is from the first post until
 * the last has run. With -w it waits whenever WINDOW of them have not run yet. Prints one line of
 * JSON, of the median round. What merges several posts into one call is no oneshot, and not
 * measured.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

static const LoopOps *ops;
static void *loop;
static _Atomic unsigned int n_run; /* written by the loop's thread alone */

static void count_it(LoopCall *call)
{
    atomic_store_explicit(&n_run, atomic_load_explicit(&n_run, memory_order_relaxed) + 1,
                          memory_order_release);
}

static void *run_loop(void *opaque)
{
    bench_pin(1);
    ops->run(loop);
    return NULL;
}

/* Wait until no more than @most of @posted have yet to run. */
static void wait_until_left(unsigned int posted, unsigned int most)
{
    while (posted - atomic_load_explicit(&n_run, memory_order_acquire) > most) {
        sched_yield();
    }
}

/* Post @count, after @before that have all run; how long it took, in ns. */
static int64_t run_round(LoopCall *call, unsigned int before, unsigned int count,
                         unsigned int window)
{
    int64_t start = bench_now_ns();

    for (unsigned int i = 0; i < count; i++) {
        if (window) {
            wait_until_left(before + i, window - 1);
        }
        ops->post(loop, call);
    }
    wait_until_left(before + count, 0);
    return bench_now_ns() - start;
}

int main(int argc, char **argv)
{
    unsigned int count = 1000000;
    unsigned int window = 0;
    unsigned int rounds = 5;
    const BenchOption options[] = {
        { 'n', &count, 1, 100000000 },
        { 'w', &window, 1, 100000000 },
        { 'r', &rounds, 1, 20 },
        { 0 },
    };
    LoopCall call = { .run = count_it };
    Samples samples;
    pthread_t thread;

    ops = bench_loop_argument(argc, argv, bench_options(argc, argv, options));
    if (!ops->post) {
        bench_loop_lacks(ops, "oneshots from other threads");
    }
    loop = ops->open(LOOP_THREADS);
    errno = pthread_create(&thread, NULL, run_loop, NULL);
    if (errno) {
        err(1, "pthread_create");
    }
    bench_pin(0);
    samples_init(&samples, rounds);
    for (unsigned int i = 0; i < rounds + 1; i++) {
        int64_t elapsed_ns = run_round(&call, i * count, count, window);

        if (i > 0) {
            samples_add(&samples, elapsed_ns);
        }
    }
    printf("{\"per_second\": %.0f}\n", count * 1e9 / (double)samples_percentile(&samples, 50));
    samples_free(&samples);
    return 0;
}
