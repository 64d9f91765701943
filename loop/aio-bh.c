/*
 * Bottom halves.
 *
 * Whoever schedules one pushes it on a lock-free stack (ctx->bh_incoming) unless it is there
 * already, which BH_PENDING says. The home thread takes the whole stack at once, turns it round,
 * and runs it in order. From the moment it is taken off that queue a bottom half can be pushed
 * again, so one that schedules itself runs in the next pass. Deleting is a push too: the home
 * thread frees, so a callback can delete its own bottom half.
 */
#include "config.h"
#include "loop/aio-internal.h"

enum {
    BH_PENDING = 1 << 0,   /* on bh_incoming or in the home thread's queue */
    BH_SCHEDULED = 1 << 1, /* to be called */
    BH_IDLE = 1 << 2,      /* to be called; unless BH_SCHEDULED too, that is no progress */
    BH_DELETED = 1 << 3,   /* to be freed, not called */
    BH_ONESHOT = 1 << 4,   /* to be freed after its call */
    BH_CALL = BH_SCHEDULED | BH_IDLE,
};

static const int64_t idle_timeout_ns = 10 * SCALE_MS;

struct QEMUBH {
    AioContext *ctx;
    QEMUBHFunc *cb;
    void *opaque;
    const char *name;
    _Atomic unsigned flags;
    QEMUBH *next;                      /* in bh_incoming, then in the home thread's queue */
    QEMUBH *prev_source, *next_source; /* in ctx->bhs, guarded by ctx->lock; not of oneshots */
    AioCounters counters;
    unsigned running; /* home thread: calls in progress, more than one when nested */
    bool doomed;      /* home thread: deleted meanwhile, to be freed when the last one returns */
};

/* From the return on a deleted or oneshot bottom half may be gone. */
static void push(QEMUBH *bh, unsigned new_flags)
{
    AioContext *ctx = bh->ctx;
    /* Sequentially consistent, as the push is, for aio_notify_waiting(). Besides, a scheduler whose
     * push was done by another one hands its writes on to the home thread through the flags. */
    unsigned flags = atomic_fetch_or(&bh->flags, BH_PENDING | new_flags);

    if (!(flags & BH_PENDING)) {
        QEMUBH *head = atomic_load_explicit(&ctx->bh_incoming, memory_order_relaxed);

        do {
            bh->next = head;
        } while (!atomic_compare_exchange_weak(&ctx->bh_incoming, &head, bh));
    }
}

static void enqueue(QEMUBH *bh, unsigned new_flags)
{
    AioContext *ctx = bh->ctx;

    push(bh, new_flags);
    aio_notify(ctx);
}

static void bh_init(QEMUBH *bh, AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name)
{
    bh->ctx = ctx;
    bh->cb = cb;
    bh->opaque = opaque;
    bh->name = name;
}

QEMUBH *aio_bh_new_full(AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name)
{
    QEMUBH *bh = g_new0(QEMUBH, 1);

    bh_init(bh, ctx, cb, opaque, name);
    pthread_mutex_lock(&ctx->lock);
    bh->next_source = ctx->bhs;
    if (ctx->bhs) {
        ctx->bhs->prev_source = bh;
    }
    ctx->bhs = bh;
    pthread_mutex_unlock(&ctx->lock);
    return bh;
}

void aio_bh_schedule_oneshot_full(AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name)
{
    QEMUBH *bh = g_new0(QEMUBH, 1);

    bh_init(bh, ctx, cb, opaque, name);
    enqueue(bh, BH_SCHEDULED | BH_ONESHOT);
}

void qemu_bh_schedule(QEMUBH *bh)
{
    enqueue(bh, BH_SCHEDULED);
}

void qemu_bh_schedule_idle(QEMUBH *bh)
{
    AioContext *ctx = bh->ctx;

    push(bh, BH_IDLE);
    aio_notify_waiting(ctx);
}

void qemu_bh_cancel(QEMUBH *bh)
{
    atomic_fetch_and_explicit(&bh->flags, ~(unsigned)BH_CALL, memory_order_acq_rel);
}

void qemu_bh_delete(QEMUBH *bh)
{
    if (bh) {
        enqueue(bh, BH_DELETED);
    }
}

static void bh_free(QEMUBH *bh, unsigned flags)
{
    if (!(flags & BH_ONESHOT)) {
        AioContext *ctx = bh->ctx;

        pthread_mutex_lock(&ctx->lock);
        if (bh->prev_source) {
            bh->prev_source->next_source = bh->next_source;
        } else {
            ctx->bhs = bh->next_source;
        }
        if (bh->next_source) {
            bh->next_source->prev_source = bh->prev_source;
        }
        pthread_mutex_unlock(&ctx->lock);
    }
    g_free(bh);
}

