/*
 * The process's watch for loops that are stuck: told, by the loops, when one of them wakes up and
 * when something has held one for long.
 *
 * All that a loop does for it is a comparison when it reads the clock, and a look at a flag when it
 * wakes up: loop_watch_elapsed() and loop_watch_entered() in loop/aio-internal.h.
 */
#include "config.h"
#include "loop/aio-internal.h"

/* Read at each callback, written hardly ever: not on a line with something else. */
_Alignas(AIO_CACHE_LINE) LoopWatch loop_watch = { .limit_ns = INT64_MAX };

static _Atomic(const AioWatch *) watch_in_force;

void aio_watch_start(const AioWatch *watch)
{
    /* Release, and acquire by whoever is to call it: its members. */
    atomic_store_explicit(&watch_in_force, watch, memory_order_release);
    atomic_store_explicit(&loop_watch.limit_ns, watch->limit_ns, memory_order_relaxed);
}

void aio_watch_stop(void)
{
    atomic_store_explicit(&loop_watch.limit_ns, INT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&loop_watch.asked, false, memory_order_relaxed);
    atomic_store_explicit(&watch_in_force, NULL, memory_order_release);
}

void aio_watch_ask(void)
{
    /* Sequentially consistent: see loop_watch_entered(). */
    atomic_store(&loop_watch.asked, true);
}

bool aio_watch_take_back(void)
{
    return atomic_exchange(&loop_watch.asked, false);
}

void loop_watch_woken(void)
{
    const AioWatch *watch;

    if (!aio_watch_take_back()) {
        return;
    }
    watch = atomic_load_explicit(&watch_in_force, memory_order_acquire);
    if (watch) {
        watch->woken(watch->opaque);
    }
}

void loop_watch_held(LoopActivity *activity)
{
    /* Every activity is part of a context. */
    AioContext *ctx = (AioContext *)((char *)activity - offsetof(AioContext, own_activity));
    const AioWatch *watch = atomic_load_explicit(&watch_in_force, memory_order_acquire);
    AioActivity published;

    aio_context_get_activity(ctx, &published);
    if (watch && !aio_state_is_asleep(published.state) && published.state != AIO_STATE_POLLING) {
        watch->held(ctx, &published, activity->now_ns, watch->opaque);
    }
}
