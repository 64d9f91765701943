/*
 * The thread pool of a context: for work that blocks.
 *
 * A function that would make the loop wait (a look-up of a name, an open() on a file server) is
 * given to a worker, and its result comes back as a callback on the context. Each context has a
 * pool of its own, made by its first request, with as many workers as
 * aio_context_set_thread_pool_params() and the work ask for.
 *
 * The loop is never blocked: it passes requests on, and takes results, under a lock that is held
 * for a few instructions only. A submitter that finds no idle worker starts one, which costs it
 * some microseconds, but not while another start is under way: a worker that arrives and finds more
 * to do starts the next, so that a burst is rarely charged with more than one.
 *
 * A request goes to the worker that became idle last, else to a new one, else to the end of a
 * queue. An idle worker leaves when it has had nothing to do for THREAD_POOL_IDLE_S and there are
 * more than the minimum. Workers are called "pool-" and two numbers, their pool's and their own,
 * and have all signals blocked. They inherit the CPU affinity and the scheduling policy of the
 * thread that starts them, a submitter or another worker.
 */
#ifndef LOOP_THREAD_POOL_H
#define LOOP_THREAD_POOL_H

#include <stdbool.h>
#include <glib.h>

#include "loop/aio.h"

G_BEGIN_DECLS

/* How long an idle worker above the minimum stays, in seconds. */
#define THREAD_POOL_IDLE_S 10

typedef struct ThreadPoolRequest ThreadPoolRequest;

/* What a worker runs. What it returns is the request's result; by convention 0 or a negative
 * errno. */
typedef int ThreadPoolFunc(void *opaque);

/* What the context runs when a request is over: @result is what the function returned, -ECANCELED
 * when it was cancelled, or -EAGAIN when the system refused the pool its only thread. In the last
 * two cases the function is never called. */
typedef void ThreadPoolDoneFunc(void *opaque, int result);

/*
 * Call @func with @opaque in a worker of the pool of @ctx, then @done with @opaque on @ctx; never
 * before this call has returned in the home thread. Workers take requests in the order in which one
 * thread submits them, and @done is called in the order in which they end, once for each. A
 * request does not keep @ctx alive: see thread_pool_stop().
 *
 * The result is the handle of the request. It is the pool's, and valid until @done has returned:
 * in another thread than the home thread of @ctx that may be before this call returns. Any thread,
 * workers and threads without a loop included.
 */
#define thread_pool_submit(ctx, func, done, opaque) \
    thread_pool_submit_full(ctx, func, done, opaque, #done)

/* As thread_pool_submit(), with a @name that must stay valid for good. It is the loop's activity
 * while @done runs. */
ThreadPoolRequest *thread_pool_submit_full(AioContext *ctx, ThreadPoolFunc *func,
                                           ThreadPoolDoneFunc *done, void *opaque,
                                           const char *name);

/*
 * Take @request back when no worker has taken it yet: its done callback is called on the context,
 * with -ECANCELED, by a later bottom half. Returns false, and changes nothing, when it is too late.
 * Any thread that knows the handle to be valid.
 */
bool thread_pool_cancel(ThreadPoolRequest *request);

/*
 * End the pool of @ctx for good: cancel what has not started, wait for the functions that run and
 * for all threads to end, and call the done callbacks that are left, in this thread. What is
 * submitted from now on is cancelled at once: its done callback is called by a bottom half, should
 * somebody drive the context, else at its end. For who ends a loop, in its home thread; an IOThread
 * that is destroyed does it, in its own thread, and so does the last aio_context_unref(), which
 * also calls those done callbacks that nobody has by then. Not from a worker of this pool; a
 * function that runs meanwhile may not wait for the loop.
 */
void thread_pool_stop(AioContext *ctx);

typedef struct ThreadPoolStats {
    int threads; /* all there are, one that is just being started included */
    int idle;    /* those that wait for work */
    int queued;  /* requests that wait for a thread */
} ThreadPoolStats;

/* The state of the pool of @ctx at one moment; all 0 while it has none. Any thread. */
void thread_pool_get_stats(AioContext *ctx, ThreadPoolStats *stats);

G_END_DECLS

#endif
