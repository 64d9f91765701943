/*
 * The operations of a relay: what takes several steps, on several loops.
 *
 * There is one at a time, in the order in which they were asked for; each begins and ends in the
 * owner's thread. So nothing else reaches for a worker that is about to go.
 */
#ifndef OBJECTS_RELAY_RELAY_OPERATION_H
#define OBJECTS_RELAY_RELAY_OPERATION_H

#include "objects/relay/relay-internal.h"

struct RelayOp {
    Relay *relay;
    void (*start)(RelayOp *op);
    QEMUBHFunc *done; /* or NULL */
    void *opaque;
    QEMUBHFunc *detached;  /* of relay_op_detach_listener() */
    atomic_size_t pending; /* bottom halves that are to run before the last step */

    /* Of a move: */
    AioContext **contexts; /* references */
    int *epolls;           /* for a new worker on each, -1 once used */
    size_t n_contexts;
    RelayWorker **workers; /* the new ones */
    RelayWorker **leaving;
    size_t n_leaving;

    /* Of the end: */
    int64_t drain_until_ns;
    RelayFrozen *frozen; /* what is to go on elsewhere; or NULL */
    RelayFrozenFunc *frozen_done;
};

/* What a bottom half of an operation needs, and frees. */
typedef struct RelayStep {
    RelayOp *op;
    RelayWorker *worker;
    RelayList list;
    int64_t drain_until_ns;
    GArray *frozen;
} RelayStep;

/* An operation that begins by @start. */
RelayOp *relay_op_new(Relay *relay, void (*start)(RelayOp *op), QEMUBHFunc *done, void *opaque);

/* Start it, when those before it are over. */
void relay_op_queue(RelayOp *op);

/* The first operation is over, and is freed; the next one starts. */
void relay_op_finish(Relay *relay);

/* A step of @op for @worker, to be filled in; and have @func, a bottom half that is called @name,
 * called with it on @ctx. */
RelayStep *relay_step_new(RelayOp *op, RelayWorker *worker);
void relay_step_schedule(RelayStep *step, AioContext *ctx, QEMUBHFunc *func, const char *name);

/* Stop accepting, then call @next with @op in the owner's thread. The listener is where it was; all
 * that it has accepted are with their workers, as far as what is scheduled from then on can see. */
void relay_op_detach_listener(RelayOp *op, QEMUBHFunc *next);

/* Let go of what a move has been given. */
void relay_op_release_contexts(RelayOp *op);

#endif
