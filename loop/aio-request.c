/*
 * Users' requests on the context's ring: aio_add_sqe().
 */
#include "config.h"
#include "loop/ring.h"

#include <errno.h>

bool aio_has_io_uring(AioContext *ctx)
{
    return ctx->ring != NULL;
}

/* ---- making them ---- */

static void link_in_flight(AioRing *ring, CqeHandler *handler)
{
    handler->prev = NULL;
    handler->next = ring->in_flight;
    if (handler->next) {
        handler->next->prev = handler;
    }
    ring->in_flight = handler;
}

static void unlink_in_flight(AioRing *ring, CqeHandler *handler)
{
    if (handler->prev) {
        handler->prev->next = handler->next;
    } else {
        ring->in_flight = handler->next;
    }
    if (handler->next) {
        handler->next->prev = handler->prev;
    }
}

static void add_completion(AioRing *ring, CqeHandler *handler, int res, unsigned flags)
{
    if (ring->n_completions == ring->max_completions) {
        size_t n = MAX(64, 2 * ring->max_completions);
        Completion *completions = g_new(Completion, n);

        for (size_t i = 0; i < ring->n_completions; i++) {
            completions[i] =
                ring->completions[(ring->first_completion + i) % ring->max_completions];
        }
        g_free(ring->completions);
        ring->completions = completions;
        ring->first_completion = 0;
        ring->max_completions = n;
    }
    ring->completions[(ring->first_completion + ring->n_completions++) % ring->max_completions] =
        (Completion){ .handler = handler, .res = res, .flags = flags };
}

/* Flags by which a request would have an effect on others, which may be the monitor's polls, or
 * would end unseen. */
#define REFUSED_FLAGS (IOSQE_IO_DRAIN | IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS)

/* Fill a submission. Returns 0, -EINVAL, or -EAGAIN when the kernel takes none at present. */
static int queue(AioContext *ctx, CqeHandler *handler)
{
    AioRing *ring = ctx->ring;
    struct io_uring_sqe request = { 0 };
    struct io_uring_sqe *sqe;
    int64_t max_batch;

    /* Not in the queue: what it calls may submit that. */
    handler->prep_sqe(&request, handler->opaque);
    if (request.flags & REFUSED_FLAGS) {
        return -EINVAL;
    }
    sqe = ring_get_sqe(ring);
    if (!sqe) {
        return -EAGAIN;
    }
    *sqe = request;
    sqe->user_data = (uintptr_t)handler | RING_TAG_REQUEST;
    link_in_flight(ring, handler);
    ring->n_queued++;
    /* Relaxed: a change of it may take effect later. */
    max_batch = atomic_load_explicit(&ctx->aio_max_batch, memory_order_relaxed);
    if (max_batch > 0 && ring->n_queued >= max_batch) {
        ring_enter(ring, 0);
    }
    return 0;
}

static void queue_or_fail(AioContext *ctx, CqeHandler *handler)
{
    int ret = queue(ctx, handler);

    if (ret != 0) {
        add_completion(ctx->ring, handler, ret, 0);
    }
}

static CqeHandler *take_incoming(AioRing *ring)
{
    CqeHandler *last = NULL;
    CqeHandler *first = NULL;

    /* Relaxed: whoever pushes notifies after, and that is looked at with an order. */
    if (!atomic_load_explicit(&ring->incoming, memory_order_relaxed)) {
        return NULL;
    }
    last = atomic_exchange_explicit(&ring->incoming, NULL, memory_order_acquire);
    while (last) {
        CqeHandler *next = last->next;

        last->next = first;
        first = last;
        last = next;
    }
    return first;
}

static void push_incoming(AioRing *ring, CqeHandler *handler)
{
    CqeHandler *head = atomic_load_explicit(&ring->incoming, memory_order_relaxed);

    /* Release: the handler is complete when the home thread takes it. */
    do {
        handler->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&ring->incoming, &head, handler,
                                                    memory_order_release, memory_order_relaxed));
}

