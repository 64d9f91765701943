/*
 * Going over to other contexts, and the end of a relay.
 *
 * Both are operations in steps, one at a time, that begin and end in the owner's thread; so nothing
 * else reaches for a worker that is about to go. Where there is one worker before and after, it
 * hands its epoll set on as it is, and the listener goes along. Else the listener stops first, in a
 * step of its own, for bottom halves may be on their way that take accepted clients to other
 * workers: what is scheduled after it runs after them. Then each worker that leaves gives up its
 * connections in its own thread, and bottom halves take them, one list for each new worker, to
 * their new threads.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

#include <unistd.h>

typedef enum {
    OP_MOVE,
    OP_PARAMS,
    OP_DELETE,
} OpKind;

struct RelayOp {
    Relay *relay;
    OpKind kind;
    AioContext **contexts; /* references */
    int *epolls;           /* for a new worker on each, -1 once used */
    size_t n_contexts;
    int64_t drain_until_ns;
    QEMUBHFunc *done; /* or NULL */
    void *opaque;

    RelayWorker **workers; /* the new ones */
    RelayWorker **leaving;
    size_t n_leaving;
    atomic_size_t pending; /* bottom halves that are to run before the last step */
};

/* What a bottom half of a move needs. */
typedef struct RelayStep {
    RelayOp *op;
    RelayWorker *worker;
    RelayList list;
    int64_t drain_until_ns;
} RelayStep;

static void start_next(Relay *relay);

static void schedule_step(AioContext *ctx, QEMUBHFunc *func, RelayOp *op, RelayWorker *worker,
                          const RelayList *list, const char *name)
{
    RelayStep *step = g_new0(RelayStep, 1);

    step->op = op;
    step->worker = worker;
    if (list) {
        step->list = *list;
    }
    aio_bh_schedule_oneshot_full(ctx, func, step, name);
}

/* ---- parameters ---- */

static void params_changed(RelayOp *op)
{
    Relay *relay = op->relay;

    for (size_t i = 0; i < relay->n_workers; i++) {
        aio_bh_schedule_oneshot(relay->workers[i]->ctx, relay_worker_params_changed,
                                relay->workers[i]);
    }
    /* Whatever comes next is scheduled behind these. */
    start_next(relay);
}

/* ---- moving ---- */

static bool contains(RelayWorker *const *workers, size_t n, const RelayWorker *worker)
{
    for (size_t i = 0; i < n; i++) {
        if (workers[i] == worker) {
            return true;
        }
    }
    return false;
}

static int steal_fd(int *fd)
{
    int stolen = *fd;

    *fd = -1;
    return stolen;
}

/* The worker for the @n-th context, when those before have theirs. */
static RelayWorker *worker_for(RelayOp *op, size_t n)
{
    Relay *relay = op->relay;
    AioContext *ctx = op->contexts[n];

    for (size_t i = 0; i < relay->n_workers; i++) {
        if (relay->workers[i]->ctx == ctx && !contains(op->workers, n, relay->workers[i])) {
            return relay->workers[i];
        }
    }
    return relay_worker_new(relay, ctx, steal_fd(&op->epolls[n]));
}

static void moved(void *opaque)
{
    RelayOp *op = opaque;
    Relay *relay = op->relay;

    for (size_t i = 0; i < op->n_leaving; i++) {
        relay_stats_add(&relay->past, &op->leaving[i]->counters);
        relay_worker_free(op->leaving[i]);
    }
    g_free(op->leaving);
    g_free(relay->workers);
    relay->workers = op->workers;
    relay->n_workers = op->n_contexts;
    start_next(relay);
}

/* One of the bottom halves that moved() waits for has run. */
static void step_done(RelayOp *op)
{
    /* What each has done is seen by the owner. */
    if (atomic_fetch_sub_explicit(&op->pending, 1, memory_order_acq_rel) == 1) {
        aio_bh_schedule_oneshot_full(op->relay->owner, moved, op, "relay_moved");
    }
}

static void attach_listener(void *opaque)
{
    g_autofree RelayStep *step = opaque;

    relay_listener_attach(step->op->relay->listener, step->op->workers, step->op->n_contexts);
    step_done(step->op);
}

static void arrive(void *opaque)
{
    g_autofree RelayStep *step = opaque;

    relay_worker_take_in(step->worker, &step->list);
    step_done(step->op);
}

static void take_over(void *opaque)
{
    g_autofree RelayStep *step = opaque;

    relay_worker_take_over(step->op->workers[0], step->worker);
    relay_listener_attach(step->op->relay->listener, step->op->workers, 1);
    step_done(step->op);
}

