/*
 * The io_uring of a context: one ring for the polls of its fd monitor (fdmon-io_uring.c) and for
 * its users' requests (aio-request.c).
 *
 * The submission queue belongs to the home thread. Whoever has something for it in another thread
 * leaves it in a list and notifies; the home thread turns the lists into submissions before it
 * blocks. Completions are told apart by the low bits of their user_data.
 */
#ifndef LOOP_RING_H
#define LOOP_RING_H

#include <liburing.h>

#include "loop/aio-internal.h"

/* The kind of a completion, in the low bits of the address in its user_data. */
enum {
    RING_TAG_REQUEST, /* a CqeHandler; 0, so that its address is its user_data */
    RING_TAG_POLL,    /* an AioHandler */
    RING_TAG_NONE,    /* nobody minds it */
    RING_TAG_MASK = 3,
};

/* What a request completed with, until its callback is called. */
typedef struct Completion {
    CqeHandler *handler;
    int32_t res;
    uint32_t flags;
} Completion;

struct AioRing {
    struct io_uring uring; /* home thread */
    bool taskrun_is_stale; /* home thread: see ring_enter() */
    unsigned cq_entries;   /* home thread: that were asked for */

    /* Polls: handlers to be armed or, when they were taken out, disarmed. */
    AioHandler *changes; /* by any thread, last first; guarded by ctx->lock */
    atomic_bool has_changes;
    AioHandler *todo_head, *todo_tail; /* home thread, as the next */
    unsigned n_armed, n_todo;
    unsigned crowded_at; /* the sum of both above which a larger ring is wanted */

    /* Levels: handlers that were reported and not yet seen silent. Home thread. */
    AioHandler **look;
    struct pollfd *look_fds; /* one for each of them, in a look */
    size_t n_look, max_look;
    bool to_look; /* one of them was called */

    /* Requests. */
    _Atomic(CqeHandler *) incoming; /* made by other threads, last first */
    CqeHandler *in_flight;          /* home thread, as all below */
    unsigned n_queued;              /* in the submission queue */
    Completion *completions;        /* not yet called: a circular buffer */
    size_t first_completion, n_completions, max_completions;
};

/* Make the ring; false and @errp when it can't be had: AIO_ERROR_FDMON when that is the system's
 * way, AIO_ERROR_SYSTEM when it is out of descriptors. */
bool ring_open(AioContext *ctx, GError **errp);

/* Put a ring whose completion queue holds @n_wanted in its place, when that can be had. What the
 * old one has completed is handed out first; polls that are armed after that are gone. Requests may
 * not be in flight. Home thread. */
bool ring_grow(AioContext *ctx, unsigned n_wanted);

/* Close it. Polls that are left are cancelled, requests must have ended. */
void ring_close(AioContext *ctx);

/* A submission to fill, all zeros, with @user_data; NULL when the queue is full and the kernel
 * takes none at present. Home thread. */
struct io_uring_sqe *ring_get_sqe(AioRing *ring);

/* Submit what is in the queue, and wait up to @timeout_ns (0: don't, -1: for ever) until there is a
 * completion. Makes no system call when it need not. Home thread. */
void ring_enter(AioRing *ring, int64_t timeout_ns);

/* Hand out the completions that are there. Home thread. */
void ring_reap(AioContext *ctx);

/* Have the kernel cancel all polls and requests, and hand out what has completed. Home thread. */
void ring_cancel_all(AioContext *ctx);

/* Whether ring_enter() and ring_reap() would find a completion. Home thread. */
bool ring_has_completions(AioRing *ring);

/* ---- polls (fdmon-io_uring.c) ---- */

void ring_poll_completed(AioContext *ctx, AioHandler *handler, int res, unsigned flags);

/* Make the kernel's view of @handler what it ought to be, before the next wait. Home thread. */
void ring_poll_todo(AioRing *ring, AioHandler *handler);

/* Queue the cancellation of each poll that is armed. Home thread. */
void ring_disarm_polls(AioContext *ctx);

/* ---- levels (ring-level.c) ---- */

/* The poll of @handler has reported something. Home thread, as all below. */
void ring_level_completed(AioRing *ring, AioHandler *handler);

/* The callbacks of @handler have returned, or it was removed before they were called. */
void ring_level_dispatched(AioContext *ctx, AioHandler *handler);

/* Report those that are still ready. All completions that there are were handed out before. */
void ring_level_look(AioContext *ctx);

/* Whether @handler is not to be armed, because it is looked at before each wait. */
bool ring_level_is_busy(const AioHandler *handler);

/* ---- requests (aio-request.c) ---- */

/* Put what other threads have made into the submission queue. Home thread. */
void ring_take_requests(AioContext *ctx);

/* Queue the cancellation of each request in flight. False when the kernel does not take them all at
 * present. Home thread. */
bool ring_cancel_requests(AioRing *ring);

void ring_request_completed(AioRing *ring, CqeHandler *handler, int res, unsigned flags);

#endif
