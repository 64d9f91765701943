/*
 * libuv for the measurements: uv_poll, uv_timer, uv_async for calls from other threads. For a call
 * in its own thread an idle handle that stops itself is what costs it least.
 */
#include "config.h"

#include "bench/bench-loop.h"

#include <err.h>
#include <uv.h>

typedef struct UvFd {
    _Alignas(LOOP_LINE) LoopFd base;
    uv_poll_t poll;
} UvFd;

typedef struct UvTimer {
    _Alignas(LOOP_LINE) LoopTimer base;
    uv_timer_t timer;
} UvTimer;

typedef struct UvCall {
    _Alignas(LOOP_LINE) LoopCall base;
    union {
        uv_async_t async;
        uv_idle_t idle;
    };
} UvCall;

static void check(int result, const char *what)
{
    if (result < 0) {
        errx(1, "%s: %s", what, uv_strerror(result));
    }
}

static void *libuv_open(LoopFlags flags)
{
    uv_loop_t *loop = bench_loop_array(1, sizeof(*loop));

    check(uv_loop_init(loop), "uv_loop_init");
    return loop;
}

static void libuv_run(void *loop)
{
    uv_run(loop, UV_RUN_DEFAULT);
}

static void libuv_stop(void *loop)
{
    uv_stop(loop);
}

static void libuv_pass(void *loop)
{
    uv_run(loop, UV_RUN_NOWAIT);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    LoopFd *watch = handle->data;

    watch->ready(watch);
}

static void libuv_fd_start(void *loop, LoopFd *watch)
{
    UvFd *mine = (UvFd *)watch;

    check(uv_poll_init(loop, &mine->poll, watch->fd), "uv_poll_init");
    mine->poll.data = watch;
    check(uv_poll_start(&mine->poll, UV_READABLE, on_poll), "uv_poll_start");
}

static void on_timer(uv_timer_t *handle)
{
    LoopTimer *timer = handle->data;

    timer->due(timer);
}

static void libuv_timer_init(void *loop, LoopTimer *timer)
{
    UvTimer *mine = (UvTimer *)timer;

    check(uv_timer_init(loop, &mine->timer), "uv_timer_init");
    mine->timer.data = timer;
}

/* Milliseconds are what it has. */
static void libuv_timer_start(void *loop, LoopTimer *timer, int64_t after_ns)
{
    UvTimer *mine = (UvTimer *)timer;

    uv_timer_start(&mine->timer, on_timer, (uint64_t)(after_ns + 999999) / 1000000, 0);
}

static void libuv_update_now(void *loop)
{
    uv_update_time(loop);
}

static void on_async(uv_async_t *handle)
{
    LoopCall *call = handle->data;

    call->run(call);
}

static void libuv_call_init(void *loop, LoopCall *call)
{
    UvCall *mine = (UvCall *)call;

    check(uv_async_init(loop, &mine->async, on_async), "uv_async_init");
    mine->async.data = call;
}

static void libuv_call_trigger(LoopCall *call)
{
    UvCall *mine = (UvCall *)call;

    uv_async_send(&mine->async);
}

static void on_idle(uv_idle_t *handle)
{
    LoopCall *call = handle->data;

    uv_idle_stop(handle);
    call->run(call);
}

static void libuv_later_init(void *loop, LoopCall *call)
{
    UvCall *mine = (UvCall *)call;

    check(uv_idle_init(loop, &mine->idle), "uv_idle_init");
    mine->idle.data = call;
}

static void libuv_later_schedule(LoopCall *call)
{
    UvCall *mine = (UvCall *)call;

    uv_idle_start(&mine->idle, on_idle);
}

const LoopOps loop_libuv_ops = {
    .name = "libuv",
    .open = libuv_open,
    .run = libuv_run,
    .stop = libuv_stop,
    .pass = libuv_pass,
    .fd_size = sizeof(UvFd),
    .fd_start = libuv_fd_start,
    .timer_size = sizeof(UvTimer),
    .timer_init = libuv_timer_init,
    .timer_start = libuv_timer_start,
    .timer_again = libuv_timer_start,
    .update_now = libuv_update_now,
    .call_size = sizeof(UvCall),
    .call_init = libuv_call_init,
    .call_trigger = libuv_call_trigger,
    .later_size = sizeof(UvCall),
    .later_init = libuv_later_init,
    .later_schedule = libuv_later_schedule,
    .later_run = libuv_pass,
};
