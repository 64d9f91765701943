/*
 * The least that a loop on Linux can be, for the measurements: epoll, and an eventfd for a call
 * from another thread. It is the limit for what waits by epoll, with no timers and no care.
 */
#include "config.h"

#include "bench/bench-loop.h"

#include <err.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_EVENTS 256

typedef struct BareLoop {
    int epoll;
    int timeout_ms;
    bool stopped;
} BareLoop;

/* The eventfd is a watched descriptor like any other. */
typedef struct BareCall {
    _Alignas(LOOP_LINE) LoopCall base;
    LoopFd watch;
} BareCall;

static void *bare_open(LoopFlags flags)
{
    BareLoop *loop = bench_loop_array(1, sizeof(*loop));

    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->timeout_ms = -1;
    if (loop->epoll < 0) {
        err(1, "epoll_create1");
    }
    return loop;
}

static void bare_wait(BareLoop *loop, int timeout_ms)
{
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(loop->epoll, events, MAX_EVENTS, timeout_ms);

    if (n < 0 && errno != EINTR) {
        err(1, "epoll_wait");
    }
    for (int i = 0; i < n; i++) {
        LoopFd *watch = events[i].data.ptr;

        watch->ready(watch);
    }
}

static void bare_run(void *opaque)
{
    BareLoop *loop = opaque;

    loop->stopped = false;
    while (!loop->stopped) {
        bare_wait(loop, loop->timeout_ms);
    }
}

static void bare_stop(void *opaque)
{
    BareLoop *loop = opaque;

    loop->stopped = true;
}

static void bare_pass(void *opaque)
{
    bare_wait(opaque, 0);
}

/* It polls always or never. */
static void bare_set_polling(void *opaque, int64_t max_ns)
{
    BareLoop *loop = opaque;

    loop->timeout_ms = max_ns > 0 ? 0 : -1;
}

static void bare_fd_start(void *opaque, LoopFd *watch)
{
    BareLoop *loop = opaque;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = watch };

    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event) < 0) {
        err(1, "epoll_ctl");
    }
}

static void on_eventfd(LoopFd *watch)
{
    BareCall *mine = (BareCall *)((char *)watch - offsetof(BareCall, watch));
    eventfd_t value;

    eventfd_read(watch->fd, &value);
    mine->base.run(&mine->base);
}

static void bare_call_init(void *opaque, LoopCall *call)
{
    BareCall *mine = (BareCall *)call;

    mine->watch.ready = on_eventfd;
    mine->watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mine->watch.fd < 0) {
        err(1, "eventfd");
    }
    bare_fd_start(opaque, &mine->watch);
}

static void bare_call_trigger(LoopCall *call)
{
    BareCall *mine = (BareCall *)call;

    eventfd_write(mine->watch.fd, 1);
}

const LoopOps loop_bare_ops = {
    .name = "bare",
    .open = bare_open,
    .run = bare_run,
    .stop = bare_stop,
    .pass = bare_pass,
    .set_polling = bare_set_polling,
    .fd_size = sizeof(LoopFd),
    .fd_start = bare_fd_start,
    .call_size = sizeof(BareCall),
    .call_init = bare_call_init,
    .call_trigger = bare_call_trigger,
};
