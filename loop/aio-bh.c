/*
 * Bottom halves.
 *
 * Whoever schedules one pushes it on a lock-free stack (ctx->bh_incoming) unless it is queued
 * already, which BH_PENDING says. The home thread takes the whole stack at once, turns it round,
 * and runs it in order; what its callbacks schedule it appends to the next pass's queue without a
 * push. From the moment one is taken off its queue it can be scheduled again, so one that schedules
 * itself runs in the next pass. Deleting is a push too: the home thread frees, so a callback can
 * delete its own bottom half.
 */
#include "config.h"
#include "loop/aio-internal.h"
#include "loop/bh-pool.h"

enum {
    BH_PENDING = 1 << 0,   /* on bh_incoming or in one of the home thread's queues */
    BH_SCHEDULED = 1 << 1, /* to be called */
    BH_IDLE = 1 << 2,      /* to be called; unless BH_SCHEDULED too, that is no progress */
    BH_DELETED = 1 << 3,   /* to be freed, not called */
    BH_ONESHOT = 1 << 4,   /* to be freed after its call */
    BH_CALL = BH_SCHEDULED | BH_IDLE,
};

static const int64_t idle_timeout_ns = 10 * SCALE_MS;

struct QEMUBH {
    QEMUBH *next; /* in bh_incoming, then in the home thread's queues */
    AioContext *ctx;
    QEMUBHFunc *cb;
    void *opaque;
    const char *name;
    _Atomic unsigned flags;
};

/* One that aio_bh_schedule_oneshot() has made. Nobody else ever refers to it, so its flags stay. */
typedef struct OneshotBH {
    QEMUBH bh;
    BHSlab *slab;
} OneshotBH;

G_STATIC_ASSERT(sizeof(OneshotBH) <= BH_POOL_NODE_SIZE);

/* One that aio_bh_new() has made. */
struct LastingBH {
    QEMUBH bh;
    LastingBH *prev_source, *next_source; /* in ctx->bhs, guarded by ctx->lock */
    AioCounters counters;
    unsigned running; /* home thread: calls in progress, more than one when nested */
    bool doomed;      /* home thread: deleted meanwhile, to be freed when the last one returns */
};

/* What a pass does for all that it calls: what went on before, and the oneshots that were called,
 * whose memory is given back together. */
typedef struct BHPass {
    AioContext *ctx;
    AioContext *outer_context; /* whose callback called for this, or NULL */
    ActivityScope outer;
    BHSlab *slab; /* of the last n_called oneshots */
    unsigned n_called;
} BHPass;

static void bh_init(QEMUBH *bh, AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name,
                    unsigned flags)
{
    bh->ctx = ctx;
    bh->cb = cb;
    bh->opaque = opaque;
    bh->name = name;
    /* Relaxed: published by the push, or by the caller who hands it on. */
    atomic_store_explicit(&bh->flags, flags, memory_order_relaxed);
}

/* ---- queues: home thread ---- */

/* Append the list from @head to @tail. */
static void append(BHQueue *queue, QEMUBH *head, QEMUBH *tail)
{
    if (queue->tail) {
        queue->tail->next = head;
    } else {
        queue->head = head;
    }
    queue->tail = tail;
}

/* Append what has come in to those of the next pass, the first scheduled first. */
static void take_incoming(AioContext *ctx)
{
    QEMUBH *head = NULL;
    QEMUBH *tail;
    QEMUBH *bh;

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
    append(&ctx->bh_next, head, tail);
}

/* Begin to run what has been scheduled so far. */
static void take_next(AioContext *ctx)
{
    take_incoming(ctx);
    if (ctx->bh_next.head) {
        append(&ctx->bh_now, ctx->bh_next.head, ctx->bh_next.tail);
        ctx->bh_next = (BHQueue){ 0 };
    }
}

/* ---- scheduling: any thread ---- */

/* The context whose bottom halves this thread is running. */
static _Thread_local AioContext *running_context;

/* What a callback schedules on the context that runs it. After what came in before, which this
 * thread may have scheduled too. */
static void push_own(AioContext *ctx, QEMUBH *bh)
{
    take_incoming(ctx);
    bh->next = NULL;
    append(&ctx->bh_next, bh, bh);
}

/* From the return on a deleted or oneshot bottom half may be gone. Sequentially consistent, for
 * aio_notify_waiting(). */
