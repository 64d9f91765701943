/*
 * The seam between an AioContext and what tells it which descriptors are ready.
 *
 * A monitor is a table of operations and its private part of the context. Adding one is a file
 * with such a table and a line in fdmon.c.
 */
#ifndef LOOP_FDMON_H
#define LOOP_FDMON_H

#include "loop/aio.h"

typedef struct AioHandler AioHandler;

typedef struct FDMonOps {
    const char *name;
    AioFdMon kind;

    /* ready_now() sees every kind of readiness, so the loop can poll with it in user space. */
    bool peeks;

    /* Acquire what the monitor needs; false and @errp when it can't be had. On failure nothing is
     * left to tear down. */
    bool (*setup)(AioContext *ctx, GError **errp);

    /* Release it; called once after a successful setup, when nobody uses @ctx any more. The
     * handlers that are left are freed after this. */
    void (*teardown)(AioContext *ctx);

    /*
     * The handler of one descriptor changed from @old_handler to @new_handler; NULL stands for
     * none. Called with ctx->lock held, in any thread, after the handler table was changed. The
     * change must take effect before the loop blocks again, also when it is blocked now.
     */
    void (*update)(AioContext *ctx, AioHandler *old_handler, AioHandler *new_handler);

    /* The loop is about to compute its timeout. Report what can be known without waiting; with
     * @submit tell the kernel all that wait() would have told it, for it won't be wait() that
     * waits. NULL when there is nothing to do. Home thread, no lock held. */
    void (*prepare)(AioContext *ctx, bool submit);

    /* @handler is not ready any more as far as it was reported: its callbacks have run, or it was
     * removed. NULL when that makes no difference. Home thread. */
    void (*dispatched)(AioContext *ctx, AioHandler *handler);

    /* The home thread gives the context up. NULL when that makes no difference. Home thread. */
    void (*leave)(AioContext *ctx);

    /* Wait up to @timeout_ns (-1: for ever) and pass each ready handler to aio_handler_ready().
     * Returns early on a signal. Home thread, no lock held. */
    void (*wait)(AioContext *ctx, int64_t timeout_ns);

    /* Whether wait() would find something at once, known without a system call. Home thread. */
    bool (*ready_now)(AioContext *ctx);

    /* The one descriptor that is readable when any handler is ready, or -1 when each descriptor
     * has to be polled. Any thread. */
    int (*get_fd)(AioContext *ctx);
} FDMonOps;

extern const FDMonOps fdmon_io_uring_ops;
extern const FDMonOps fdmon_epoll_ops;
extern const FDMonOps fdmon_poll_ops;

/*
 * Choose a monitor and set it up: the one that @fdmon or, with AIO_FDMON_AUTO, the environment
 * variable EVLOOP_FDMON names, else the best that works.
 */
bool fdmon_setup(AioContext *ctx, AioFdMon fdmon, GError **errp);

/* Say that @system_call failed with the errno @error, for a monitor's setup(): AIO_ERROR_SYSTEM
 * when the system is out of descriptors, for the next monitor would want one too, else
 * AIO_ERROR_FDMON. */
void fdmon_set_error(GError **errp, const char *system_call, int error);

/* Go over to the "poll" monitor, which nothing limits, because the present one can't take a
 * descriptor, with the errno @error, and say so in the log. With ctx->lock held, in any thread. */
void fdmon_downgrade(AioContext *ctx, int error);

/* The name of @fdmon as users write it. */
const char *fdmon_name(AioFdMon fdmon);

#endif
