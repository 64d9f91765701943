/*
 * The trace of all loops: which are traced, and their rings.
 *
 * Locks: trace->change, held by who starts or stops, so that one does at a time; within it the list
 * of IOThreads (iothread_foreach()); within that trace->lock, also when an IOThread comes or goes.
 * Only trace->lock is taken to query and to save.
 */
#include "config.h"
#include "daemon/trace.h"

#include <pthread.h>
#include <unistd.h>

#include "iothreads/iothread.h"
#include "loop/main-loop.h"
#include "qmp/qmp-error.h"

struct Trace {
    pthread_mutex_t change;

    pthread_mutex_t lock; /* guards all below */
    TraceState state;
    bool all; /* loops that come are traced too */
    int64_t size_kib;
    GPtrArray *loops; /* of TraceLoop, in the order in which they came */
    bool saving;
};

/* ---- loops ---- */

static void loop_free(void *data)
{
    TraceLoop *loop = data;

    aio_trace_unref(loop->ring);
    g_free(loop->id);
    g_free(loop);
}

static size_t n_records(const Trace *trace)
{
    return (size_t)trace->size_kib * 1024 / AIO_TRACE_RECORD_SIZE;
}

/* Trace a loop from now on. False when there is no memory for it. With trace->lock held. */
static bool add_loop(Trace *trace, const char *id, pid_t thread_id, AioContext *ctx)
{
    AioTrace *ring = aio_trace_new(n_records(trace));
    TraceLoop *loop;

    if (!ring) {
        return false;
    }
    loop = g_new(TraceLoop, 1);
    *loop = (TraceLoop){ .id = g_strdup(id), .thread_id = thread_id, .ctx = ctx, .ring = ring };
    aio_context_set_trace(ctx, ring);
    g_ptr_array_add(trace->loops, loop);
    return true;
}

/* The loop that @ctx drives is about to go. With trace->lock held. */
static void loop_goes(Trace *trace, AioContext *ctx)
{
    unsigned n_gone = 0;
    guint first = 0;

    for (guint i = trace->loops->len; i-- > 0;) {
        TraceLoop *loop = g_ptr_array_index(trace->loops, i);

        if (loop->ctx == ctx) {
            loop->ctx = NULL;
        }
        if (!loop->ctx) {
            first = i;
            n_gone++;
        }
    }
    if (n_gone > TRACE_MAX_GONE) {
        g_ptr_array_remove_index(trace->loops, first);
    }
}

static void iothread_comes_or_goes(IOThread *iothread, bool comes, void *opaque)
{
    Trace *trace = opaque;
    const char *id = iothread_get_id(iothread);
    AioContext *ctx = iothread_get_aio_context(iothread);

    pthread_mutex_lock(&trace->lock);
    if (!comes) {
        loop_goes(trace, ctx);
    } else if (trace->state == TRACE_ON && trace->all &&
               !add_loop(trace, id, iothread_get_thread_id(iothread), ctx)) {
        g_warning("no memory to trace the loop '%s'", id);
    }
    pthread_mutex_unlock(&trace->lock);
}

/* ---- life ---- */

Trace *trace_new(void)
{
    Trace *trace = g_new0(Trace, 1);

    pthread_mutex_init(&trace->change, NULL);
    pthread_mutex_init(&trace->lock, NULL);
    trace->loops = g_ptr_array_new_with_free_func(loop_free);
    iothread_watch(iothread_comes_or_goes, trace);
    return trace;
}

/* Have no loop record any more. With trace->lock held. */
static void detach_all(Trace *trace)
{
    for (guint i = 0; i < trace->loops->len; i++) {
        TraceLoop *loop = g_ptr_array_index(trace->loops, i);

        if (loop->ctx) {
            aio_context_set_trace(loop->ctx, NULL);
        }
    }
}

void trace_free(Trace *trace)
{
    iothread_watch(NULL, NULL);
    if (trace->state == TRACE_ON) {
        detach_all(trace);
    }
    g_ptr_array_unref(trace->loops);
    pthread_mutex_destroy(&trace->lock);
    pthread_mutex_destroy(&trace->change);
    g_free(trace);
}

/* ---- start and stop ---- */

typedef struct Start {
    Trace *trace;
    bool only_look;
    const char *wanted; /* an id, or NULL: all */
    bool found;
    bool out_of_memory;
} Start;

static bool is_traced(Trace *trace, AioContext *ctx)
{
    for (guint i = 0; i < trace->loops->len; i++) {
        if (((TraceLoop *)g_ptr_array_index(trace->loops, i))->ctx == ctx) {
            return true;
        }
    }
    return false;
}

/* One that is named twice, or has come meanwhile, is traced already. */
static void start_loop(Start *start, const char *id, pid_t thread_id, AioContext *ctx)
{
    Trace *trace = start->trace;

    if (start->wanted && !g_str_equal(start->wanted, id)) {
        return;
    }
    start->found = true;
    if (start->only_look) {
        return;
    }
    pthread_mutex_lock(&trace->lock);
    if (!is_traced(trace, ctx)) {
        start->out_of_memory |= !add_loop(trace, id, thread_id, ctx);
    }
    pthread_mutex_unlock(&trace->lock);
}

static void start_iothread(IOThread *iothread, void *start)
{
    start_loop(start, iothread_get_id(iothread), iothread_get_thread_id(iothread),
               iothread_get_aio_context(iothread));
}

