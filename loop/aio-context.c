/*
 * AioContext: its life, a pass of the loop, and the wake-up handshake (see loop/aio-internal.h).
 */
#include "config.h"
#include "loop/aio-internal.h"
#include "loop/aio-params.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

GQuark aio_error_quark(void)
{
    /* Not G_DEFINE_QUARK(), whose cache is no atomic: any thread may come here. */
    return g_quark_from_static_string("aio-error-quark");
}

/* The context that this thread declared as its own. */
static _Thread_local AioContext *current_context;

/* What names this thread in ctx->home; 0 until it first drives a context. Not an address, nor a
 * pthread_t: a new thread can have those of one that has ended. */
static _Thread_local uint64_t thread_number;

/* ---- life ---- */

/* Of what belongs on cache lines of its own; free() frees it. */
static AioContext *context_alloc(void)
{
    AioContext *ctx = aligned_alloc(_Alignof(AioContext), sizeof(AioContext));

    if (!ctx) {
        g_error("out of memory: a context of %zu bytes", sizeof(AioContext));
    }
    memset(ctx, 0, sizeof(*ctx));
    return ctx;
}

AioContext *aio_context_new(GError **errp)
{
    return aio_context_new_with_fdmon(AIO_FDMON_AUTO, errp);
}

AioContext *aio_context_new_with_fdmon(AioFdMon fdmon, GError **errp)
{
    AioContext *ctx = context_alloc();

    ctx->refcount = 1;
    ctx->memory_refcount = 1;
    ctx->params = (AioContextParams){
        .poll_max_ns = AIO_POLL_MAX_NS_DEFAULT,
        .thread_pool_min = AIO_THREAD_POOL_MIN_DEFAULT,
        .thread_pool_max = AIO_THREAD_POOL_MAX_DEFAULT,
    };
    ctx->polling.wait_from_ns = ctx->polling.waited_ns = -1;
    ctx->polling.run_delay_fd = -1;
    aio_polling_set_params(ctx, &ctx->params);
    if (!fdmon_setup(ctx, fdmon, errp)) {
        free(ctx);
        return NULL;
    }
    if (!event_notifier_init(&ctx->notifier, false, errp)) {
        ctx->fdmon_first->teardown(ctx);
        free(ctx);
        return NULL;
    }
    pthread_mutex_init(&ctx->lock, NULL);
    ctx->activity = &ctx->own_activity;
    activity_init(ctx->activity);
    ctx->handlers = g_hash_table_new(NULL, NULL);
    aio_handlers_init(ctx);
    for (int i = 0; i < QEMU_CLOCK_MAX; i++) {
        timer_list_init(&ctx->timers[i], ctx, (QEMUClockType)i);
    }
    clock_register_context(ctx);
    return ctx;
}

void aio_context_ref(AioContext *ctx)
{
    /* Relaxed: whoever takes a reference has one, or is lent one, already. */
    atomic_fetch_add_explicit(&ctx->refcount, 1, memory_order_relaxed);
}

void aio_context_memory_ref(AioContext *ctx)
{
    /* Relaxed: as aio_context_ref(). */
    atomic_fetch_add_explicit(&ctx->memory_refcount, 1, memory_order_relaxed);
}

void aio_context_memory_unref(AioContext *ctx)
{
    /* Acquire-release: as aio_context_unref(). */
    if (atomic_fetch_sub_explicit(&ctx->memory_refcount, 1, memory_order_acq_rel) == 1) {
        for (int i = 0; i < QEMU_CLOCK_MAX; i++) {
            timer_list_cleanup(&ctx->timers[i]);
        }
        free(ctx);
    }
}

