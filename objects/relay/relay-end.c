/*
 * The end of a relay: its connections finish, or are broken off when their time is over, or are
 * frozen, to go on elsewhere.
 *
 * To freeze is to drain without an end in time, and to take out what drains.
 */
#include "config.h"
#include "objects/relay/relay-operation.h"

static void end(RelayOp *op)
{
    Relay *relay = op->relay;

    for (size_t i = 0; i < relay->n_workers; i++) {
        relay_stats_add(&relay->past, &relay->workers[i]->counters);
        relay_worker_free(relay->workers[i]);
    }
    g_queue_pop_head(&relay->ops);
    if (op->frozen) {
        op->frozen->stats = relay->past;
        /* Relaxed: those who counted have said that they are done. */
        op->frozen->last_id = atomic_load_explicit(&relay->next_id, memory_order_relaxed);
        relay_frozen_add_down(op->frozen, relay->targets);
    }
    relay_unref(relay);
    if (op->frozen) {
        op->frozen_done(op->opaque, op->frozen);
    } else {
        op->done(op->opaque);
    }
    g_free(op);
}

static void step_is_done(void *opaque)
{
    RelayOp *op = opaque;

    /* Relaxed: only the owner's thread counts here. */
    if (atomic_fetch_sub_explicit(&op->pending, 1, memory_order_relaxed) == 1) {
        end(op);
    }
}

void relay_worker_drained(RelayWorker *worker)
{
    Relay *relay = worker->relay;

    aio_bh_schedule_oneshot_full(relay->owner, step_is_done, relay->deletion, "relay_drained");
}

/* ---- draining ---- */

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

/* ---- freezing ---- */

static void take_frozen(void *opaque)
{
    g_autofree RelayStep *step = opaque;

    relay_frozen_add(step->op->frozen, step->frozen);
    step_is_done(step->op);
}

static void freeze(void *opaque)
{
    RelayStep *step = opaque;

    step->frozen = relay_worker_freeze(step->worker);
    relay_step_schedule(step, step->op->relay->owner, take_frozen, "relay_frozen");
}

/* ---- in all workers ---- */

/* Have each worker call @func, which ends in step_is_done(). */
static void schedule(RelayOp *op, QEMUBHFunc *func, const char *name)
{
    Relay *relay = op->relay;

    /* Relaxed: only the owner's thread counts here. */
    atomic_fetch_add_explicit(&op->pending, relay->n_workers, memory_order_relaxed);
    for (size_t i = 0; i < relay->n_workers; i++) {
        RelayStep *step = relay_step_new(op, relay->workers[i]);

        step->drain_until_ns = op->drain_until_ns;
        relay_step_schedule(step, step->worker->ctx, func, name);
    }
}

static void drain_workers(void *opaque)
{
    RelayOp *op = opaque;
    Relay *relay = op->relay;

    relay_stats_add(&relay->past, &relay->listener->counters);
    if (op->frozen) {
        relay_listener_freeze(relay->listener, op->frozen);
    } else {
        relay_listener_free(relay->listener);
    }
    relay->listener = NULL;
    relay->deletion = op;
    schedule(op, drain, "relay_drain");
    if (op->frozen) {
        schedule(op, freeze, "relay_freeze");
    }
}

static void start_end(RelayOp *op)
{
    relay_op_detach_listener(op, drain_workers);
}

void relay_delete(Relay *relay, int64_t drain_timeout_ms, QEMUBHFunc *done, void *opaque)
{
    RelayOp *op = relay_op_new(relay, start_end, done, opaque);

    op->drain_until_ns = relay_now_ns() + drain_timeout_ms * SCALE_MS;
    relay_op_queue(op);
}

void relay_freeze(Relay *relay, RelayFrozenFunc *done, void *opaque)
{
    RelayOp *op = relay_op_new(relay, start_end, NULL, opaque);

    op->drain_until_ns = INT64_MAX;
    op->frozen = relay_frozen_new();
    op->frozen_done = done;
    relay_op_queue(op);
}

void relay_set_drain_timeout(Relay *relay, int64_t drain_timeout_ms)
{
    RelayOp *op = g_queue_peek_tail(&relay->ops);

    g_assert(op && op->start == start_end && !op->frozen);
    op->drain_until_ns = relay_now_ns() + drain_timeout_ms * SCALE_MS;
    if (relay->deletion) {
        schedule(op, drain_until, "relay_drain");
    }
}
