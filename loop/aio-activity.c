/*
 * What a loop does now, published so that any thread can read it without making the loop wait.
 *
 * State, source and beginning change together under a sequence count that the home thread alone
 * writes. A reader that sees an odd count, or another one after than before, reads again. Memory
 * order: the writer's release on the second increment and the reader's acquire on the first load
 * make the three values of an even count visible; the increments themselves and the values are
 * stored with release, loaded with acquire, so that none moves out of the bracket.
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

/* Read the clock and add the time that went by to what the loop was doing. */
static void account(LoopActivity *activity)
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
}

void activity_enter(LoopActivity *activity, AioState state)
{
    int before = atomic_load_explicit(&activity->state, memory_order_relaxed);

    account(activity);
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

void activity_call_begin(LoopActivity *activity, ActivityScope *scope, const char *name)
{
    activity_save(activity, scope);
    publish(activity, AIO_STATE_CALLBACK, name, activity->now_ns);
}

int64_t activity_call_end(LoopActivity *activity, const ActivityScope *scope)
{
    account(activity);
    activity_restore(activity, scope);
    return activity->now_ns - scope->begin_ns;
}

int64_t activity_call_next(LoopActivity *activity, const char *name)
{
    publish(activity, AIO_STATE_CALLBACK, name, activity->now_ns);
    return activity->now_ns;
}

int64_t activity_call_done(LoopActivity *activity)
{
    account(activity);
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
