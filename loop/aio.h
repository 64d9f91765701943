/*
 * AioContext: an event loop.
 *
 * It runs handlers of file descriptors and event notifiers, bottom halves (callbacks deferred to
 * the loop, from this or another thread) and timers (loop/timer.h). One thread at a time,
 * its home thread, drives it, in one of two ways that behave alike: by calling aio_poll(), or by
 * running the GMainContext that the context's GSource is attached to.
 *
 * Threads: aio_poll(), aio_prepare(), aio_pending(), aio_dispatch() and aio_bh_poll() belong to
 * the home thread. Everything else may be called from any thread, threads without a loop
 * included, by a caller that keeps the context alive (it holds a reference, or knows who does).
 * Callbacks run in the home thread with no lock held, and may remove, replace or free anything,
 * the source they belong to included.
 */
#ifndef LOOP_AIO_H
#define LOOP_AIO_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "loop/event-notifier.h"
#include "loop/timer.h"

G_BEGIN_DECLS

typedef struct QEMUBH QEMUBH;
typedef void QEMUBHFunc(void *opaque);
typedef void IOHandler(void *opaque);
/* Returns true when there is work, found without a system call. */
typedef bool AioPollFn(void *opaque);

/* How a context learns which descriptors are ready. */
typedef enum {
    AIO_FDMON_AUTO, /* the best that this system offers */
    AIO_FDMON_IO_URING,
    AIO_FDMON_EPOLL,
    AIO_FDMON_POLL,
} AioFdMon;

/* The domain and codes of the loop's errors. */
#define AIO_ERROR aio_error_quark()
GQuark aio_error_quark(void);

typedef enum {
    AIO_ERROR_SYSTEM,  /* the system refused: out of descriptors, memory, threads, rights */
    AIO_ERROR_FDMON,   /* there is no such fd monitor here */
    AIO_ERROR_INVALID, /* a parameter is out of its range */
} AioError;

/* ---- life ---- */

/*
 * A new context with one reference, which the caller owns. The fd monitor is chosen by itself, or
 * forced by the environment variable EVLOOP_FDMON ("io_uring", "epoll", "poll"). It has no home
 * thread until one drives it. NULL and @errp when out of descriptors. Any thread.
 */
AioContext *aio_context_new(GError **errp);

/* As aio_context_new(), with the fd monitor @fdmon; an error when this system does not offer it. */
AioContext *aio_context_new_with_fdmon(AioFdMon fdmon, GError **errp);

void aio_context_ref(AioContext *ctx);

/*
 * Drop a reference. The last one frees the context, which nobody may drive any more: its GSource
 * is destroyed, remaining handlers and other bottom halves are dropped without a call, remaining
 * timers are disarmed, and bottom halves of aio_bh_schedule_oneshot() that have not run yet run
 * now, in this thread. So do done callbacks of the thread pool, after what has not started was
 * cancelled and what runs was waited for (thread_pool_stop()), and those of aio_add_sqe(), whose
 * requests are cancelled and waited for. Those may not keep @ctx. Any thread but a worker of its
 * pool; in a callback that aio_poll() runs, the last reference is its caller's.
 */
void aio_context_unref(AioContext *ctx);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(AioContext, aio_context_unref)

/* The name of the fd monitor in use: "io_uring", "epoll" or "poll". Any thread. */
const char *aio_context_get_fdmon(AioContext *ctx);

/* ---- driving it ---- */

/*
 * One pass: wait until something is ready (at once when @blocking is false), then run bottom
 * halves, handlers of ready descriptors and due timers. Returns true when any callback made
 * progress: idle bottom halves and a bare aio_notify() are none. May be nested inside a callback.
 */
bool aio_poll(AioContext *ctx, bool blocking);

/* Make the home thread's current or next blocking wait return. Any thread. */
void aio_notify(AioContext *ctx);

/*
 * The context as a GSource, the same one at each call, with a new reference for the caller
 * (g_source_unref()). Attach it to the GMainContext that shall drive the context. It puts one
 * descriptor for all handlers into the poll set, or one for each with the "poll" monitor, and a
 * timerfd, because GLib's own timeouts are rounded to milliseconds. Free the GMainContext in the
 * thread that drops the context's last reference, or after that: GLib 2.74 was seen not to bear
 * both at once in two threads.
 */
