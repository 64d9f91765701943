/*
 * libev for the measurements: the back end it chooses itself (epoll on Linux), ev_timer_again() to
 * re-arm, ev_async for calls from other threads, ev_feed_event() for those in its own.
 */
#include "config.h"

#include "bench/bench-loop.h"

#include <err.h>
#include <ev.h>

typedef struct EvFd {
    _Alignas(LOOP_LINE) LoopFd base;
    ev_io io;
} EvFd;

typedef struct EvTimer {
    _Alignas(LOOP_LINE) LoopTimer base;
    ev_timer timer;
} EvTimer;

typedef struct EvCall {
    _Alignas(LOOP_LINE) LoopCall base;
    struct ev_loop *loop;
    ev_async async;
} EvCall;

static void *libev_open(LoopFlags flags)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);

    if (!loop) {
        errx(1, "ev_loop_new failed");
    }
    return loop;
}

static void libev_run(void *loop)
{
    ev_run(loop, 0);
}

static void libev_stop(void *loop)
{
    ev_break(loop, EVBREAK_ONE);
}

static void libev_pass(void *loop)
{
    ev_run(loop, EVRUN_NOWAIT);
}

static void on_io(struct ev_loop *loop, ev_io *io, int revents)
{
    LoopFd *watch = io->data;

    watch->ready(watch);
}

static void libev_fd_start(void *loop, LoopFd *watch)
{
    EvFd *mine = (EvFd *)watch;

    ev_io_init(&mine->io, on_io, watch->fd, EV_READ);
    mine->io.data = watch;
    ev_io_start(loop, &mine->io);
}

static void on_timer(struct ev_loop *loop, ev_timer *ev, int revents)
{
    LoopTimer *timer = ev->data;

    timer->due(timer);
}

static void libev_timer_init(void *loop, LoopTimer *timer)
{
    EvTimer *mine = (EvTimer *)timer;

    ev_init(&mine->timer, on_timer);
    mine->timer.data = timer;
}

static void libev_timer_start(void *loop, LoopTimer *timer, int64_t after_ns)
{
    EvTimer *mine = (EvTimer *)timer;

    ev_timer_set(&mine->timer, (double)after_ns / 1e9, 0.);
    ev_timer_start(loop, &mine->timer);
}

static void libev_timer_again(void *loop, LoopTimer *timer, int64_t after_ns)
{
    EvTimer *mine = (EvTimer *)timer;

    mine->timer.repeat = (double)after_ns / 1e9;
    ev_timer_again(loop, &mine->timer);
}

static void libev_update_now(void *loop)
{
    ev_now_update(loop);
}

static void on_async(struct ev_loop *loop, ev_async *async, int revents)
{
    LoopCall *call = async->data;

    call->run(call);
}

/* Not started, for later_schedule(): then ev_feed_event() is all there is to it. */
static void libev_later_init(void *loop, LoopCall *call)
{
    EvCall *mine = (EvCall *)call;

    mine->loop = loop;
    ev_async_init(&mine->async, on_async);
    mine->async.data = call;
}

static void libev_call_init(void *loop, LoopCall *call)
{
    EvCall *mine = (EvCall *)call;

    libev_later_init(loop, call);
    ev_async_start(loop, &mine->async);
}

static void libev_call_trigger(LoopCall *call)
{
    EvCall *mine = (EvCall *)call;

    ev_async_send(mine->loop, &mine->async);
}

static void libev_later_schedule(LoopCall *call)
{
    EvCall *mine = (EvCall *)call;

    ev_feed_event(mine->loop, &mine->async, EV_CUSTOM);
}

static void libev_later_run(void *loop)
{
    ev_invoke_pending(loop);
}

const LoopOps loop_libev_ops = {
    .name = "libev",
    .open = libev_open,
    .run = libev_run,
    .stop = libev_stop,
    .pass = libev_pass,
    .fd_size = sizeof(EvFd),
    .fd_start = libev_fd_start,
    .timer_size = sizeof(EvTimer),
    .timer_init = libev_timer_init,
    .timer_start = libev_timer_start,
    .timer_again = libev_timer_again,
    .update_now = libev_update_now,
    .call_size = sizeof(EvCall),
    .call_init = libev_call_init,
    .call_trigger = libev_call_trigger,
    .later_size = sizeof(EvCall),
    .later_init = libev_later_init,
    .later_schedule = libev_later_schedule,
    .later_run = libev_later_run,
};