static void push_new(AioContext *ctx, QEMUBH *bh)
{
    QEMUBH *head;

    if (running_context == ctx) {
        push_own(ctx, bh);
        return;
    }
    head = atomic_load_explicit(&ctx->bh_incoming, memory_order_relaxed);
    do {
        bh->next = head;
    } while (!atomic_compare_exchange_weak(&ctx->bh_incoming, &head, bh));
}

static void push(QEMUBH *bh, unsigned new_flags)
{
    /* Sequentially consistent, as the push is. Besides, a scheduler whose push was done by another
     * one hands its writes on to the home thread through the flags. */
    if (!(atomic_fetch_or(&bh->flags, BH_PENDING | new_flags) & BH_PENDING)) {
        push_new(bh->ctx, bh);
    }
}

QEMUBH *aio_bh_new_full(AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name)
{
    LastingBH *lasting = g_new0(LastingBH, 1);

    bh_init(&lasting->bh, ctx, cb, opaque, name, 0);
    pthread_mutex_lock(&ctx->lock);
    lasting->next_source = ctx->bhs;
    if (ctx->bhs) {
        ctx->bhs->prev_source = lasting;
    }
    ctx->bhs = lasting;
    pthread_mutex_unlock(&ctx->lock);
    return &lasting->bh;
}

void aio_bh_schedule_oneshot_full(AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name)
{
    BHSlab *slab;
    OneshotBH *oneshot = bh_pool_get(&slab);

    oneshot->slab = slab;
    bh_init(&oneshot->bh, ctx, cb, opaque, name, BH_PENDING | BH_SCHEDULED | BH_ONESHOT);
    push_new(ctx, &oneshot->bh);
    aio_notify_waiting(ctx);
}

void qemu_bh_schedule(QEMUBH *bh)
{
    AioContext *ctx = bh->ctx;

    push(bh, BH_SCHEDULED);
    aio_notify_waiting(ctx);
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
        AioContext *ctx = bh->ctx;

        push(bh, BH_DELETED);
        /* It keeps no loop from sleeping, so a waiting one would not see why it was woken. */
        aio_notify(ctx);
    }
}

/* ---- running: home thread ---- */

static void lasting_free(LastingBH *lasting)
{
    AioContext *ctx = lasting->bh.ctx;

    pthread_mutex_lock(&ctx->lock);
    if (lasting->prev_source) {
        lasting->prev_source->next_source = lasting->next_source;
    } else {
        ctx->bhs = lasting->next_source;
    }
    if (lasting->next_source) {
        lasting->next_source->prev_source = lasting->prev_source;
    }
    pthread_mutex_unlock(&ctx->lock);
    g_free(lasting);
}

static QEMUBH *take_first(BHQueue *queue)
{
    QEMUBH *bh = queue->head;

    if (bh) {
        queue->head = bh->next;
        if (!queue->head) {
            queue->tail = NULL;
        }
        /* Another thread has written it, and a call is time enough to fetch it. */
        __builtin_prefetch(queue->head);
    }
    return bh;
}

/* What @bh was taken off the queue for; from now on it can be scheduled again. */
static unsigned take_flags(QEMUBH *bh)
{
    unsigned flags = atomic_load_explicit(&bh->flags, memory_order_relaxed);

    if (flags & BH_ONESHOT) {
        return flags;
    }
    return atomic_exchange_explicit(&bh->flags, 0, memory_order_acq_rel);
}

static void pass_begin(BHPass *pass, AioContext *ctx)
{
    *pass = (BHPass){ .ctx = ctx, .outer_context = running_context };
    running_context = ctx;
    activity_save(ctx->activity, &pass->outer);
}

static void give_back(BHPass *pass)
{
    if (pass->n_called > 0) {
        bh_pool_put(pass->slab, pass->n_called);
        pass->n_called = 0;
    }
}

static void pass_end(BHPass *pass)
{
    running_context = pass->outer_context;
    activity_restore(pass->ctx->activity, &pass->outer);
    give_back(pass);
}