static void context_free(AioContext *ctx)
{
    aio_gsource_cleanup(ctx);
    do {
        /* What one of the three runs may leave work to another. */
        aio_bh_cleanup(ctx);
    } while (aio_requests_finish(ctx) || aio_thread_pool_finish(ctx));
    aio_thread_pool_free(ctx);
    aio_bh_cleanup(ctx);
    clock_unregister_context(ctx);
    for (int i = 0; i < QEMU_CLOCK_MAX; i++) {
        timer_list_disarm(&ctx->timers[i]);
    }
    aio_clock_jump_cleanup(ctx);
    if (atomic_load(&ctx->fdmon) != ctx->fdmon_first) {
        atomic_load(&ctx->fdmon)->teardown(ctx);
    }
    ctx->fdmon_first->teardown(ctx);
    aio_handlers_cleanup(ctx);
    event_notifier_cleanup(&ctx->notifier);
    pthread_mutex_destroy(&ctx->lock);
    activity_cleanup(&ctx->own_activity);
    aio_context_memory_unref(ctx);
}

void aio_context_unref(AioContext *ctx)
{
    /* Acquire-release: what other threads did before they dropped theirs happens before this. */
    if (atomic_fetch_sub_explicit(&ctx->refcount, 1, memory_order_acq_rel) == 1) {
        /* Of this function: a oneshot that is run now may take a reference and drop it. */
        aio_context_ref(ctx);
        context_free(ctx);
    }
}

const char *aio_context_get_fdmon(AioContext *ctx)
{
    return atomic_load(&ctx->fdmon)->name;
}

/* ---- threads ---- */

AioContext *qemu_get_current_aio_context(void)
{
    return current_context ? current_context : main_loop_context_of_thread();
}

void qemu_set_current_aio_context(AioContext *ctx)
{
    if (current_context && current_context != ctx && in_aio_context_home_thread(current_context)) {
        const FDMonOps *fdmon = atomic_load(&current_context->fdmon);

        if (fdmon->leave) {
            fdmon->leave(current_context);
        }
        /* A thread that has ended holds nothing, though its context is there until it is joined. */
        activity_enter(current_context->activity, AIO_STATE_UNUSED);
        atomic_store_explicit(&current_context->home, 0, memory_order_relaxed);
    }
    current_context = ctx;
    if (ctx) {
        aio_context_take_home(ctx);
    }
}

/* Relaxed, here and above: a thread compares the value with its own name only, and what it has
 * stored itself it sees. */
bool in_aio_context_home_thread(AioContext *ctx)
{
    return thread_number != 0 &&
           atomic_load_explicit(&ctx->home, memory_order_relaxed) == thread_number;
}

void aio_context_take_home(AioContext *ctx)
{
    static _Atomic uint64_t last_number;

    if (thread_number == 0) {
        thread_number = atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
    }
    if (!in_aio_context_home_thread(ctx)) {
        /* The former home, which does not drive it any more, may be changing a handler just now, in
         * the way of a home thread. It holds the lock. */
        pthread_mutex_lock(&ctx->lock);
        atomic_store_explicit(&ctx->home, thread_number, memory_order_relaxed);
        pthread_mutex_unlock(&ctx->lock);
    }
}

/* ---- the wake-up handshake ---- */

void aio_notify(AioContext *ctx)
{
    /* Sequentially consistent, as in aio_notify_arm(): see loop/aio-internal.h. */
    if (!atomic_exchange(&ctx->notified, true) && atomic_load(&ctx->notify_me)) {
        aio_polling_wakes(ctx);
        event_notifier_set(&ctx->notifier);
    }
}

void aio_notify_waiting(AioContext *ctx)
{
    if (atomic_load(&ctx->notify_me)) {
        aio_notify(ctx);
    }
}

bool aio_notify_arm(AioContext *ctx, unsigned who)
{
    /* Relaxed: a notifier that was slow to store it woke nobody. */
    atomic_store_explicit(&ctx->polling.woken_at_ns, 0, memory_order_relaxed);
    if (who == NOTIFY_ME_GSOURCE) {
        atomic_fetch_or(&ctx->notify_me, NOTIFY_ME_GSOURCE);
    } else {
        atomic_fetch_add(&ctx->notify_me, NOTIFY_ME_POLL);
    }
    return !atomic_load(&ctx->notified);
}

void aio_notify_disarm(AioContext *ctx, unsigned who)
{
    /* Relaxed: to see it late costs a notifier one needless system call. */
    if (who == NOTIFY_ME_GSOURCE) {
        atomic_fetch_and_explicit(&ctx->notify_me, ~NOTIFY_ME_GSOURCE, memory_order_relaxed);
    } else {
        atomic_fetch_sub_explicit(&ctx->notify_me, NOTIFY_ME_POLL, memory_order_relaxed);
    }
}

