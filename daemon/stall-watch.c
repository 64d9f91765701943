/*
 * The watch for loops that are stalled.
 *
 * What a loop publishes has the time when something began or ended in it last. So the watch knows
 * when a loop that is awake would be stalled if nothing happened, and that is when it looks again:
 * about once in a threshold's time while loops work, and not at all while they sleep. A loop tells
 * the watch by itself, in its own thread, when something that took longer than the threshold is
 * over; so no stall is missed, and its length is exact.
 *
 * Events are sent by the monitor thread alone, which keeps the two of a stall in order. What held
 * that thread itself is told afterwards.
 */
#include "config.h"
#include "daemon/stall-watch.h"

#include <pthread.h>
#include <string.h>

#include "daemon/backtrace.h"
#include "daemon/commands.h"
#include "daemon/loops.h"
#include "loop/timer.h"
#include "objects/source-name.h"
#include "qmp/qmp-log-limit.h"

/* However short callbacks are that last nearly as long as the threshold. */
#define LOOKS_IN_THRESHOLD 8

/* For all that stall at once. A thread that is stuck in a callback answers in far less, if it does;
 * and out-of-band commands wait meanwhile. */
#define BACKTRACE_TIMEOUT_NS (50 * SCALE_MS)

/* The name of the watch's own callback. */
#define TICK_NAME "stall_watch_tick"

/* The same stall is what held the same context since the same time. */
typedef struct Stall {
    const AioContext *ctx; /* to compare */
    pid_t thread_id;
    bool here; /* it was there at the last look */
    bool over; /* and its end has been told */
    int64_t end_ns;
    char *object; /* whose callback holds it; NULL: none's */
    StallEvent event;
} Stall;

struct StallWatch {
    AioContext *monitor;
    QmpServer *server;
    int64_t threshold_ns;
    AioWatch hooks;
    QEMUTimer *timer;
    QmpLogLimit *log;
    /* Monitor thread's: */
    bool stopped;
    GPtrArray *stalls; /* of Stall; told, and under way as far as a look can see */

    pthread_mutex_t lock; /* a leaf lock; guards the next */
    GPtrArray *over;      /* of Stall; not told yet. In the order of their ends */
};

static Stall *stall_new(const AioContext *ctx, const char *loop, const AioActivity *activity)
{
    Stall *stall = g_new0(Stall, 1);

    stall->ctx = ctx;
    stall->here = true;
    stall->event.loop = g_strdup(loop);
    stall->event.source = g_strdup(activity->source);
    stall->object = activity->source ? source_name_get_id(activity->source) : NULL;
    stall->event.since_ns = activity->changed_ns;
    return stall;
}

static void stall_free(gpointer data)
{
    Stall *stall = data;

    g_free(stall->event.loop);
    g_free(stall->event.source);
    g_free(stall->object);
    json_object_put(stall->event.backtrace);
    g_free(stall);
}

static Stall *find_stall(GPtrArray *stalls, const AioContext *ctx, int64_t since_ns)
{
    for (guint i = 0; i < stalls->len; i++) {
        Stall *stall = g_ptr_array_index(stalls, i);

        if (stall->ctx == ctx && stall->event.since_ns == since_ns) {
            return stall;
        }
    }
    return NULL;
}

/* ---- what loops tell; in their threads ---- */

/* Anticipate, here and below: whoever wants it sooner has it sooner. */
static void loop_woke(void *opaque)
{
    StallWatch *watch = opaque;

    timer_mod_anticipate_ns(watch->timer,
                            qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + watch->threshold_ns);
}

typedef struct Search {
    const AioContext *ctx;
    char *id;
} Search;

static void match_loop(const char *id, pid_t thread_id, AioContext *ctx, AioContext *second,
                       void *opaque)
{
    Search *search = opaque;

    if (ctx == search->ctx) {
        search->id = g_strdup(id);
    }
}

static void loop_was_held(AioContext *ctx, const AioActivity *activity, int64_t end_ns,
                          void *opaque)
{
    StallWatch *watch = opaque;
    Search search = { .ctx = ctx };
    Stall *stall;

    /* Or the watch would, with a threshold that is shorter than it takes, go on for ever. */
    if (ctx == watch->monitor && g_strcmp0(activity->source, TICK_NAME) == 0) {
        return;
    }
    loops_foreach(match_loop, &search);
    if (!search.id) {
        return;
    }
    stall = stall_new(ctx, search.id, activity);
    stall->end_ns = end_ns;
    g_free(search.id);
    pthread_mutex_lock(&watch->lock);
    g_ptr_array_add(watch->over, stall);
    pthread_mutex_unlock(&watch->lock);
    timer_mod_anticipate_ns(watch->timer, end_ns);
}

/* ---- telling clients and the log; in the monitor thread ---- */

static QmpLogFields log_fields(const Stall *stall)
{
    return (QmpLogFields){
        .object = stall->object,
        .loop = stall->event.loop,
        .source = stall->event.source,
    };
}