GSource *aio_get_g_source(AioContext *ctx);

/*
 * g_main_loop_run() on @main_loop, whose GMainContext drives @ctx, in the thread that declared @ctx
 * as its own: the wait ends at the context's deadlines without a timerfd, and what the thread does
 * is known during the callbacks of other sources too. It sets the GMainContext's poll function
 * for as long as it runs.
 */
void aio_run_g_main_loop(AioContext *ctx, GMainLoop *main_loop);

/* The context that the calling thread declared as its own; in the main loop's thread, where none
 * was declared, the main loop's (loop/main-loop.h); else NULL. */
AioContext *qemu_get_current_aio_context(void);

/* Declare @ctx as the calling thread's own and this thread as its home; NULL takes it back. The
 * thread keeps no reference. */
void qemu_set_current_aio_context(AioContext *ctx);

/* Whether the calling thread is the home of @ctx: of those that drove it, or declared it as their
 * own, the last. When another thread shall drive it from now on, the caller sees to it that the
 * former one has stopped. Any thread. */
bool in_aio_context_home_thread(AioContext *ctx);

/*
 * The parts of a pass, as the GSource uses them. aio_prepare() announces that the thread is about
 * to wait, and returns true when it must not; aio_pending() withdraws that, collects what is ready
 * and returns true when there is something to dispatch; aio_dispatch() runs a pass that does not
 * wait.
 */
bool aio_prepare(AioContext *ctx);
bool aio_pending(AioContext *ctx);
void aio_dispatch(AioContext *ctx);

/* ---- file descriptors ---- */

/*
 * Call @io_read when @fd is readable and @io_write when it is writable; both when it hung up or
 * failed. All callbacks NULL removes it; otherwise they replace those that @fd had. Readiness is
 * level-triggered: a handler that leaves data unread is called again, and one may find nothing when
 * somebody else has read @fd meanwhile. A change takes effect before the loop blocks again; one
 * that the home thread makes, at once: a removed handler is not called after that. Remove @fd
 * before it is closed; what another thread removes, the fd monitor "io_uring" keeps open until the
 * home thread has woken up for that. Any thread.
 *
 * @io_poll and @io_poll_ready are for adaptive polling, which precedes a wait (see the parameters
 * below). @io_poll looks for work without a system call and returns whether there is some; it is
 * called while @fd is one of those that had an event not long ago, often, and does nothing else.
 * When it has found some, @io_poll_ready, or @io_read when that is NULL, is called in the pass that
 * follows, and @io_read not for the same work unless it is left. @fd must announce that work too.
 * With a monitor that can't be peeked at ("epoll", "poll") a loop polls only while all its handlers
 * have an @io_poll.
 */
