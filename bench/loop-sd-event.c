/*
 * sd-event for the measurements. A pass dispatches one source, which is its way. Timers have an
 * accuracy of a microsecond, its finest. Other threads can't ask it for anything; in its own thread
 * a defer source does.
 */
#include "config.h"

#include "bench/bench-loop.h"

#include <err.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <time.h>

typedef struct SdLoop {
    sd_event *event;
    uint64_t now_us;
    bool stopped;
} SdLoop;

typedef struct SdTimer {
    _Alignas(LOOP_LINE) LoopTimer base;
    sd_event_source *source;
} SdTimer;

typedef struct SdCall {
    _Alignas(LOOP_LINE) LoopCall base;
    sd_event_source *source;
} SdCall;

static void check(int result, const char *what)
{
    if (result < 0) {
        errx(1, "%s: %s", what, strerror(-result));
    }
}

static void sd_loop_update_now(void *opaque)
{
    SdLoop *loop = opaque;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    loop->now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void *sd_loop_open(LoopFlags flags)
{
    SdLoop *loop = bench_loop_array(1, sizeof(*loop));

    check(sd_event_new(&loop->event), "sd_event_new");
    sd_loop_update_now(loop);
    return loop;
}

static void sd_loop_run(void *opaque)
{
    SdLoop *loop = opaque;

    loop->stopped = false;
    while (!loop->stopped) {
        check(sd_event_run(loop->event, UINT64_MAX), "sd_event_run");
    }
}

static void sd_loop_stop(void *opaque)
{
    SdLoop *loop = opaque;

    loop->stopped = true;
}

static void sd_loop_pass(void *opaque)
{
    SdLoop *loop = opaque;

    check(sd_event_run(loop->event, 0), "sd_event_run");
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
    LoopFd *watch = opaque;

    watch->ready(watch);
    return 0;
}

static void sd_loop_fd_start(void *opaque, LoopFd *watch)
{
    SdLoop *loop = opaque;

    check(sd_event_add_io(loop->event, NULL, watch->fd, EPOLLIN, on_io, watch), "sd_event_add_io");
}

static int on_time(sd_event_source *source, uint64_t usec, void *opaque)
{
    LoopTimer *timer = opaque;

    timer->due(timer);
    return 0;
}

static void sd_loop_timer_init(void *opaque, LoopTimer *timer)
{
    SdLoop *loop = opaque;
    SdTimer *mine = (SdTimer *)timer;

    check(sd_event_add_time(loop->event, &mine->source, CLOCK_MONOTONIC, UINT64_MAX, 1, on_time,
                            timer),
          "sd_event_add_time");
}

static void sd_loop_timer_again(void *opaque, LoopTimer *timer, int64_t after_ns)
{
    SdLoop *loop = opaque;
    SdTimer *mine = (SdTimer *)timer;

    sd_event_source_set_time(mine->source, loop->now_us + (uint64_t)(after_ns + 999) / 1000);
}

static void sd_loop_timer_start(void *opaque, LoopTimer *timer, int64_t after_ns)
{
    SdTimer *mine = (SdTimer *)timer;

    sd_loop_timer_again(opaque, timer, after_ns);
    sd_event_source_set_enabled(mine->source, SD_EVENT_ONESHOT);
}

static int on_defer(sd_event_source *source, void *opaque)
{
    LoopCall *call = opaque;

    call->run(call);
    return 0;
}

static void sd_loop_later_init(void *opaque, LoopCall *call)
{
    SdLoop *loop = opaque;
    SdCall *mine = (SdCall *)call;

    check(sd_event_add_defer(loop->event, &mine->source, on_defer, call), "sd_event_add_defer");
    check(sd_event_source_set_enabled(mine->source, SD_EVENT_OFF), "sd_event_source_set_enabled");
}

static void sd_loop_later_schedule(LoopCall *call)
{
    SdCall *mine = (SdCall *)call;

    sd_event_source_set_enabled(mine->source, SD_EVENT_ONESHOT);
}

const LoopOps loop_sd_event_ops = {
    .name = "sd-event",
    .open = sd_loop_open,
    .run = sd_loop_run,
    .stop = sd_loop_stop,
    .pass = sd_loop_pass,
    .fd_size = sizeof(LoopFd),
    .fd_start = sd_loop_fd_start,
    .timer_size = sizeof(SdTimer),
    .timer_init = sd_loop_timer_init,
    .timer_start = sd_loop_timer_start,
    .timer_again = sd_loop_timer_again,
    .update_now = sd_loop_update_now,
    .later_size = sizeof(SdCall),
    .later_init = sd_loop_later_init,
    .later_schedule = sd_loop_later_schedule,
    .later_run = sd_loop_pass,
};