static void tell_stalled(StallWatch *watch, Stall *stall)
{
    g_autofree char *holder = loop_describe_holder(stall->event.source);

    QmpLogFields fields = log_fields(stall);

    qmp_log_limit_say(watch->log, QMP_LOG_LOOP_STALLED, &fields,
                      "loop '%s' has been held for more than %" G_GINT64_FORMAT " ms, in %s",
                      stall->event.loop, watch->threshold_ns / SCALE_MS, holder);
    qmp_server_emit(watch->server, &stall_events[STALL_EVENT_STALLED], &stall->event);
}

static void tell_resumed(StallWatch *watch, Stall *stall, int64_t end_ns)
{
    QmpLogFields fields = log_fields(stall);

    stall->event.duration_ns = end_ns - stall->event.since_ns;
    fields.duration_ns = stall->event.duration_ns;
    qmp_log_limit_say(watch->log, QMP_LOG_LOOP_RESUMED, &fields,
                      "loop '%s' goes on after %" G_GINT64_FORMAT " ms", stall->event.loop,
                      stall->event.duration_ns / SCALE_MS);
    qmp_server_emit(watch->server, &stall_events[STALL_EVENT_RESUMED], &stall->event);
}

/* What is over stays until a look does not find it any more: a loop tells of an end before it
 * publishes it, and what a look finds there meanwhile is no other stall. Takes @over. */
static void tell_end(StallWatch *watch, Stall *over)
{
    Stall *stall = find_stall(watch->stalls, over->ctx, over->event.since_ns);

    if (stall) {
        stall->end_ns = over->end_ns;
        stall_free(over);
    } else {
        /* It was over before the watch looked, as is all that held the monitor thread. */
        stall = over;
        g_ptr_array_add(watch->stalls, stall);
        tell_stalled(watch, stall);
    }
    stall->over = true;
    tell_resumed(watch, stall, stall->end_ns);
}

static void tell_ends(StallWatch *watch)
{
    g_autoptr(GPtrArray) over = NULL;
    g_autoptr(GPtrArray) empty = g_ptr_array_new_with_free_func(stall_free);

    pthread_mutex_lock(&watch->lock);
    over = g_steal_pointer(&watch->over);
    watch->over = g_steal_pointer(&empty);
    pthread_mutex_unlock(&watch->lock);
    while (over->len > 0) {
        tell_end(watch, g_ptr_array_steal_index(over, 0));
    }
}

/* ---- looking; in the monitor thread ---- */

typedef struct Look {
    StallWatch *watch;
    int64_t now_ns;
    int64_t next_ns; /* when to look again; INT64_MAX: all sleep */
    GPtrArray *new;  /* of Stall */
} Look;

static void look_at_loop(const char *id, pid_t thread_id, AioContext *ctx, AioContext *second,
                         void *opaque)
{
    Look *look = opaque;
    StallWatch *watch = look->watch;
    AioActivity activity;
    int64_t from_ns = look->now_ns;
    Stall *stall;

    aio_context_get_activity(ctx, &activity);
    /* The monitor thread is held by this very look, if by anything. */
    if (ctx == watch->monitor || aio_state_is_asleep(activity.state)) {
        return;
    }
    /* More than the threshold, as the loop has it, or it would not tell of the end. */
    if (loop_held_ns(&activity, look->now_ns) > watch->threshold_ns) {
        stall = find_stall(watch->stalls, ctx, activity.changed_ns);
        if (stall) {
            stall->here = true;
        } else {
            stall = stall_new(ctx, id, &activity);
            stall->thread_id = thread_id;
            g_ptr_array_add(look->new, stall);
        }
    } else if (activity.state != AIO_STATE_POLLING) {
        from_ns = MIN(activity.changed_ns + 1, look->now_ns);
    }
    look->next_ns = MIN(look->next_ns, from_ns + watch->threshold_ns);
}

/* Look at all loops; returns when to look again. */
static int64_t look_at_loops(StallWatch *watch, GPtrArray *new)
{
    Look look = {
        .watch = watch,
        .now_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME),
        .next_ns = INT64_MAX,
        .new = new,
    };

    loops_foreach(look_at_loop, &look);
    return look.next_ns == INT64_MAX
               ? INT64_MAX
               : MAX(look.next_ns, look.now_ns + watch->threshold_ns / LOOKS_IN_THRESHOLD);
}

static void check_still_here(const char *id, pid_t thread_id, AioContext *ctx, AioContext *second,
                             void *opaque)
{
    Stall *stall = opaque;
    AioActivity activity;

    if (ctx == stall->ctx) {
        aio_context_get_activity(ctx, &activity);
        stall->here = activity.changed_ns == stall->event.since_ns;
    }
}

/* Whether it is under way still. If not the loop has told of its end, or has gone. */
static bool is_still_here(StallWatch *watch, Stall *stall)
{
    stall->here = false;
    loops_foreach(check_still_here, stall);
    pthread_mutex_lock(&watch->lock);
    stall->here = stall->here && !find_stall(watch->over, stall->ctx, stall->event.since_ns);
    pthread_mutex_unlock(&watch->lock);
    return stall->here;
}