#define aio_set_fd_handler(ctx, fd, io_read, io_write, io_poll, io_poll_ready, opaque)            \
    aio_set_fd_handler_full(ctx, fd, io_read, io_write, io_poll, io_poll_ready, opaque, #io_read, \
                            #io_write)

/* As aio_set_fd_handler(), with names that must stay valid for good: the source is called
 * @read_name, or @write_name when it has no @io_read. */
void aio_set_fd_handler_full(AioContext *ctx, int fd, IOHandler *io_read, IOHandler *io_write,
                             AioPollFn *io_poll, IOHandler *io_poll_ready, void *opaque,
                             const char *read_name, const char *write_name);

/*
 * Callbacks around each phase of polling in which @fd takes part, for instance to ask the other
 * side for silence. @fd must have a handler, and this stays when that is replaced; it takes part
 * only with an io_poll. Work that comes before @io_poll_end need not be announced: io_poll is
 * called once more after it. A handler that is removed in a phase gets no @io_poll_end. Any thread.
 */
void aio_set_fd_poll(AioContext *ctx, int fd, IOHandler *io_poll_begin, IOHandler *io_poll_end);

/* As aio_set_fd_handler(), for the descriptor of @notifier; the callbacks get @notifier, and
 * @io_read clears it with event_notifier_test_and_clear(). Any thread. */
#define aio_set_event_notifier(ctx, notifier, io_read, io_poll, io_poll_ready) \
    aio_set_event_notifier_full(ctx, notifier, io_read, io_poll, io_poll_ready, #io_read)

/* As aio_set_event_notifier(), with a @name that must stay valid for good. */
void aio_set_event_notifier_full(AioContext *ctx, EventNotifier *notifier,
                                 EventNotifierHandler *io_read, AioPollFn *io_poll,
                                 EventNotifierHandler *io_poll_ready, const char *name);

/* As aio_set_fd_poll(), for the handler of @notifier. Any thread. */
void aio_set_event_notifier_poll(AioContext *ctx, EventNotifier *notifier,
                                 EventNotifierHandler *io_poll_begin,
                                 EventNotifierHandler *io_poll_end);

/* ---- bottom halves ---- */

/*
 * A new bottom half that calls @cb with @opaque on @ctx each time it has been scheduled. The
 * caller frees it with qemu_bh_delete(), before the context goes. Any thread.
 */
#define aio_bh_new(ctx, cb, opaque) aio_bh_new_full(ctx, cb, opaque, #cb)

/* As aio_bh_new(), with a @name that must stay valid for good. */
QEMUBH *aio_bh_new_full(AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name);

/*
 * Run @cb with @opaque on @ctx exactly once. Bottom halves that one thread schedules on one
 * context run in that order, each in the place of its first scheduling since it last ran: to
 * cancel one and schedule it again, or to let another thread schedule it too, does not move it
 * back. Any thread.
 */
#define aio_bh_schedule_oneshot(ctx, cb, opaque) aio_bh_schedule_oneshot_full(ctx, cb, opaque, #cb)

void aio_bh_schedule_oneshot_full(AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name);

/*
 * Schedule @bh to run in the context's next pass. However often it is scheduled before it runs, it
 * runs once; scheduled while it runs, it runs again in a later pass. Any thread.
 */
void qemu_bh_schedule(QEMUBH *bh);

/* As qemu_bh_schedule(), but it does not keep the loop from sleeping, up to 10 ms, and is no
 * progress. Any thread. */
void qemu_bh_schedule_idle(QEMUBH *bh);

/* Take the scheduling back: in the home thread @bh will not run; from another thread a call that
 * has begun is not waited for. Any thread. */
void qemu_bh_cancel(QEMUBH *bh);

/* Cancel and free @bh, which is gone for the caller; allowed in its own callback. NULL is
 * ignored. Any thread. */
void qemu_bh_delete(QEMUBH *bh);

/* Run the bottom halves that are scheduled now. Returns 1 when any was not an idle one. */
int aio_bh_poll(AioContext *ctx);

/*
 * Run @cb with @opaque on @ctx, which some thread drives, and return when it has run. In the home
 * thread it is called at once. In another one, the context that qemu_get_current_aio_context()
 * gives there (an IOThread's, the main loop's, one that was declared) goes on running meanwhile;
 * one that the thread drives without having declared it stands still.
 */
#define aio_wait_bh_oneshot(ctx, cb, opaque) aio_wait_bh_oneshot_full(ctx, cb, opaque, #cb)

void aio_wait_bh_oneshot_full(AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name);

/* ---- requests of io_uring(7) ---- */

struct io_uring_sqe;
typedef struct CqeHandler CqeHandler;
typedef void CqeHandlerFunc(CqeHandler *handler);
/* Fills @sqe, which is all zeros, with a request: one of liburing's io_uring_prep_*(). It leaves
 * user_data alone. */
typedef void AioPrepSqeFunc(struct io_uring_sqe *sqe, void *opaque);

/* What a request's completion calls. Embed it in what holds the request's state; @cb is set by the
 * caller, @res and @flags are the completion's, to be read in @cb. The rest is private. */
struct CqeHandler {
    CqeHandlerFunc *cb;
    int32_t res;    /* as the system call would return, errors as -errno */
    uint32_t flags; /* IORING_CQE_F_* */
    AioPrepSqeFunc *prep_sqe;
    void *opaque;
    const char *name;
    CqeHandler *next, *prev;
};

/*
 * Make a request on the context's ring. @prep_sqe is called with @opaque in the home thread: at
 * once when this is it, else before the loop blocks. Requests are submitted together, in the order
 * in which one thread made them, at the end of the pass or when aio-max-batch of them wait; a loop
 * that sleeps wakes up for them. @handler->cb is called in the home thread, in the order of
 * completion, once for each completion: a request that has IORING_CQE_F_MORE set in @flags will
 * complete again. Until its last completion @handler, and the memory that the request refers to,
 * must stay; it may be used again, or freed, in the callback of that.
 *
 * The request's user_data is the address of @handler, so that another one can cancel it
 * (io_uring_prep_cancel(sqe, handler, 0)). Requests are cancelled too when their home thread gives
 * the context up (qemu_set_current_aio_context()); when it ends without that, they are when their
 * event comes (-ECANCELED).
 *
 * By way of the loop, @cb gets -ENOSYS on a context that has no ring, -EAGAIN when the system is
 * out of memory for requests, and -EINVAL for flags that tie requests together or leave out the
 * completion: IOSQE_IO_LINK, IOSQE_IO_HARDLINK, IOSQE_IO_DRAIN and IOSQE_CQE_SKIP_SUCCESS. Any
 * thread.
 */
#define aio_add_sqe(ctx, prep_sqe, opaque, handler) \
    aio_add_sqe_full(ctx, prep_sqe, opaque, handler, #prep_sqe)

/* As aio_add_sqe(), with a @name that must stay valid for good. */
void aio_add_sqe_full(AioContext *ctx, AioPrepSqeFunc *prep_sqe, void *opaque, CqeHandler *handler,
                      const char *name);

/* Whether @ctx has a ring: its fd monitor is "io_uring". Any thread. */
bool aio_has_io_uring(AioContext *ctx);

/* ---- parameters ---- */

typedef struct AioContextParams {
    int64_t poll_max_ns;     /* longest time to poll in user space before blocking; 0: never */
    int64_t poll_grow;       /* factor by which that time grows; 0: the default, 2 */
    int64_t poll_shrink;     /* divisor by which it shrinks; 0: down to 0 at once */
    int64_t aio_max_batch;   /* requests that wait to be submitted; 0: as many as the ring takes */
    int64_t thread_pool_min; /* threads that are there from the first request on, and stay */
    int64_t thread_pool_max; /* threads at the most */
} AioContextParams;

/* What a new context starts with. */
#define AIO_POLL_MAX_NS_DEFAULT     32768
#define AIO_THREAD_POOL_MIN_DEFAULT 0
#define AIO_THREAD_POOL_MAX_DEFAULT 64

/*
 * Set how the loop polls in user space before it blocks: for at most @max_ns, for as long as the
 * sources that had events not long ago made it wait for them. A source's time grows by @grow with
 * an event that came later than it covers but within @max_ns, and shrinks by @shrink with one that
 * came later. It takes effect at the next wait. False and @errp, and nothing changed, when a value
 * is negative. Any thread.
 */
bool aio_context_set_poll_params(AioContext *ctx, int64_t max_ns, int64_t grow, int64_t shrink,
                                 GError **errp);

/* Set how many requests are submitted at once; false and @errp when negative. Any thread. */
bool aio_context_set_aio_params(AioContext *ctx, int64_t max_batch, GError **errp);

/* Set the bounds of the context's thread pool (loop/thread-pool.h): 0 <= @min <= @max, @max at
 * least 1; else false and @errp, and nothing changed. A pool that runs adopts them at once: it
 * starts threads up to @min, and up to @max for requests that wait; above @max idle ones leave
 * now, busy ones when their function returns. Any thread. */
bool aio_context_set_thread_pool_params(AioContext *ctx, int64_t min, int64_t max, GError **errp);

/* The parameters in force. Any thread. */
void aio_context_get_params(AioContext *ctx, AioContextParams *params);

G_END_DECLS

#endif