/* Start the loop @wanted, or all; or only look whether there is one. */
static bool start_loops(Trace *trace, const char *wanted, bool only_look, GError **errp)
{
    Start start = { .trace = trace, .only_look = only_look, .wanted = wanted };

    start_loop(&start, MAIN_LOOP_NAME, getpid(), qemu_get_aio_context());
    iothread_foreach(start_iothread, &start);
    if (start.out_of_memory) {
        return qmp_error_set(errp, "There is no memory for so many rings of that size");
    }
    if (!start.found) {
        return qmp_error_set(errp, "Parameter 'loops': there is no loop '%s'", wanted);
    }
    return true;
}

static bool start_all(Trace *trace, json_object *wanted, bool only_look, GError **errp)
{
    size_t n = wanted ? json_object_array_length(wanted) : 0;

    if (!wanted) {
        return start_loops(trace, NULL, only_look, errp);
    }
    if (n == 0) {
        return qmp_error_set(errp, "Parameter 'loops' expects the id of a loop at least");
    }
    for (size_t i = 0; i < n; i++) {
        const char *id = json_object_get_string(json_object_array_get_idx(wanted, i));

        if (!start_loops(trace, id, only_look, errp)) {
            return false;
        }
    }
    return true;
}

/* With trace->change held, which keeps the state. */
static bool may_start(Trace *trace, GError **errp)
{
    TraceState state;

    pthread_mutex_lock(&trace->lock);
    state = trace->state;
    pthread_mutex_unlock(&trace->lock);
    return state != TRACE_ON || qmp_error_set(errp, "A trace is on already");
}

static void set_state(Trace *trace, TraceState state)
{
    pthread_mutex_lock(&trace->lock);
    if (trace->state == TRACE_ON) {
        detach_all(trace);
    }
    if (state != TRACE_STOPPED) {
        g_ptr_array_set_size(trace->loops, 0);
    }
    trace->state = state;
    pthread_mutex_unlock(&trace->lock);
}

bool trace_start(Trace *trace, json_object *loops, int64_t size_kib, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&trace->change);
    ok = may_start(trace, errp) && start_all(trace, loops, true, errp);
    if (ok) {
        pthread_mutex_lock(&trace->lock);
        trace->all = !loops;
        trace->size_kib = size_kib;
        pthread_mutex_unlock(&trace->lock);
        set_state(trace, TRACE_ON);
        ok = start_all(trace, loops, false, errp);
        if (!ok) {
            set_state(trace, TRACE_OFF);
        }
    }
    pthread_mutex_unlock(&trace->change);
    return ok;
}

bool trace_stop(Trace *trace, bool discard, GError **errp)
{
    TraceState state;

    pthread_mutex_lock(&trace->change);
    pthread_mutex_lock(&trace->lock);
    state = trace->state;
    pthread_mutex_unlock(&trace->lock);
    if (state == TRACE_ON || (state == TRACE_STOPPED && discard)) {
        set_state(trace, discard ? TRACE_OFF : TRACE_STOPPED);
        state = TRACE_ON;
    }
    pthread_mutex_unlock(&trace->change);
    return state == TRACE_ON ||
           qmp_error_set(errp, discard ? "There is no trace" : "No trace is on");
}

/* ---- looking at it ---- */

void trace_query(Trace *trace, TraceInfo *info,
                 void (*func)(const TraceLoop *loop, int64_t n_records, void *opaque), void *opaque)
{
    pthread_mutex_lock(&trace->lock);
    *info = (TraceInfo){
        .state = trace->state,
        .size_kib = trace->state == TRACE_OFF ? 0 : trace->size_kib,
        .saving = trace->saving,
    };
    for (guint i = 0; i < trace->loops->len; i++) {
        func(g_ptr_array_index(trace->loops, i), (int64_t)n_records(trace), opaque);
    }
    pthread_mutex_unlock(&trace->lock);
}

/* What @ctx is at, at a moment of which that is certain. */
static void take_activity(AioContext *ctx, TraceSnapshot *snapshot)
{
    do {
        snapshot->taken_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
        aio_context_get_activity(ctx, &snapshot->activity);
    } while (snapshot->activity.since_ns > snapshot->taken_ns);
}

static void snapshot_clear(void *data)
{
    TraceSnapshot *snapshot = data;

    aio_trace_unref(snapshot->ring);
    g_free(snapshot->id);
}

/* With trace->lock held, so that no loop goes. */
static GArray *take_snapshots(Trace *trace)
{
    GArray *snapshots = g_array_new(FALSE, FALSE, sizeof(TraceSnapshot));

    g_array_set_clear_func(snapshots, snapshot_clear);
    for (guint i = 0; i < trace->loops->len; i++) {
        const TraceLoop *loop = g_ptr_array_index(trace->loops, i);
        TraceSnapshot snapshot = {
            .id = g_strdup(loop->id),
            .thread_id = loop->thread_id,
            .ring = aio_trace_ref(loop->ring),
            .taken_ns = INT64_MAX,
            .activity = { .state = AIO_STATE_UNUSED },
        };

        if (trace->state == TRACE_ON && loop->ctx) {
            take_activity(loop->ctx, &snapshot);
        }
        g_array_append_val(snapshots, snapshot);
    }
    return snapshots;
}

GArray *trace_begin_save(Trace *trace, GError **errp)
{
    GArray *snapshots = NULL;

    pthread_mutex_lock(&trace->lock);
    if (trace->state == TRACE_OFF) {
        qmp_error_set(errp, "There is no trace");
    } else if (trace->saving) {
        qmp_error_set(errp, "A trace is being saved already");
    } else {
        trace->saving = true;
        snapshots = take_snapshots(trace);
    }
    pthread_mutex_unlock(&trace->lock);
    return snapshots;
}

void trace_end_save(Trace *trace)
{
    pthread_mutex_lock(&trace->lock);
    trace->saving = false;
    pthread_mutex_unlock(&trace->lock);
}