/* The only worker gives all that there is, the listener too, to the only new one. */
static void leave_to_one(void *opaque)
{
    g_autofree RelayStep *step = opaque;
    RelayOp *op = step->op;

    relay_listener_detach(op->relay->listener);
    relay_worker_leave(step->worker, op->workers[0]);
    schedule_step(op->workers[0]->ctx, take_over, op, step->worker, NULL, "relay_take_over");
}

/* Deal the connections of the worker out to the new ones. The listener has been detached. */
static void leave(void *opaque)
{
    g_autofree RelayStep *step = opaque;
    RelayOp *op = step->op;
    g_autofree RelayList *lists = g_new0(RelayList, op->n_contexts);

    relay_worker_evacuate(step->worker, op->workers, op->n_contexts, lists);
    for (size_t i = 0; i < op->n_contexts; i++) {
        if (lists[i].head) {
            /* Relaxed: this step's own is pending still. */
            atomic_fetch_add_explicit(&op->pending, 1, memory_order_relaxed);
            schedule_step(op->workers[i]->ctx, arrive, op, op->workers[i], &lists[i],
                          "relay_arrive");
        }
    }
    step_done(op);
}

/* Those that leave do so, and the listener goes to the first of the new ones. */
static void move_workers(RelayOp *op)
{
    /* One for the listener. Relaxed: nobody else knows of the operation yet. */
    atomic_store_explicit(&op->pending, op->n_leaving + 1, memory_order_relaxed);
    schedule_step(op->workers[0]->ctx, attach_listener, op, NULL, NULL, "relay_attach");
    for (size_t i = 0; i < op->n_leaving; i++) {
        schedule_step(op->leaving[i]->ctx, leave, op, op->leaving[i], NULL, "relay_leave");
    }
}

static void start_move(RelayOp *op, void (*detach)(RelayOp *op))
{
    Relay *relay = op->relay;

    op->workers = g_new0(RelayWorker *, op->n_contexts);
    for (size_t i = 0; i < op->n_contexts; i++) {
        op->workers[i] = worker_for(op, i);
    }
    op->leaving = g_new0(RelayWorker *, relay->n_workers);
    for (size_t i = 0; i < relay->n_workers; i++) {
        if (!contains(op->workers, op->n_contexts, relay->workers[i])) {
            op->leaving[op->n_leaving++] = relay->workers[i];
        }
    }
    if (relay->n_workers == 1 && op->n_contexts == 1 && op->n_leaving == 1) {
        atomic_store_explicit(&op->pending, 1, memory_order_relaxed);
        schedule_step(relay->workers[0]->ctx, leave_to_one, op, relay->workers[0], NULL,
                      "relay_leave");
    } else {
        detach(op);
    }
}

/* ---- the end ---- */

static void deleted(RelayOp *op)
{
    Relay *relay = op->relay;
    QEMUBHFunc *done = op->done;
    void *opaque = op->opaque;

    for (size_t i = 0; i < relay->n_workers; i++) {
        relay_worker_free(relay->workers[i]);
    }
    g_queue_pop_head(&relay->ops);
    g_free(op);
    relay_unref(relay);
    done(opaque);
}

static void worker_is_drained(void *opaque)
{
    RelayOp *op = opaque;

    /* Relaxed: only the owner's thread counts here. */
    if (atomic_fetch_sub_explicit(&op->pending, 1, memory_order_relaxed) == 1) {
        deleted(op);
    }
}

void relay_worker_drained(RelayWorker *worker)
{
    Relay *relay = worker->relay;

    aio_bh_schedule_oneshot_full(relay->owner, worker_is_drained, relay->deletion, "relay_drained");
}

static void drain(void *opaque)
{
    g_autofree RelayStep *step = opaque;

    relay_worker_drain(step->worker, step->drain_until_ns);
}

static void drain_until(void *opaque)
{
    g_autofree RelayStep *step = opaque;

    relay_worker_drain_until(step->worker, step->drain_until_ns);
    relay_worker_drained(step->worker); /* as far as this step goes */
}

/* Have each worker call @func, which ends in relay_worker_drained(). */
static void schedule_drain(RelayOp *op, QEMUBHFunc *func)
{
    Relay *relay = op->relay;

    /* Relaxed: only the owner's thread counts here. */
    atomic_fetch_add_explicit(&op->pending, relay->n_workers, memory_order_relaxed);
    for (size_t i = 0; i < relay->n_workers; i++) {
        RelayStep *step = g_new0(RelayStep, 1);

        step->worker = relay->workers[i];
        step->drain_until_ns = op->drain_until_ns;
        aio_bh_schedule_oneshot_full(step->worker->ctx, func, step, "relay_drain");
    }
}