void aio_notify_accept(AioContext *ctx)
{
    /* An exchange, not a store: it reads from the last notifier's exchange, and so sees the work
     * of all those whose notification it takes. */
    if (aio_notified(ctx)) {
        atomic_exchange(&ctx->notified, false);
    }
}

/* ---- a pass ---- */

int64_t aio_compute_timeout(AioContext *ctx)
{
    int64_t bh_timeout;

    if (ctx->ready_head || aio_requests_completed(ctx) ||
        atomic_load(&ctx->fdmon)->ready_now(ctx)) {
        return 0;
    }
    bh_timeout = aio_bh_timeout_ns(ctx);
    if (bh_timeout == 0) {
        return 0;
    }
    return soonest_timeout(bh_timeout, aio_timers_timeout_ns(ctx));
}

bool aio_run_pass(AioContext *ctx)
{
    bool progress;

    ctx->depth++;
    counter_add(&ctx->passes, 1);
    progress = aio_bh_poll(ctx);
    progress |= aio_dispatch_requests(ctx);
    progress |= aio_dispatch_handlers(ctx);
    progress |= aio_timers_run(ctx);
    ctx->depth--;
    if (ctx->depth == 0 && !ctx->ready_head) {
        aio_free_retired(ctx);
    }
    return progress;
}

void aio_prepare_fdmon(AioContext *ctx, bool submit)
{
    const FDMonOps *fdmon = atomic_load(&ctx->fdmon);

    if (fdmon->prepare) {
        fdmon->prepare(ctx, submit);
    }
}

void aio_prepare_again(AioContext *ctx)
{
    if (ctx->polling.in_phase) {
        aio_notify(ctx);
    } else {
        aio_notify_waiting(ctx);
    }
}

/* Sleep for as long as there is nothing to do, and collect ready descriptors. */
static void block_for_work(AioContext *ctx)
{
    int64_t timeout_ns;

    /* First, for it may take over what became of a notification, which is then seen below. */
    aio_prepare_fdmon(ctx, false);
    timeout_ns = aio_notify_arm(ctx, NOTIFY_ME_POLL) ? aio_compute_timeout(ctx) : 0;
    if (timeout_ns != 0) {
        counter_add(&ctx->waits, 1);
        activity_enter(ctx->activity, AIO_STATE_IDLE);
        aio_polling_blocks(&ctx, 1);
    }
    atomic_load(&ctx->fdmon)->wait(ctx, timeout_ns);
    aio_notify_disarm(ctx, NOTIFY_ME_POLL);
}

bool aio_poll(AioContext *ctx, bool blocking)
{
    ActivityScope outer;
    bool progress;

    aio_context_take_home(ctx);
    activity_save(ctx->activity, &outer);
    if (blocking && !aio_polling_run(ctx)) {
        block_for_work(ctx);
    } else {
        atomic_load(&ctx->fdmon)->wait(ctx, 0);
    }
    activity_enter(ctx->activity, AIO_STATE_LOOP);
    aio_polling_wait_over(ctx);
    aio_polling_learn(ctx, aio_handed_over(ctx));
    aio_notify_accept(ctx);
    progress = aio_run_pass(ctx);
    activity_pass_over(ctx->activity, &outer);
    return progress;
}

int64_t aio_prepare_timeout(AioContext *ctx)
{
    bool may_wait;

    aio_context_take_home(ctx);
    may_wait = aio_notify_arm(ctx, NOTIFY_ME_GSOURCE);
    /* After that, for what other threads leave to it from now on comes with a notification. Also
     * when the loop must not wait, or endless work would starve the descriptors. */
    aio_prepare_fdmon(ctx, true);
    /* It may have taken over what became of a notification, which then wakes nobody any more. */
    return may_wait && !aio_notified(ctx) ? aio_compute_timeout(ctx) : 0;
}

bool aio_prepare(AioContext *ctx)
{
    return aio_prepare_timeout(ctx) == 0;
}