/* Append what has come in to the home thread's queue, the first scheduled first. */
static void take_incoming(AioContext *ctx)
{
    QEMUBH *bh = NULL;
    QEMUBH *head = NULL;
    QEMUBH *tail;

    if (!atomic_load_explicit(&ctx->bh_incoming, memory_order_relaxed)) {
        return;
    }
    bh = atomic_exchange_explicit(&ctx->bh_incoming, NULL, memory_order_acquire);
    tail = bh;
    while (bh) {
        QEMUBH *next = bh->next;

        bh->next = head;
        head = bh;
        bh = next;
    }
    if (ctx->bh_tail) {
        ctx->bh_tail->next = head;
    } else {
        ctx->bh_head = head;
    }
    ctx->bh_tail = tail;
}

/* Take the first off the queue; from now on it can be scheduled again. */
static QEMUBH *take_first(AioContext *ctx, unsigned *flags)
{
    QEMUBH *bh = ctx->bh_head;

    if (bh) {
        ctx->bh_head = bh->next;
        if (!ctx->bh_head) {
            ctx->bh_tail = NULL;
        }
        *flags = atomic_fetch_and_explicit(&bh->flags, ~(unsigned)(BH_PENDING | BH_CALL),
                                           memory_order_acq_rel);
    }
    return bh;
}

/* Call it. A nested pass in its callback may come to delete it: then it stays until it returns. */
static bool run(QEMUBH *bh, unsigned flags)
{
    AioContext *ctx = bh->ctx;
    AioCounters *counters = flags & BH_ONESHOT ? &ctx->oneshot_counters : &bh->counters;
    ActivityScope scope;

    bh->running++;
    activity_call_begin(ctx->activity, &scope, bh->name);
    bh->cb(bh->opaque);
    counters_record(counters, activity_call_end(ctx->activity, &scope));
    counter_add(&ctx->bh_callbacks, 1);
    bh->running--;
    return flags & BH_SCHEDULED;
}

int aio_bh_poll(AioContext *ctx)
{
    bool progress = false;
    unsigned flags = 0;
    QEMUBH *bh;

    /* A nested pass goes on with what the outer one has left in the queue, and empties it. */
    take_incoming(ctx);
    while ((bh = take_first(ctx, &flags))) {
        if (flags & BH_DELETED) {
            bh->doomed = true;
        } else if (flags & BH_CALL) {
            progress |= run(bh, flags);
        }
        if (bh->running == 0 && (bh->doomed || (flags & BH_ONESHOT))) {
            bh_free(bh, flags);
        }
    }
    return progress;
}

static int64_t queue_timeout_ns(QEMUBH *bh, int64_t timeout_ns)
{
    for (; bh && timeout_ns != 0; bh = bh->next) {
        unsigned flags = atomic_load(&bh->flags);

        if ((flags & BH_CALL) && !(flags & BH_DELETED)) {
            timeout_ns = flags & BH_SCHEDULED ? 0 : idle_timeout_ns;
        }
    }
    return timeout_ns;
}

int64_t aio_bh_timeout_ns(AioContext *ctx)
{
    int64_t timeout_ns = queue_timeout_ns(ctx->bh_head, -1);

    /* Only the home thread takes from the stack, so its nodes stay while it looks at them. */
    return queue_timeout_ns(atomic_load(&ctx->bh_incoming), timeout_ns);
}

bool aio_bh_queued(AioContext *ctx)
{
    return ctx->bh_head || atomic_load_explicit(&ctx->bh_incoming, memory_order_relaxed);
}

void aio_bh_cleanup(AioContext *ctx)
{
    unsigned flags = 0;
    QEMUBH *bh;

    for (;;) {
        /* A oneshot may schedule another. */
        take_incoming(ctx);
        bh = take_first(ctx, &flags);
        if (!bh) {
            return;
        }
        if (flags & BH_ONESHOT) {
            run(bh, flags);
        }
        if (flags & (BH_ONESHOT | BH_DELETED)) {
            bh_free(bh, flags);
        }
    }
}

void aio_bh_foreach_source(AioContext *ctx, AioSourceFunc *func, void *opaque)
{
    AioSourceInfo info = { .fd = -1, .deadline_ns = -1 };

    pthread_mutex_lock(&ctx->lock);
    for (QEMUBH *bh = ctx->bhs; bh; bh = bh->next_source) {
        info.kind = AIO_SOURCE_BH;
        info.name = bh->name;
        info.calls = counter_get(&bh->counters.calls);
        info.total_ns = counter_get(&bh->counters.total_ns);
        info.max_ns = counter_get(&bh->counters.max_ns);
        func(&info, opaque);
    }
    pthread_mutex_unlock(&ctx->lock);

    info.kind = AIO_SOURCE_ONESHOT_BH;
    info.name = "oneshot";
    info.calls = counter_get(&ctx->oneshot_counters.calls);
    info.total_ns = counter_get(&ctx->oneshot_counters.total_ns);
    info.max_ns = counter_get(&ctx->oneshot_counters.max_ns);
    func(&info, opaque);
}
