/*
 * The operations of a relay, one after the other.
 */
#include "config.h"
#include "objects/relay/relay-operation.h"

#include <unistd.h>

RelayOp *relay_op_new(Relay *relay, void (*start)(RelayOp *op), QEMUBHFunc *done, void *opaque)
{
    RelayOp *op = g_new0(RelayOp, 1);

    op->relay = relay;
    op->start = start;
    op->done = done;
    op->opaque = opaque;
    return op;
}

void relay_op_queue(RelayOp *op)
{
    g_queue_push_tail(&op->relay->ops, op);
    if (g_queue_peek_head(&op->relay->ops) == op) {
        op->start(op);
    }
}

void relay_op_release_contexts(RelayOp *op)
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

void relay_op_finish(Relay *relay)
{
    RelayOp *op = g_queue_pop_head(&relay->ops);
    RelayOp *next = g_queue_peek_head(&relay->ops);

    if (next) {
        next->start(next);
    }
    relay_op_release_contexts(op);
    if (op->done) {
        op->done(op->opaque);
    }
    g_free(op);
}

/* ---- steps ---- */

RelayStep *relay_step_new(RelayOp *op, RelayWorker *worker)
{
    RelayStep *step = g_new0(RelayStep, 1);

    step->op = op;
    step->worker = worker;
    return step;
}

void relay_step_schedule(RelayStep *step, AioContext *ctx, QEMUBHFunc *func, const char *name)
{
    aio_bh_schedule_oneshot_full(ctx, func, step, name);
}

static void take_listener_out(void *opaque)
{
    RelayOp *op = opaque;

    relay_listener_detach(op->relay->listener);
    aio_bh_schedule_oneshot_full(op->relay->owner, op->detached, op, "relay_listener_is_out");
}

void relay_op_detach_listener(RelayOp *op, QEMUBHFunc *next)
{
    op->detached = next;
    aio_bh_schedule_oneshot_full(op->relay->workers[0]->ctx, take_listener_out, op, "relay_detach");
}

/* ---- parameters ---- */

static void tell_workers(RelayOp *op)
{
    Relay *relay = op->relay;

    for (size_t i = 0; i < relay->n_workers; i++) {
        aio_bh_schedule_oneshot(relay->workers[i]->ctx, relay_worker_params_changed,
                                relay->workers[i]);
    }
    /* Whatever comes next is scheduled behind these. */
    relay_op_finish(relay);
}

void relay_params_changed(Relay *relay)
{
    relay_op_queue(relay_op_new(relay, tell_workers, NULL, NULL));
}