bool aio_has_work(AioContext *ctx)
{
    /* A bare notification is dispatched too: it would keep aio_prepare() from waiting for ever. */
    return aio_notified(ctx) || ctx->ready_head || aio_requests_completed(ctx) ||
           atomic_load(&ctx->fdmon)->ready_now(ctx) || aio_bh_queued(ctx) ||
           aio_timers_timeout_ns(ctx) == 0;
}

bool aio_pending(AioContext *ctx)
{
    aio_context_take_home(ctx);
    aio_notify_disarm(ctx, NOTIFY_ME_GSOURCE);
    atomic_load(&ctx->fdmon)->wait(ctx, 0);
    return aio_has_work(ctx);
}

void aio_dispatch_collected(AioContext *ctx, bool collect)
{
    ActivityScope outer;
    bool notified;

    aio_context_take_home(ctx);
    activity_save(ctx->activity, &outer);
    activity_enter(ctx->activity, AIO_STATE_LOOP);
    aio_notify_disarm(ctx, NOTIFY_ME_GSOURCE);
    notified = aio_handed_over(ctx);
    aio_notify_accept(ctx);
    if (collect) {
        atomic_load(&ctx->fdmon)->wait(ctx, 0);
    }
    aio_polling_learn(ctx, notified);
    aio_run_pass(ctx);
    activity_pass_over(ctx->activity, &outer);
}

void aio_dispatch(AioContext *ctx)
{
    aio_dispatch_collected(ctx, true);
}

/* ---- parameters ---- */

static bool check_not_negative(const char *name, int64_t value, GError **errp)
{
    if (value < 0) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID,
                    "%s is %" G_GINT64_FORMAT ", expected an integer from 0", name, value);
        return false;
    }
    return true;
}

bool aio_context_set_poll_params(AioContext *ctx, int64_t max_ns, int64_t grow, int64_t shrink,
                                 GError **errp)
{
    if (!check_not_negative("poll-max-ns", max_ns, errp) ||
        !check_not_negative("poll-grow", grow, errp) ||
        !check_not_negative("poll-shrink", shrink, errp)) {
        return false;
    }
    pthread_mutex_lock(&ctx->lock);
    ctx->params.poll_max_ns = max_ns;
    ctx->params.poll_grow = grow;
    ctx->params.poll_shrink = shrink;
    aio_polling_set_params(ctx, &ctx->params);
    pthread_mutex_unlock(&ctx->lock);
    return true;
}

bool aio_context_set_aio_params(AioContext *ctx, int64_t max_batch, GError **errp)
{
    if (!check_not_negative("aio-max-batch", max_batch, errp)) {
        return false;
    }
    pthread_mutex_lock(&ctx->lock);
    ctx->params.aio_max_batch = max_batch;
    atomic_store_explicit(&ctx->aio_max_batch, max_batch, memory_order_relaxed);
    pthread_mutex_unlock(&ctx->lock);
    return true;
}

bool aio_check_thread_pool_params(int64_t min, int64_t max, GError **errp)
{
    if (!check_not_negative("thread-pool-min", min, errp)) {
        return false;
    }
    if (max < 1 || max > INT_MAX) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID,
                    "thread-pool-max is %" G_GINT64_FORMAT ", expected an integer from 1 to %d",
                    max, INT_MAX);
        return false;
    }
    if (min > max) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID,
                    "thread-pool-min is %" G_GINT64_FORMAT
                    ", more than thread-pool-max, %" G_GINT64_FORMAT,
                    min, max);
        return false;
    }
    return true;
}

bool aio_context_set_thread_pool_params(AioContext *ctx, int64_t min, int64_t max, GError **errp)
{
    if (!aio_check_thread_pool_params(min, max, errp)) {
        return false;
    }
    pthread_mutex_lock(&ctx->lock);
    ctx->params.thread_pool_min = min;
    ctx->params.thread_pool_max = max;
    pthread_mutex_unlock(&ctx->lock);
    aio_thread_pool_update(ctx);
    return true;
}

void aio_context_get_params(AioContext *ctx, AioContextParams *params)
{
    pthread_mutex_lock(&ctx->lock);
    *params = ctx->params;
    pthread_mutex_unlock(&ctx->lock);
}
