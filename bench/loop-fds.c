/*
 * Dispatch of descriptors: tokens that go round a ring of socketpairs.
 *
 *     loop-fds [-n FDS] [-t TOKENS] [-e EVENTS] LOOP
 *
 * The loop watches one end of each of FDS socketpairs. A token is a byte: whoever becomes readable
 * reads it and writes it to the next, so that an event is one read and one write for every loop,
 * and TOKENS descriptors, evenly spread, are ready at a time. Prints one line of JSON.
 *
 * In place of a loop, "none" passes the tokens on in the order in which they lie, without asking
 * which descriptor is ready: what a loop that costs nothing would reach.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The ring there is; a callback knows no more than its descriptor. */
static struct {
    const LoopOps *ops;
    void *loop;
    int *far_ends;     /* of the socketpairs: what is written there makes one readable */
    unsigned int left; /* events until the loop is to stop */
} ring;

/* What "none" knows of it. */
static struct {
    LoopFd **watches;
    unsigned int fds, n_started;
    unsigned int tokens;
    unsigned int hops; /* that every token has made */
    bool stopped;
} none;

static void pass_on(LoopFd *watch)
{
    char token;

    if (read(watch->fd, &token, 1) != 1 || write(watch->to, &token, 1) != 1) {
        err(1, "passing a token on");
    }
    if (--ring.left == 0) {
        ring.ops->stop(ring.loop);
    }
}

static void make_ring(unsigned int fds)
{
    char *watches = bench_loop_array(fds, ring.ops->fd_size);

    ring.far_ends = bench_loop_array(fds, sizeof(*ring.far_ends));
    for (unsigned int i = 0; i < fds; i++) {
        LoopFd *watch = (LoopFd *)(watches + i * ring.ops->fd_size);
        int sockets[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0) {
            err(1, "socketpair");
        }
        watch->fd = sockets[0];
        watch->ready = pass_on;
        ring.far_ends[i] = sockets[1];
    }
    for (unsigned int i = 0; i < fds; i++) {
        LoopFd *watch = (LoopFd *)(watches + i * ring.ops->fd_size);

        watch->to = ring.far_ends[(i + 1) % fds];
        ring.ops->fd_start(ring.loop, watch);
    }
}

static void *none_open(LoopFlags flags)
{
    none.watches = bench_loop_array(none.fds, sizeof(LoopFd *));
    return &none;
}

static void none_fd_start(void *loop, LoopFd *watch)
{
    none.watches[none.n_started++] = watch;
}

static unsigned int start_of_token(unsigned int i, unsigned int fds, unsigned int tokens)
{
    return (unsigned int)((uint64_t)i * fds / tokens);
}

static void none_run(void *loop)
{
    none.stopped = false;
    while (!none.stopped) {
        for (unsigned int i = 0; i < none.tokens; i++) {
            unsigned int at = start_of_token(i, none.fds, none.tokens) + none.hops;
            LoopFd *watch = none.watches[at % none.fds];

            watch->ready(watch);
        }
        none.hops++;
    }
}

static void none_stop(void *loop)
{
    none.stopped = true;
}

static const LoopOps none_ops = {
    .name = "none",
    .open = none_open,
    .run = none_run,
    .stop = none_stop,
    .fd_size = sizeof(LoopFd),
    .fd_start = none_fd_start,
};

/* Run until @events were dispatched; how long it took, in ns. */
static int64_t run(unsigned int events)
{
    int64_t start = bench_now_ns();

    ring.left = events;
    ring.ops->run(ring.loop);
    return bench_now_ns() - start;
}

int main(int argc, char **argv)
{
    unsigned int fds = 100;
    unsigned int tokens = 100;
    unsigned int events = 500000;
    const BenchOption options[] = {
        { 'n', &fds, 1, 400000 },
        { 't', &tokens, 1, 400000 },
        { 'e', &events, 1, 1000000000 },
        { 0 },
    };
    int64_t elapsed_ns;
    int index = bench_options(argc, argv, options);

    tokens = tokens < fds ? tokens : fds;
    if (index + 1 == argc && strcmp(argv[index], none_ops.name) == 0) {
        ring.ops = &none_ops;
        none.fds = fds;
        none.tokens = tokens;
    } else {
        ring.ops = bench_loop_argument(argc, argv, index);
    }
    bench_need_descriptors(2 * fds + 50);
    ring.loop = ring.ops->open(0);
    make_ring(fds);
    for (unsigned int i = 0; i < tokens; i++) {
        if (write(ring.far_ends[start_of_token(i, fds, tokens)], "", 1) != 1) {
            err(1, "write");
        }
    }
    run(events / 10 + 1);
    elapsed_ns = run(events);
    printf("{\"per_second\": %.0f}\n", events * 1e9 / (double)elapsed_ns);
    return 0;
}
