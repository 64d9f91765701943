/*
 * What descriptors cost that never become ready: one active one among a few, and among many.
 *
 *     loop-idle-fds [-i IDLE] [-m MILLISECONDS] LOOP
 *
 * Two loops, one with 10 idle descriptors and one with IDLE, run in turns, in slices of 200 events,
 * for MILLISECONDS each. An event is a byte that the active descriptor reads and sends to itself
 * again. Prints one line of JSON: the median slice of either in ns for an event, and their ratio.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"

#include <err.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define FEW        10
#define SLICE      200
#define MAX_SLICES 100000

static struct {
    const LoopOps *ops;
    void *loop; /* the one that runs */
    unsigned int left;
} active;

static void never(LoopFd *watch)
{
    errx(1, "an idle descriptor was reported as ready");
}

static void send_again(LoopFd *watch)
{
    char byte;

    if (read(watch->fd, &byte, 1) != 1 || write(watch->to, &byte, 1) != 1) {
        err(1, "sending the byte again");
    }
    if (--active.left == 0) {
        active.ops->stop(active.loop);
    }
}

/* A loop with @idle descriptors that stay silent and then one that never does. */
static void *make_loop(unsigned int idle)
{
    size_t size = active.ops->fd_size;
    char *watches = bench_loop_array(idle + 1, size);
    void *loop = active.ops->open(0);
    LoopFd *watch;
    int sockets[2];

    for (unsigned int i = 0; i < idle; i++) {
        watch = (LoopFd *)(watches + i * size);
        watch->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        watch->ready = never;
        if (watch->fd < 0) {
            err(1, "eventfd");
        }
        active.ops->fd_start(loop, watch);
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0) {
        err(1, "socketpair");
    }
    watch = (LoopFd *)(watches + idle * size);
    watch->fd = sockets[0];
    watch->to = sockets[1];
    watch->ready = send_again;
    active.ops->fd_start(loop, watch);
    if (write(watch->to, "", 1) != 1) {
        err(1, "write");
    }
    return loop;
}

/* One slice of @loop; how long it took, in ns. */
static int64_t run_slice(void *loop)
{
    int64_t start = bench_now_ns();

    active.loop = loop;
    active.left = SLICE;
    active.ops->run(loop);
    return bench_now_ns() - start;
}

int main(int argc, char **argv)
{
    unsigned int idle = 15000;
    unsigned int milliseconds = 300;
    const BenchOption options[] = {
        { 'i', &idle, 1, 400000 },
        { 'm', &milliseconds, 1, 100000 },
        { 0 },
    };
    void *loops[2];
    Samples samples[2];
    double event_ns[2];
    int64_t begin;

    active.ops = bench_loop_argument(argc, argv, bench_options(argc, argv, options));
    bench_need_descriptors(idle + FEW + 50);
    loops[0] = make_loop(FEW);
    loops[1] = make_loop(idle);
    for (int i = 0; i < 2; i++) {
        samples_init(&samples[i], MAX_SLICES);
        run_slice(loops[i]);
    }
    begin = bench_now_ns();
    do {
        samples_add(&samples[0], run_slice(loops[0]));
        samples_add(&samples[1], run_slice(loops[1]));
    } while (samples[0].count < MAX_SLICES &&
             bench_now_ns() - begin < 2 * milliseconds * INT64_C(1000000));
    for (int i = 0; i < 2; i++) {
        event_ns[i] = (double)samples_percentile(&samples[i], 50) / SLICE;
        samples_free(&samples[i]);
    }
    printf("{\"few_ns\": %.1f, \"many_ns\": %.1f, \"ratio\": %.3f}\n", event_ns[0], event_ns[1],
           event_ns[1] / event_ns[0]);
    return 0;
}
