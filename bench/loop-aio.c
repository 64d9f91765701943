/*
 * Our own loop for the measurements, once for each fd monitor.
 *
 * A call is a bottom half. Timers take absolute deadlines, which are reckoned from a reading of the
 * clock that is kept, as the peers do it.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"
#include "loop/aio.h"

#include <err.h>
#include <stdlib.h>

typedef struct AioLoop {
    AioContext *ctx;
    int64_t now_ns;
    bool stopped;
} AioLoop;

typedef struct AioLoopTimer {
    _Alignas(LOOP_LINE) LoopTimer base;
    QEMUTimer timer;
} AioLoopTimer;

typedef struct AioLoopCall {
    _Alignas(LOOP_LINE) LoopCall base;
    QEMUBH *bh;
} AioLoopCall;

static void *aio_loop_open(AioFdMon fdmon)
{
    AioLoop *loop = bench_loop_array(1, sizeof(*loop));
    g_autoptr(GError) error = NULL;

    loop->ctx = aio_context_new_with_fdmon(fdmon, &error);
    if (!loop->ctx) {
        errx(BENCH_NOT_AVAILABLE, "%s", error->message);
    }
    loop->now_ns = bench_now_ns();
    return loop;
}

static void *open_io_uring(LoopFlags flags)
{
    return aio_loop_open(AIO_FDMON_IO_URING);
}

static void *open_epoll(LoopFlags flags)
{
    return aio_loop_open(AIO_FDMON_EPOLL);
}

static void *open_poll(LoopFlags flags)
{
    return aio_loop_open(AIO_FDMON_POLL);
}

static void aio_loop_run(void *opaque)
{
    AioLoop *loop = opaque;

    /* Once: two loops that run in turns in a thread would be handed over each time. */
    if (!qemu_get_current_aio_context()) {
        qemu_set_current_aio_context(loop->ctx);
    }
    loop->stopped = false;
    while (!loop->stopped) {
        aio_poll(loop->ctx, true);
    }
}

static void aio_loop_stop(void *opaque)
{
    AioLoop *loop = opaque;

    loop->stopped = true;
}

static void aio_loop_pass(void *opaque)
{
    AioLoop *loop = opaque;

    aio_poll(loop->ctx, false);
}

static void aio_loop_set_polling(void *opaque, int64_t max_ns)
{
    AioLoop *loop = opaque;
    g_autoptr(GError) error = NULL;

    if (!aio_context_set_poll_params(loop->ctx, max_ns, 0, 0, &error)) {
        errx(1, "%s", error->message);
    }
}

static void on_readable(void *opaque)
{
    LoopFd *watch = opaque;

    watch->ready(watch);
}

static void aio_loop_fd_start(void *opaque, LoopFd *watch)
{
    AioLoop *loop = opaque;

    aio_set_fd_handler(loop->ctx, watch->fd, on_readable, NULL, NULL, NULL, watch);
}

static void on_timer(void *opaque)
{
    LoopTimer *timer = opaque;

    timer->due(timer);
}

static void aio_loop_timer_init(void *opaque, LoopTimer *timer)
{
    AioLoop *loop = opaque;
    AioLoopTimer *mine = (AioLoopTimer *)timer;

    aio_timer_init(loop->ctx, &mine->timer, QEMU_CLOCK_REALTIME, SCALE_NS, on_timer, timer);
}

static void aio_loop_timer_arm(void *opaque, LoopTimer *timer, int64_t after_ns)
{
    AioLoop *loop = opaque;
    AioLoopTimer *mine = (AioLoopTimer *)timer;

    timer_mod_ns(&mine->timer, loop->now_ns + after_ns);
}

static void aio_loop_update_now(void *opaque)
{
    AioLoop *loop = opaque;

    loop->now_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
}

static void on_call(void *opaque)
{
    LoopCall *call = opaque;

    call->run(call);
}

static void aio_loop_call_init(void *opaque, LoopCall *call)
{
    AioLoop *loop = opaque;
    AioLoopCall *mine = (AioLoopCall *)call;

    mine->bh = aio_bh_new(loop->ctx, on_call, call);
}

static void aio_loop_call_trigger(LoopCall *call)
{
    AioLoopCall *mine = (AioLoopCall *)call;

    qemu_bh_schedule(mine->bh);
}

static void aio_loop_post(void *opaque, LoopCall *call)
{
    AioLoop *loop = opaque;

    aio_bh_schedule_oneshot(loop->ctx, on_call, call);
}

static void aio_loop_later_run(void *opaque)
{
    AioLoop *loop = opaque;

    aio_bh_poll(loop->ctx);
}

#define AIO_LOOP_OPS(its_name, its_open)                                                       \
    {                                                                                          \
        .name = (its_name), .open = (its_open), .run = aio_loop_run, .stop = aio_loop_stop,    \
        .pass = aio_loop_pass, .set_polling = aio_loop_set_polling, .fd_size = sizeof(LoopFd), \
        .fd_start = aio_loop_fd_start, .timer_size = sizeof(AioLoopTimer),                     \
        .timer_init = aio_loop_timer_init, .timer_start = aio_loop_timer_arm,                  \
        .timer_again = aio_loop_timer_arm, .update_now = aio_loop_update_now,                  \
        .call_size = sizeof(AioLoopCall), .call_init = aio_loop_call_init,                     \
        .call_trigger = aio_loop_call_trigger, .post = aio_loop_post,                          \
        .later_size = sizeof(AioLoopCall), .later_init = aio_loop_call_init,                   \
        .later_schedule = aio_loop_call_trigger, .later_run = aio_loop_later_run,              \
    }

const LoopOps loop_aio_io_uring_ops = AIO_LOOP_OPS("aio-io_uring", open_io_uring);
const LoopOps loop_aio_epoll_ops = AIO_LOOP_OPS("aio-epoll", open_epoll);
const LoopOps loop_aio_poll_ops = AIO_LOOP_OPS("aio-poll", open_poll);
