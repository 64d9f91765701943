/*
 * Going over to other contexts.
 *
 * Where there is one worker before and after, it hands its epoll set on as it is, and the listener
 * goes along. Else the listener stops first, in a step of its own, for bottom halves may be on
 * their way that take accepted clients to other workers: what is scheduled after it runs after
 * them. Then each worker that leaves gives up its connections in its own thread, and bottom halves
 * take them, one list for each new worker, to their new threads.
 */
#include "config.h"
#include "objects/relay/relay-operation.h"

static void schedule_step(AioContext *ctx, QEMUBHFunc *func, RelayOp *op, RelayWorker *worker,
                          const RelayList *list, const char *name)
{
    RelayStep *step = relay_step_new(op, worker);

    if (list) {
        step->list = *list;
    }
    relay_step_schedule(step, ctx, func, name);
}

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
    relay_op_finish(relay);
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
static void move_workers(void *opaque)
{
    RelayOp *op = opaque;

    /* One for the listener. Relaxed: nobody else knows of the operation yet. */
    atomic_store_explicit(&op->pending, op->n_leaving + 1, memory_order_relaxed);
    schedule_step(op->workers[0]->ctx, attach_listener, op, NULL, NULL, "relay_attach");
    for (size_t i = 0; i < op->n_leaving; i++) {
        schedule_step(op->leaving[i]->ctx, leave, op, op->leaving[i], NULL, "relay_leave");
    }
}

static void start_move(RelayOp *op)
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
        relay_op_detach_listener(op, move_workers);
    }
}

bool relay_set_contexts(Relay *relay, AioContext *const *contexts, size_t n_contexts,
                        QEMUBHFunc *done, void *opaque, GError **errp)
{
    RelayOp *op = relay_op_new(relay, start_move, done, opaque);

    op->contexts = g_new(AioContext *, n_contexts);
    op->epolls = g_new(int, n_contexts);
    while (op->n_contexts < n_contexts) {
        int epoll = relay_worker_open(errp);

        if (epoll < 0) {
            relay_op_release_contexts(op);
            g_free(op);
            return false;
        }
        aio_context_ref(contexts[op->n_contexts]);
        op->contexts[op->n_contexts] = contexts[op->n_contexts];
        op->epolls[op->n_contexts++] = epoll;
    }
    relay_op_queue(op);
    return true;
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
