/*
 * libevent for the measurements: the back end it chooses itself (epoll on Linux), embedded events,
 * event_active() for calls, event_base_once() for oneshots. It locks only where another thread
 * calls it.
 */
#include "config.h"

#include "bench/bench-loop.h"

#include <err.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>

typedef struct EventFd {
    _Alignas(LOOP_LINE) LoopFd base;
    struct event event;
} EventFd;

typedef struct EventTimer {
    _Alignas(LOOP_LINE) LoopTimer base;
    struct event event;
} EventTimer;

typedef struct EventCall {
    _Alignas(LOOP_LINE) LoopCall base;
    struct event event;
} EventCall;

static void check(int result, const char *what)
{
    if (result < 0) {
        errx(1, "%s failed", what);
    }
}

static void *libevent_open(LoopFlags flags)
{
    struct event_config *config;
    struct event_base *loop;

    if (flags & LOOP_THREADS) {
        check(evthread_use_pthreads(), "evthread_use_pthreads");
    }
    config = event_config_new();
    if (flags & LOOP_PRECISE) {
        check(event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER), "precise timers");
    }
    loop = event_base_new_with_config(config);
    if (!loop) {
        errx(1, "event_base_new_with_config failed");
    }
    event_config_free(config);
    return loop;
}

static void libevent_run(void *loop)
{
    event_base_loop(loop, EVLOOP_NO_EXIT_ON_EMPTY);
}

static void libevent_stop(void *loop)
{
    event_base_loopbreak(loop);
}

static void libevent_pass(void *loop)
{
    event_base_loop(loop, EVLOOP_NONBLOCK | EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
}

static void on_fd(evutil_socket_t fd, short what, void *opaque)
{
    LoopFd *watch = opaque;

    watch->ready(watch);
}

static void libevent_fd_start(void *loop, LoopFd *watch)
{
    EventFd *mine = (EventFd *)watch;

    check(event_assign(&mine->event, loop, watch->fd, EV_READ | EV_PERSIST, on_fd, watch),
          "event_assign");
    check(event_add(&mine->event, NULL), "event_add");
}

static void on_timer(evutil_socket_t fd, short what, void *opaque)
{
    LoopTimer *timer = opaque;

    timer->due(timer);
}

static void libevent_timer_init(void *loop, LoopTimer *timer)
{
    EventTimer *mine = (EventTimer *)timer;

    check(evtimer_assign(&mine->event, loop, on_timer, timer), "evtimer_assign");
}

static void libevent_timer_start(void *loop, LoopTimer *timer, int64_t after_ns)
{
    EventTimer *mine = (EventTimer *)timer;
    struct timeval after = {
        .tv_sec = after_ns / 1000000000,
        .tv_usec = after_ns % 1000000000 / 1000,
    };

    evtimer_add(&mine->event, &after);
}

static void libevent_update_now(void *loop)
{
    event_base_update_cache_time(loop);
}

static void on_call(evutil_socket_t fd, short what, void *opaque)
{
    LoopCall *call = opaque;

    call->run(call);
}

static void libevent_call_init(void *loop, LoopCall *call)
{
    EventCall *mine = (EventCall *)call;

    check(event_assign(&mine->event, loop, -1, EV_PERSIST, on_call, call), "event_assign");
}

static void libevent_call_trigger(LoopCall *call)
{
    EventCall *mine = (EventCall *)call;

    event_active(&mine->event, EV_TIMEOUT, 0);
}

static void libevent_post(void *loop, LoopCall *call)
{
    check(event_base_once(loop, -1, EV_TIMEOUT, on_call, call, NULL), "event_base_once");
}

const LoopOps loop_libevent_ops = {
    .name = "libevent",
    .open = libevent_open,
    .run = libevent_run,
    .stop = libevent_stop,
    .pass = libevent_pass,
    .fd_size = sizeof(EventFd),
    .fd_start = libevent_fd_start,
    .timer_size = sizeof(EventTimer),
    .timer_init = libevent_timer_init,
    .timer_start = libevent_timer_start,
    .timer_again = libevent_timer_start,
    .update_now = libevent_update_now,
    .call_size = sizeof(EventCall),
    .call_init = libevent_call_init,
    .call_trigger = libevent_call_trigger,
    .post = libevent_post,
    .later_size = sizeof(EventCall),
    .later_init = libevent_call_init,
    .later_schedule = libevent_call_trigger,
    .later_run = libevent_pass,
};
