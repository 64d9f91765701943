/*
 * A call to a loop in another thread, and one back.
 *
 *     loop-call [-n COUNT] [-s] [-p POLL_NS] LOOP
 *
 * Two threads run a loop each. A callback in one triggers a call of the other, whose callback
 * triggers a call back, one at a time; a sample is the time from trigger to trigger in one of them.
 * The threads have a processor each, or with -s share one, so that no luck of the scheduler is in
 * the figure. The loops never poll before they block, or with -p for up to POLL_NS. Prints one line
 * of JSON.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

typedef struct Side {
    const LoopOps *ops;
    void *loop;
    LoopCall *call; /* runs on this side's loop */
    unsigned int cpu;
} Side;

static Side near;
static Side far;
static unsigned int left;    /* the near side's, as the next two: round trips to be made */
static int64_t started_ns;   /* the one under way */
static Samples samples;      /* those with room are made */
static unsigned int warm_up; /* round trips not to be counted yet */

static void on_far(LoopCall *call)
{
    near.ops->call_trigger(near.call);
}

static void on_near(LoopCall *call)
{
    int64_t now = bench_now_ns();

    if (warm_up > 0) {
        warm_up--;
    } else if (started_ns) {
        samples_add(&samples, now - started_ns);
        left--;
    }
    if (left == 0) {
        near.ops->stop(near.loop);
        return;
    }
    started_ns = now;
    far.ops->call_trigger(far.call);
}

static void side_init(Side *side, const LoopOps *ops, void (*run)(LoopCall *call), unsigned int cpu,
                      unsigned int poll_ns)
{
    side->ops = ops;
    side->loop = ops->open(LOOP_THREADS);
    side->cpu = cpu;
    side->call = bench_loop_array(1, ops->call_size);
    side->call->run = run;
    ops->call_init(side->loop, side->call);
    if (ops->set_polling) {
        ops->set_polling(side->loop, poll_ns);
    }
}

static void *side_run(void *opaque)
{
    Side *side = opaque;

    bench_pin(side->cpu);
    side->ops->run(side->loop);
    return NULL;
}

int main(int argc, char **argv)
{
    const LoopOps *ops;
    unsigned int count = 20000;
    unsigned int poll_ns = 0;
    bool same_cpu = false;
    const BenchOption options[] = {
        { 'n', &count, 1, 10000000 },
        { 'p', &poll_ns, 0, 1000000000 },
        { 's', .flag = &same_cpu },
        { 0 },
    };
    pthread_t thread;

    ops = bench_loop_argument(argc, argv, bench_options(argc, argv, options));
    if (!ops->call_init) {
        bench_loop_lacks(ops, "calls from other threads");
    }
    if (poll_ns > 0 && !ops->set_polling) {
        bench_loop_lacks(ops, "polling");
    }
    samples_init(&samples, count);
    warm_up = count / 10 + 1;
    left = count;
    side_init(&near, ops, on_near, 0, poll_ns);
    side_init(&far, ops, on_far, same_cpu ? 0 : 1, poll_ns);
    errno = pthread_create(&thread, NULL, side_run, &far);
    if (errno) {
        err(1, "pthread_create");
    }
    near.ops->call_trigger(near.call);
    side_run(&near);
    samples_print_us(&samples);
    return 0;
}
