/*
 * What a loop does now, published so that any thread can read it without making the loop wait; and
 * what it has done, for its trace if it has one.
 *
 * State, source and beginning change together under a sequence count that the home thread alone
 * writes. A reader that sees an odd count, or another one after than before, reads again. Memory
 * order: the writer's release on the second increment and the reader's acquire on the first load
 * make the three values of an even count visible; the increments themselves and the values are
 * stored with release, loaded with acquire, so that none moves out of the bracket.
 *
 * For a loop without a trace, all that a change does for one is to load a pointer that lies among
 * what the change writes anyway.
 */
#include "config.h"
#include "loop/aio-internal.h"

static void publish(LoopActivity *activity, AioState state, const char *source, int64_t since_ns)
{
    unsigned seq = atomic_load_explicit(&activity->seq, memory_order_relaxed);

    atomic_store_explicit(&activity->seq, seq + 1, memory_order_relaxed);
    atomic_store_explicit(&activity->state, state, memory_order_release);
    atomic_store_explicit(&activity->source, source, memory_order_release);
    atomic_store_explicit(&activity->since_ns, since_ns, memory_order_release);
    atomic_store_explicit(&activity->seq, seq + 2, memory_order_release);
}

void activity_init(LoopActivity *activity)
{
    activity->now_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    atomic_store_explicit(&activity->changed_ns, activity->now_ns, memory_order_relaxed);
    publish(activity, AIO_STATE_UNUSED, NULL, activity->now_ns);
}

void activity_cleanup(LoopActivity *activity)
{
    /* Relaxed: nobody else has the context any more. */
    AioTrace *trace = atomic_exchange_explicit(&activity->trace, NULL, memory_order_relaxed);

    if (trace) {
        aio_trace_unref(trace);
    }
}

int64_t activity_account(LoopActivity *activity)
{
    AioState state = atomic_load_explicit(&activity->state, memory_order_relaxed);
    _Atomic uint64_t *sum = &activity->busy_ns;
    int64_t elapsed_ns = -activity->now_ns;

    activity->now_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    elapsed_ns += activity->now_ns;
    loop_watch_elapsed(activity, elapsed_ns);
    if (state == AIO_STATE_IDLE) {
        sum = &activity->blocked_ns;
    } else if (state == AIO_STATE_POLLING) {
        sum = &activity->polling_ns;
    }
    if (state != AIO_STATE_UNUSED) {
        counter_add(sum, (uint64_t)elapsed_ns);
    }
    /* Relaxed: what is published next is stored with release, and read before this. */
    atomic_store_explicit(&activity->changed_ns, activity->now_ns, memory_order_relaxed);
    return activity->now_ns;
}

/* ---- the trace ---- */

/* Record what began at @begin_ns and ends now. */
static void trace(LoopActivity *activity, int64_t begin_ns, ActivityCall call)
{
    /* Acquire: it is initialised. It may be gone by now. */
    AioTrace *trace = atomic_load_explicit(&activity->trace, memory_order_acquire);
    AioTraceRecord record = {
        .begin_ns = begin_ns,
        .duration_ns = activity->now_ns - begin_ns,
        .name = call.name,
        .kind = call.kind,
        .fd = call.fd,
    };

    if (trace) {
        aio_trace_write(trace, &record);
    }
}

/* Record the present state, unless it is a callback, which is not over yet. */
static void trace_state(LoopActivity *activity)
{
    int64_t since_ns = atomic_load_explicit(&activity->since_ns, memory_order_relaxed);

    switch (atomic_load_explicit(&activity->state, memory_order_relaxed)) {
    case AIO_STATE_IDLE:
        trace(activity, since_ns, (ActivityCall){ NULL, AIO_TRACE_WAIT, -1 });
        break;
    case AIO_STATE_POLLING:
        trace(activity, since_ns, (ActivityCall){ NULL, AIO_TRACE_POLL, -1 });
        break;
    case AIO_STATE_LOOP:
        trace(activity, since_ns, (ActivityCall){ NULL, AIO_TRACE_PASS, -1 });
        break;
    default:
        break;
    }
}

void activity_trace_call(LoopActivity *activity, int64_t begin_ns, ActivityCall call)
{
    /* When it has run a GMainLoop, that has left its state behind. */
    trace_state(activity);
    trace(activity, begin_ns, call);
}

/* ---- changes ---- */

void activity_enter(LoopActivity *activity, AioState state)
{
    int before = atomic_load_explicit(&activity->state, memory_order_relaxed);

    activity_account(activity);
    if (activity_is_traced(activity)) {
        trace_state(activity);
    }
    publish(activity, state, NULL, activity->now_ns);
    loop_watch_entered(activity, before, state);
}

void activity_save(LoopActivity *activity, ActivityScope *scope)
{
    scope->state = atomic_load_explicit(&activity->state, memory_order_relaxed);
    scope->source = atomic_load_explicit(&activity->source, memory_order_relaxed);
    scope->since_ns = atomic_load_explicit(&activity->since_ns, memory_order_relaxed);
    scope->begin_ns = activity->now_ns;
}

void activity_restore(LoopActivity *activity, const ActivityScope *scope)
{
    publish(activity, scope->state, scope->source, scope->since_ns);
}

void activity_pass_over(LoopActivity *activity, const ActivityScope *scope)
{
    if (scope->state == AIO_STATE_CALLBACK) {
        if (activity_is_traced(activity)) {
            trace_state(activity);
        }
        activity_restore(activity, scope);
    }
}

void activity_call_begin(LoopActivity *activity, ActivityScope *scope, const char *name)
{
    activity_save(activity, scope);
    publish(activity, AIO_STATE_CALLBACK, name, activity->now_ns);
}

int64_t activity_call_next(LoopActivity *activity, const char *name)
{
    publish(activity, AIO_STATE_CALLBACK, name, activity->now_ns);
    return activity->now_ns;
}

void counters_record(AioCounters *counters, int64_t elapsed_ns)
{
    counter_add(&counters->calls, 1);
    counter_add(&counters->total_ns, (uint64_t)elapsed_ns);
    if ((uint64_t)elapsed_ns > counter_get(&counters->max_ns)) {
        atomic_store_explicit(&counters->max_ns, (uint64_t)elapsed_ns, memory_order_relaxed);
    }
}