/* A function of its own, so that call() needs not keep for it what it needs. */
__attribute__((cold, noinline)) static void trace_call(AioContext *ctx, QEMUBH *bh,
                                                       int64_t begin_ns)
{
    /* Relaxed: a oneshot's flags stay. */
    unsigned flags = atomic_load_explicit(&bh->flags, memory_order_relaxed);
    AioTraceKind kind = flags & BH_ONESHOT ? AIO_TRACE_ONESHOT_BH : AIO_TRACE_BH;

    activity_trace_call(ctx->activity, begin_ns, (ActivityCall){ bh->name, kind, -1 });
}

static void call(BHPass *pass, QEMUBH *bh, AioCounters *counters)
{
    AioContext *ctx = pass->ctx;
    int64_t begin_ns = activity_call_next(ctx->activity, bh->name);

    bh->cb(bh->opaque);
    counters_record(counters, activity_account(ctx->activity) - begin_ns);
    if (activity_is_traced(ctx->activity)) {
        trace_call(ctx, bh, begin_ns);
    }
    counter_add(&ctx->bh_callbacks, 1);
}

static void run_oneshot(BHPass *pass, QEMUBH *bh)
{
    OneshotBH *oneshot = (OneshotBH *)bh;

    call(pass, bh, &pass->ctx->oneshot_counters);
    if (oneshot->slab != pass->slab) {
        give_back(pass);
        pass->slab = oneshot->slab;
    }
    pass->n_called++;
}

/* Call it or free it. A nested pass in its callback may come to delete it: then it stays until it
 * returns. */
static void run_lasting(BHPass *pass, QEMUBH *bh, unsigned flags)
{
    LastingBH *lasting = (LastingBH *)bh;

    if (flags & BH_DELETED) {
        lasting->doomed = true;
    } else if (flags & BH_CALL) {
        lasting->running++;
        call(pass, bh, &lasting->counters);
        lasting->running--;
    }
    if (lasting->doomed && lasting->running == 0) {
        lasting_free(lasting);
    }
}

int aio_bh_poll(AioContext *ctx)
{
    bool progress = false;
    BHPass pass;
    QEMUBH *bh;

    /* A nested pass goes on with what the outer one has left in the queue, and empties it. */
    take_next(ctx);
    if (!ctx->bh_now.head) {
        return false;
    }
    pass_begin(&pass, ctx);
    while ((bh = take_first(&ctx->bh_now))) {
        unsigned flags = take_flags(bh);

        progress |= (flags & BH_SCHEDULED) && !(flags & BH_DELETED);
        if (flags & BH_ONESHOT) {
            run_oneshot(&pass, bh);
        } else {
            run_lasting(&pass, bh, flags);
        }
    }
    pass_end(&pass);
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
    int64_t timeout_ns = queue_timeout_ns(ctx->bh_now.head, -1);

    timeout_ns = queue_timeout_ns(ctx->bh_next.head, timeout_ns);
    /* Only the home thread takes from the stack, so its nodes stay while it looks at them. */
    return queue_timeout_ns(atomic_load(&ctx->bh_incoming), timeout_ns);
}

bool aio_bh_queued(AioContext *ctx)
{
    return ctx->bh_now.head || ctx->bh_next.head ||
           atomic_load_explicit(&ctx->bh_incoming, memory_order_relaxed);
}

void aio_bh_cleanup(AioContext *ctx)
{
    BHPass pass;
    QEMUBH *bh;

    pass_begin(&pass, ctx);
    for (;;) {
        unsigned flags;

        /* A oneshot may schedule another. */
        take_next(ctx);
        bh = take_first(&ctx->bh_now);
        if (!bh) {
            break;
        }
        flags = take_flags(bh);
        if (flags & BH_ONESHOT) {
            run_oneshot(&pass, bh);
        } else if (flags & BH_DELETED) {
            run_lasting(&pass, bh, flags);
        }
    }
    pass_end(&pass);
}

void aio_bh_foreach_source(AioContext *ctx, AioSourceFunc *func, void *opaque)
{
    AioSourceInfo info = { .fd = -1, .deadline_ns = -1 };

    pthread_mutex_lock(&ctx->lock);
    for (LastingBH *lasting = ctx->bhs; lasting; lasting = lasting->next_source) {
        info.kind = AIO_SOURCE_BH;
        info.name = lasting->bh.name;
        info.calls = counter_get(&lasting->counters.calls);
        info.total_ns = counter_get(&lasting->counters.total_ns);
        info.max_ns = counter_get(&lasting->counters.max_ns);
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
