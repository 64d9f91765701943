/*
 * Reading a context's activity, counters and sources from any thread.
 */
#include "config.h"
#include "loop/aio-internal.h"

void aio_context_get_activity(AioContext *ctx, AioActivity *activity)
{
    LoopActivity *source = ctx->activity;
    unsigned before;
    unsigned after;

    do {
        before = atomic_load_explicit(&source->seq, memory_order_acquire);
        /* Sequentially consistent: see loop_watch_entered(). */
        activity->state = (AioState)atomic_load(&source->state);
        activity->source = atomic_load_explicit(&source->source, memory_order_acquire);
        activity->since_ns = atomic_load_explicit(&source->since_ns, memory_order_acquire);
        activity->changed_ns = atomic_load_explicit(&source->changed_ns, memory_order_acquire);
        after = atomic_load_explicit(&source->seq, memory_order_relaxed);
    } while ((before & 1) || before != after);
}

bool aio_state_is_asleep(AioState state)
{
    return activity_is_asleep(state);
}

void aio_context_get_stats(AioContext *ctx, AioContextStats *stats)
{
    *stats = (AioContextStats){
        .passes = counter_get(&ctx->passes),
        .waits = counter_get(&ctx->waits),
        .fd_callbacks = counter_get(&ctx->fd_callbacks),
        .bh_callbacks = counter_get(&ctx->bh_callbacks),
        .timer_callbacks = counter_get(&ctx->timer_callbacks),
        .request_callbacks = counter_get(&ctx->request_counters.calls),
        .busy_ns = counter_get(&ctx->activity->busy_ns),
        .polling_ns = counter_get(&ctx->activity->polling_ns),
        .blocked_ns = counter_get(&ctx->activity->blocked_ns),
        .poll_ns = (uint64_t)aio_polling_time_ns(ctx),
        .polls_hit = counter_get(&ctx->polling.hits),
        .polls_missed = counter_get(&ctx->polling.misses),
    };
}

static void handlers_foreach_source(AioContext *ctx, AioSourceFunc *func, void *opaque)
{
    GHashTableIter iter;
    gpointer value;

    pthread_mutex_lock(&ctx->lock);
    g_hash_table_iter_init(&iter, ctx->handlers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        AioHandler *handler = value;
        AioSourceInfo info = {
            .kind = AIO_SOURCE_FD,
            .name = handler->name,
            .fd = handler->fd,
            .deadline_ns = -1,
            .calls = counter_get(&handler->counters.calls),
            .total_ns = counter_get(&handler->counters.total_ns),
            .max_ns = counter_get(&handler->counters.max_ns),
        };

        if (!handler->internal) {
            func(&info, opaque);
        }
    }
    pthread_mutex_unlock(&ctx->lock);
}

void aio_context_foreach_source(AioContext *ctx, AioSourceFunc *func, void *opaque)
{
    handlers_foreach_source(ctx, func, opaque);
    aio_bh_foreach_source(ctx, func, opaque);
    aio_requests_foreach_source(ctx, func, opaque);
    aio_timers_foreach_source(ctx, func, opaque);
}