void ring_take_requests(AioContext *ctx)
{
    CqeHandler *handler = take_incoming(ctx->ring);

    while (handler) {
        CqeHandler *next = handler->next;

        queue_or_fail(ctx, handler);
        handler = next;
    }
}

static void complete_without_ring(void *opaque)
{
    CqeHandler *handler = opaque;

    handler->res = -ENOSYS;
    handler->flags = 0;
    handler->cb(handler);
}

void aio_add_sqe_full(AioContext *ctx, AioPrepSqeFunc *prep_sqe, void *opaque, CqeHandler *handler,
                      const char *name)
{
    handler->prep_sqe = prep_sqe;
    handler->opaque = opaque;
    handler->name = name;
    if (!ctx->ring) {
        aio_bh_schedule_oneshot_full(ctx, complete_without_ring, handler, name);
    } else if (!in_aio_context_home_thread(ctx)) {
        push_incoming(ctx->ring, handler);
        aio_notify(ctx);
    } else {
        queue_or_fail(ctx, handler);
        aio_prepare_again(ctx);
    }
}

/* ---- completing them ---- */

void ring_request_completed(AioRing *ring, CqeHandler *handler, int res, unsigned flags)
{
    if (!(flags & IORING_CQE_F_MORE)) {
        unlink_in_flight(ring, handler);
    }
    add_completion(ring, handler, res, flags);
}

bool aio_requests_completed(AioContext *ctx)
{
    return ctx->ring && ctx->ring->n_completions > 0;
}

bool aio_dispatch_requests(AioContext *ctx)
{
    AioRing *ring = ctx->ring;
    size_t n = ring ? ring->n_completions : 0;
    bool progress = n > 0;

    /* Those that are there now; a nested pass may take some of them. */
    for (; n > 0 && ring->n_completions > 0; n--) {
        Completion completion = ring->completions[ring->first_completion];
        CqeHandler *handler = completion.handler;
        ActivityCall call = { handler->name, AIO_TRACE_REQUEST, -1 };
        ActivityScope scope;

        ring->first_completion = (ring->first_completion + 1) % ring->max_completions;
        ring->n_completions--;
        handler->res = completion.res;
        handler->flags = completion.flags;
        activity_call_begin(ctx->activity, &scope, call.name);
        handler->cb(handler);
        counters_record(&ctx->request_counters, activity_call_end(ctx->activity, &scope, call));
    }
    return progress;
}

/* ---- the end of a context ---- */

bool ring_cancel_requests(AioRing *ring)
{
    for (CqeHandler *handler = ring->in_flight; handler; handler = handler->next) {
        struct io_uring_sqe *sqe = ring_get_sqe(ring);

        if (!sqe) {
            return false;
        }
        io_uring_prep_cancel(sqe, handler, 0);
        sqe->user_data = RING_TAG_NONE;
    }
    return true;
}

bool aio_requests_finish(AioContext *ctx)
{
    AioRing *ring = ctx->ring;
    CqeHandler *handler;
    bool cancelled = false;

    if (!ring) {
        return false;
    }
    handler = take_incoming(ring);
    while (handler) {
        CqeHandler *next = handler->next;

        add_completion(ring, handler, -ECANCELED, 0);
        handler = next;
    }
    while (ring->in_flight) {
        cancelled = cancelled || ring_cancel_requests(ring);
        ring_enter(ring, cancelled ? -1 : 0);
        ring_reap(ctx);
    }
    return aio_dispatch_requests(ctx);
}

void aio_requests_foreach_source(AioContext *ctx, AioSourceFunc *func, void *opaque)
{
    AioSourceInfo info = {
        .kind = AIO_SOURCE_REQUEST,
        .name = "request",
        .fd = -1,
        .deadline_ns = -1,
        .calls = counter_get(&ctx->request_counters.calls),
        .total_ns = counter_get(&ctx->request_counters.total_ns),
        .max_ns = counter_get(&ctx->request_counters.max_ns),
    };

    if (ctx->ring) {
        func(&info, opaque);
    }
}
