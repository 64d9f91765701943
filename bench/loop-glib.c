/*
 * GLib for the measurements: a GMainContext run pass by pass. Timers are sources that stay, with
 * g_source_set_ready_time(). A call is a new idle source each time, for that costs less than the
 * two wake-ups of one that stays. Sources may recurse, for then GLib need not take them out and put
 * them back around each callback; and the thread that runs a loop that no other one calls owns the
 * context, so that nothing has to wake it up.
 */
#include "config.h"

#include "bench/bench-loop.h"

#include <glib-unix.h>
#include <glib.h>

typedef struct GlibLoop {
    GMainContext *context;
    int64_t now_us;
    bool stopped;
} GlibLoop;

typedef struct GlibTimer {
    _Alignas(LOOP_LINE) LoopTimer base;
    GSource *source;
} GlibTimer;

typedef struct GlibCall {
    _Alignas(LOOP_LINE) LoopCall base;
    GlibLoop *loop;
} GlibCall;

static void *glib_open(LoopFlags flags)
{
    GlibLoop *loop = bench_loop_array(1, sizeof(*loop));

    loop->context = g_main_context_new();
    if (!(flags & LOOP_THREADS)) {
        g_main_context_acquire(loop->context);
    }
    loop->now_us = g_get_monotonic_time();
    return loop;
}

static void glib_run(void *opaque)
{
    GlibLoop *loop = opaque;

    loop->stopped = false;
    g_main_context_acquire(loop->context);
    while (!loop->stopped) {
        g_main_context_iteration(loop->context, TRUE);
    }
    g_main_context_release(loop->context);
}

static void glib_stop(void *opaque)
{
    GlibLoop *loop = opaque;

    loop->stopped = true;
}

static void glib_pass(void *opaque)
{
    GlibLoop *loop = opaque;

    g_main_context_iteration(loop->context, FALSE);
}

static gboolean on_fd(gint fd, GIOCondition condition, gpointer opaque)
{
    LoopFd *watch = opaque;

    watch->ready(watch);
    return G_SOURCE_CONTINUE;
}

static void glib_fd_start(void *opaque, LoopFd *watch)
{
    GlibLoop *loop = opaque;
    GSource *source = g_unix_fd_source_new(watch->fd, G_IO_IN);

    g_source_set_callback(source, G_SOURCE_FUNC(on_fd), watch, NULL);
    g_source_set_can_recurse(source, TRUE);
    g_source_attach(source, loop->context);
}

/* A source that nothing but its ready time makes ready. */
static gboolean dispatch_once(GSource *source, GSourceFunc callback, gpointer opaque)
{
    g_source_set_ready_time(source, -1);
    return callback(opaque);
}

static GSource *attach_source(GlibLoop *loop, GSourceFunc callback, void *opaque)
{
    static GSourceFuncs functions = { .dispatch = dispatch_once };
    GSource *source = g_source_new(&functions, sizeof(*source));

    g_source_set_callback(source, callback, opaque, NULL);
    g_source_set_can_recurse(source, TRUE);
    g_source_attach(source, loop->context);
    return source;
}

static gboolean on_timer(gpointer opaque)
{
    LoopTimer *timer = opaque;

    timer->due(timer);
    return G_SOURCE_CONTINUE;
}

static void glib_timer_init(void *opaque, LoopTimer *timer)
{
    GlibTimer *mine = (GlibTimer *)timer;

    mine->source = attach_source(opaque, on_timer, timer);
}

static void glib_timer_start(void *opaque, LoopTimer *timer, int64_t after_ns)
{
    GlibLoop *loop = opaque;
    GlibTimer *mine = (GlibTimer *)timer;

    g_source_set_ready_time(mine->source, loop->now_us + (after_ns + 999) / 1000);
}

static void glib_update_now(void *opaque)
{
    GlibLoop *loop = opaque;

    loop->now_us = g_get_monotonic_time();
}

static gboolean on_call(gpointer opaque)
{
    LoopCall *call = opaque;

    call->run(call);
    return G_SOURCE_REMOVE;
}

static void glib_call_init(void *opaque, LoopCall *call)
{
    GlibCall *mine = (GlibCall *)call;

    mine->loop = opaque;
}

static void glib_call_trigger(LoopCall *call)
{
    GlibCall *mine = (GlibCall *)call;
    GSource *source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, on_call, call, NULL);
    g_source_set_can_recurse(source, TRUE);
    g_source_attach(source, mine->loop->context);
    g_source_unref(source);
}

static void glib_post(void *opaque, LoopCall *call)
{
    GlibLoop *loop = opaque;

    g_main_context_invoke_full(loop->context, G_PRIORITY_DEFAULT, on_call, call, NULL);
}

const LoopOps loop_glib_ops = {
    .name = "glib",
    .open = glib_open,
    .run = glib_run,
    .stop = glib_stop,
    .pass = glib_pass,
    .fd_size = sizeof(LoopFd),
    .fd_start = glib_fd_start,
    .timer_size = sizeof(GlibTimer),
    .timer_init = glib_timer_init,
    .timer_start = glib_timer_start,
    .timer_again = glib_timer_start,
    .update_now = glib_update_now,
    .call_size = sizeof(GlibCall),
    .call_init = glib_call_init,
    .call_trigger = glib_call_trigger,
    .post = glib_post,
    .later_size = sizeof(GlibCall),
    .later_init = glib_call_init,
    .later_schedule = glib_call_trigger,
    .later_run = glib_pass,
};
