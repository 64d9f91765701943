/*
 * Calls that a loop's own thread schedules on it.
 *
 *     loop-later [-b BATCH] [-n COUNT] LOOP
 *
 * Schedule BATCH different calls, run what is scheduled (with the least that does that, which need
 * not be a whole pass), and so on until COUNT have run. Prints one line of JSON: ns for each call.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"

#include <stdio.h>

static unsigned int n_run;

static void count_it(LoopCall *call)
{
    n_run++;
}

static void run(const LoopOps *ops, void *loop, char *calls, unsigned int batch, unsigned int count)
{
    for (unsigned int i = 0; i < count; i += batch) {
        n_run = 0;
        for (unsigned int j = 0; j < batch; j++) {
            ops->later_schedule((LoopCall *)(calls + j * ops->later_size));
        }
        while (n_run < batch) {
            ops->later_run(loop);
        }
    }
}

int main(int argc, char **argv)
{
    const LoopOps *ops;
    unsigned int batch = 1;
    unsigned int count = 1000000;
    const BenchOption options[] = {
        { 'b', &batch, 1, 1000000 },
        { 'n', &count, 1, 100000000 },
        { 0 },
    };
    int64_t start;
    char *calls;
    void *loop;

    ops = bench_loop_argument(argc, argv, bench_options(argc, argv, options));
    if (!ops->later_init) {
        bench_loop_lacks(ops, "calls in its own thread");
    }
    loop = ops->open(0);
    calls = bench_loop_array(batch, ops->later_size);
    for (unsigned int i = 0; i < batch; i++) {
        LoopCall *call = (LoopCall *)(calls + i * ops->later_size);

        call->run = count_it;
        ops->later_init(loop, call);
    }
    count = (count + batch - 1) / batch * batch;
    run(ops, loop, calls, batch, count / 10 + 1);
    start = bench_now_ns();
    run(ops, loop, calls, batch, count);
    printf("{\"call_ns\": %.1f}\n", (double)(bench_now_ns() - start) / count);
    return 0;
}