static void drain_workers(RelayOp *op)
{
    Relay *relay = op->relay;

    relay_stats_add(&relay->past, &relay->listener->counters);
    relay_listener_free(relay->listener, true);
    relay->listener = NULL;
    relay->deletion = op;
    schedule_drain(op, drain);
}

/* ---- operations ---- */

static void listener_is_out(void *opaque)
{
    RelayOp *op = opaque;

    if (op->kind == OP_DELETE) {
        drain_workers(op);
    } else {
        move_workers(op);
    }
}

static void take_listener_out(void *opaque)
{
    RelayOp *op = opaque;

    relay_listener_detach(op->relay->listener);
    aio_bh_schedule_oneshot_full(op->relay->owner, listener_is_out, op, "relay_listener_is_out");
}

static void detach_listener(RelayOp *op)
{
    aio_bh_schedule_oneshot_full(op->relay->workers[0]->ctx, take_listener_out, op, "relay_detach");
}

static void start(RelayOp *op)
{
    switch (op->kind) {
    case OP_MOVE:
        start_move(op, detach_listener);
        break;
    case OP_PARAMS:
        params_changed(op);
        break;
    case OP_DELETE:
        detach_listener(op);
        break;
    }
}

static void release_contexts(RelayOp *op)
{
    for (size_t i = 0; i < op->n_contexts; i++) {
        aio_context_unref(op->contexts[i]);
        if (op->epolls[i] >= 0) {
            close(op->epolls[i]);
        }
    }
    g_free(op->contexts);
    g_free(op->epolls);
}

/* The first operation is over. */
static void start_next(Relay *relay)
{
    RelayOp *op = g_queue_pop_head(&relay->ops);
    RelayOp *next = g_queue_peek_head(&relay->ops);

    if (next) {
        start(next);
    }
    release_contexts(op);
    if (op->done) {
        op->done(op->opaque);
    }
    g_free(op);
}

static RelayOp *op_new(Relay *relay, OpKind kind, QEMUBHFunc *done, void *opaque)
{
    RelayOp *op = g_new0(RelayOp, 1);

    op->relay = relay;
    op->kind = kind;
    op->done = done;
    op->opaque = opaque;
    return op;
}

static void queue(RelayOp *op)
{
    g_queue_push_tail(&op->relay->ops, op);
    if (g_queue_peek_head(&op->relay->ops) == op) {
        start(op);
    }
}

bool relay_set_contexts(Relay *relay, AioContext *const *contexts, size_t n_contexts,
                        QEMUBHFunc *done, void *opaque, GError **errp)
{
    RelayOp *op = op_new(relay, OP_MOVE, done, opaque);

    op->contexts = g_new(AioContext *, n_contexts);
    op->epolls = g_new(int, n_contexts);
    while (op->n_contexts < n_contexts) {
        int epoll = relay_worker_open(errp);

        if (epoll < 0) {
            release_contexts(op);
            g_free(op);
            return false;
        }
        aio_context_ref(contexts[op->n_contexts]);
        op->contexts[op->n_contexts] = contexts[op->n_contexts];
        op->epolls[op->n_contexts++] = epoll;
    }
    queue(op);
    return true;
}

void relay_params_changed(Relay *relay)
{
    queue(op_new(relay, OP_PARAMS, NULL, NULL));
}

void relay_delete(Relay *relay, int64_t drain_timeout_ms, QEMUBHFunc *done, void *opaque)
{
    RelayOp *op = op_new(relay, OP_DELETE, done, opaque);

    op->drain_until_ns = relay_now_ns() + drain_timeout_ms * SCALE_MS;
    queue(op);
}

void relay_set_drain_timeout(Relay *relay, int64_t drain_timeout_ms)
{
    RelayOp *op = g_queue_peek_tail(&relay->ops);

    g_assert(op && op->kind == OP_DELETE);
    op->drain_until_ns = relay_now_ns() + drain_timeout_ms * SCALE_MS;
    if (relay->deletion) {
        schedule_drain(op, drain_until);
    }
}

void relay_add_moving_stats(Relay *relay, RelayStats *stats)
{
    RelayOp *op = g_queue_peek_head(&relay->ops);

    for (size_t i = 0; op && op->workers && i < op->n_contexts; i++) {
        if (!contains(relay->workers, relay->n_workers, op->workers[i])) {
            relay_stats_add(stats, &op->workers[i]->counters);
        }
    }
}