/* Ask the thread where it is, until @end_ns. That is where the stall is when it is the same
 * afterwards. */
static void add_backtrace(StallWatch *watch, Stall *stall, int64_t end_ns)
{
    int64_t now_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    json_object *backtrace =
        now_ns < end_ns ? backtrace_of_thread(stall->thread_id, end_ns - now_ns) : NULL;

    if (is_still_here(watch, stall)) {
        stall->event.backtrace = g_steal_pointer(&backtrace);
    }
    json_object_put(backtrace);
}

static void begin_stalls(StallWatch *watch, GPtrArray *new)
{
    int64_t end_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + BACKTRACE_TIMEOUT_NS;

    while (new->len > 0) {
        Stall *stall = g_ptr_array_steal_index(new, 0);

        if (!is_still_here(watch, stall)) {
            stall_free(stall);
            continue;
        }
        add_backtrace(watch, stall, end_ns);
        tell_stalled(watch, stall);
        g_ptr_array_add(watch->stalls, stall);
        /* Until the next look. */
        stall->here = true;
    }
}

/* The loops that were there no more: when they have not said so they have gone. */
static void end_stalls(StallWatch *watch, int64_t now_ns)
{
    for (guint i = watch->stalls->len; i-- > 0;) {
        Stall *stall = g_ptr_array_index(watch->stalls, i);

        if (!stall->here) {
            if (!stall->over) {
                tell_resumed(watch, stall, now_ns);
            }
            g_ptr_array_remove_index(watch->stalls, i);
        }
    }
}

static void mark_all_gone(StallWatch *watch)
{
    for (guint i = 0; i < watch->stalls->len; i++) {
        ((Stall *)g_ptr_array_index(watch->stalls, i))->here = false;
    }
}

static void stall_watch_tick(void *opaque)
{
    StallWatch *watch = opaque;
    g_autoptr(GPtrArray) new = g_ptr_array_new_with_free_func(stall_free);
    int64_t next_ns;

    if (watch->stopped) {
        return;
    }
    mark_all_gone(watch);
    next_ns = look_at_loops(watch, new);
    begin_stalls(watch, new);
    /* Behind the look: a stall that it saw to be over has been told of by then. */
    tell_ends(watch);
    end_stalls(watch, qemu_clock_get_ns(QEMU_CLOCK_REALTIME));

    if (next_ns == INT64_MAX) {
        /* All sleep. One that wakes up from now on tells; one that has is seen. */
        aio_watch_ask();
        next_ns = look_at_loops(watch, new);
        if (next_ns == INT64_MAX) {
            return;
        }
        aio_watch_take_back();
    }
    timer_mod_anticipate_ns(watch->timer, next_ns);
}

/* ---- life ---- */

StallWatch *stall_watch_new(AioContext *monitor, QmpServer *server, int64_t threshold_ns)
{
    StallWatch *watch = g_new0(StallWatch, 1);

    watch->monitor = monitor;
    watch->server = server;
    watch->threshold_ns = threshold_ns;
    watch->hooks = (AioWatch){
        .limit_ns = threshold_ns,
        .held = loop_was_held,
        .woken = loop_woke,
        .opaque = watch,
    };
    watch->timer = aio_timer_new_full(monitor, QEMU_CLOCK_REALTIME, SCALE_NS, stall_watch_tick,
                                      watch, TICK_NAME);
    watch->log = qmp_log_limit_new(monitor, QMP_LOG_PERIOD_NS, QMP_LOG_LOOP_STALLED,
                                   &(QmpLogFields){ 0 }, "stall watch", "lines on stalled loops");
    watch->stalls = g_ptr_array_new_with_free_func(stall_free);
    pthread_mutex_init(&watch->lock, NULL);
    watch->over = g_ptr_array_new_with_free_func(stall_free);
    aio_watch_start(&watch->hooks);
    /* The main loop is awake now. */
    timer_mod_ns(watch->timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + threshold_ns);
    return watch;
}

static void stop_in_monitor(void *opaque)
{
    StallWatch *watch = opaque;

    watch->stopped = true;
    timer_del(watch->timer);
    tell_ends(watch);
    mark_all_gone(watch);
    end_stalls(watch, qemu_clock_get_ns(QEMU_CLOCK_REALTIME));
    g_clear_pointer(&watch->log, qmp_log_limit_free);
}

void stall_watch_stop(StallWatch *watch)
{
    aio_watch_stop();
    aio_wait_bh_oneshot(watch->monitor, stop_in_monitor, watch);
}

void stall_watch_free(StallWatch *watch)
{
    if (watch) {
        /* A loop may have armed it once more. */
        timer_free(watch->timer);
        g_ptr_array_unref(watch->stalls);
        g_ptr_array_unref(watch->over);
        pthread_mutex_destroy(&watch->lock);
        g_free(watch);
    }
}
