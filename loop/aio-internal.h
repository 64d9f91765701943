/*
 * The inside of AioContext: the map of the files of this folder.
 *
 *   aio-context.c   life, a pass of the loop, the wake-up handshake
 *   aio-handler.c   the table of descriptors and their dispatch
 *   aio-bh.c        bottom halves; bh-pool.c the memory of oneshots
 *   aio-request.c   users' requests on the context's io_uring
 *   aio-gsource.c   the context as a GSource
 *   aio-polling.c   looking for work in user space before blocking
 *   poll-time.c     how long that pays, learnt for each source
 *   aio-activity.c  what the loop does now, published to other threads
 *   aio-trace.c     what it did, kept in a ring
 *   aio-stats.c     reading counters and sources from other threads
 *   aio-watch.c     telling a watch that a loop wakes up, or was held for long
 *   aio-wait.c      waiting in one thread for a callback in another
 *   thread-pool.c   functions that block, run by threads of their own
 *   fdmon*.c        which descriptors are ready: a table of operations a monitor
 *   ring.c          the context's io_uring, for its monitor and its users
 *   ring-level.c    which of its handlers are still ready after their callbacks
 *   timer*.c        timers and their heap; clock.c the clocks
 *   clock-jump.c    waking a loop when the wall clock is set
 *   main-loop.c     the main loop: two contexts and GLib in one wait
 *
 * The wake-up handshake. A thread that has queued work stores ctx->notified and then looks at
 * ctx->notify_me; the home thread, about to block, stores ctx->notify_me and then looks at
 * ctx->notified. All four are sequentially consistent, so at least one of the two sees the
 * other's store: either the home thread does not block, or the notifier writes the eventfd. A
 * notifier that finds ctx->notified set already leaves the rest to whoever set it, so a burst
 * costs one system call, and none when the loop is awake. While the home thread polls in user space
 * it is awake in this sense: it looks at ctx->notified without having stored ctx->notify_me, and
 * does all of the above when it has found nothing and goes on to block.
 *
 * What aio_compute_timeout() takes into account (a bottom half that is scheduled, a timer) needs no
 * mark for a loop that is awake: aio_notify_waiting() looks at ctx->notify_me after the change, and
 * the home thread looks at the change after it stored ctx->notify_me; these too are sequentially
 * consistent. So a loop that polls without having announced that it may block has to look at
 * aio_bh_timeout_ns() and the timers, not at ctx->notified alone. tests/model/notify.pml models
 * both.
 *
 * Handlers. One node for each descriptor and set of callbacks, immutable once published; a change
 * publishes a new node. Nodes taken out are marked removed (dispatch checks that before each call)
 * and freed by the home thread when no pass, and no list of ready handlers, can still hold them.
 */
#ifndef LOOP_AIO_INTERNAL_H
#define LOOP_AIO_INTERNAL_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "loop/aio-stats.h"
#include "loop/aio-trace.h"
#include "loop/aio.h"
#include "loop/fdmon.h"
#include "loop/poll-time.h"
#include "loop/timer-heap.h"

/* ---- counters: written by the home thread only, read by any ---- */

typedef struct AioCounters {
    _Atomic uint64_t calls;
    _Atomic uint64_t total_ns;
    _Atomic uint64_t max_ns;
} AioCounters;

/* Add to a counter that has one writer. Relaxed: readers want the number, and order nothing by it.
 */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline uint64_t counter_get(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- what the loop does now (aio-activity.c) ---- */

typedef struct LoopActivity {
    _Atomic unsigned seq; /* odd while the three below change */
    _Atomic int state;    /* an AioState */
    _Atomic(const char *) source;
    _Atomic int64_t since_ns;
    _Atomic uint64_t busy_ns;
    _Atomic uint64_t polling_ns;
    _Atomic uint64_t blocked_ns;
    int64_t now_ns; /* home thread only: the last reading of the clock */
    /* The same for others to read: up to when the three sums above count. */
    _Atomic int64_t changed_ns;
    _Atomic(AioTrace *) trace; /* a reference, or NULL: nothing is recorded */
} LoopActivity;

/* What was going on before a callback or a nested poll, to return to. */
typedef struct ActivityScope {
    AioState state;
    const char *source;
    int64_t since_ns;
    int64_t begin_ns;
} ActivityScope;

void activity_init(LoopActivity *activity);

/* The end of a context: drop the trace. */
void activity_cleanup(LoopActivity *activity);

/* Read the clock and publish @state. Home thread. */
void activity_enter(LoopActivity *activity, AioState state);

/* Remember the present activity in @scope, and return to it. Home thread. */
void activity_save(LoopActivity *activity, ActivityScope *scope);
void activity_restore(LoopActivity *activity, const ActivityScope *scope);

/* A pass is over: return to the callback that it was nested in, if it was. Home thread. */
void activity_pass_over(LoopActivity *activity, const ActivityScope *scope);

/* A callback, for the trace. */
typedef struct ActivityCall {
    const char *name;
    AioTraceKind kind;
    int fd; /* or -1 */
} ActivityCall;

/* Around a callback: publish it, and return how long it took, in ns. One reading of the clock
 * together: the beginning is the last reading. Home thread. */
void activity_call_begin(LoopActivity *activity, ActivityScope *scope, const char *name);
static inline int64_t activity_call_end(LoopActivity *activity, const ActivityScope *scope,
                                        ActivityCall call);

/* The same for callbacks in a row, between one activity_save() and one activity_restore(): publish
 * it and return when it begins; return how long it took. Home thread. */
int64_t activity_call_next(LoopActivity *activity, const char *name);
static inline int64_t activity_call_done(LoopActivity *activity, int64_t begin_ns,
                                         ActivityCall call);

/* What these two are made of: read the clock, add the time that went by to what the loop was doing,
 * and return the clock; record a callback that is over. Home thread. */
int64_t activity_account(LoopActivity *activity);
__attribute__((cold)) void activity_trace_call(LoopActivity *activity, int64_t begin_ns,
                                               ActivityCall call);

/* Whether there is a trace. Relaxed: whoever finds one loads it again. Home thread. */
static inline bool activity_is_traced(LoopActivity *activity)
{
    return G_UNLIKELY(atomic_load_explicit(&activity->trace, memory_order_relaxed) != NULL);
}

/* Inline, so that what the trace is told is only put together when there is one. */
static inline int64_t activity_call_done(LoopActivity *activity, int64_t begin_ns,
                                         ActivityCall call)
{
    int64_t end_ns = activity_account(activity);

    if (activity_is_traced(activity)) {
        activity_trace_call(activity, begin_ns, call);
    }
    return end_ns - begin_ns;
}

static inline int64_t activity_call_end(LoopActivity *activity, const ActivityScope *scope,
                                        ActivityCall call)
{
    int64_t elapsed_ns = activity_call_done(activity, scope->begin_ns, call);

    activity_restore(activity, scope);
    return elapsed_ns;
}

/* Count one call that took @elapsed_ns. Home thread. */
void counters_record(AioCounters *counters, int64_t elapsed_ns);

/* ---- the process's watch (aio-watch.c) ---- */

typedef struct LoopWatch {
    _Atomic int64_t limit_ns; /* of what is told to the watch; INT64_MAX: there is none */
    atomic_bool asked;        /* it wants to hear of the next loop that wakes up */
} LoopWatch;

extern LoopWatch loop_watch;

void loop_watch_woken(void);
void loop_watch_held(LoopActivity *activity);

static inline bool activity_is_asleep(int state)
{
    return state == AIO_STATE_UNUSED || state == AIO_STATE_IDLE;
}

/* What is still published took @elapsed_ns. Home thread. */
static inline void loop_watch_elapsed(LoopActivity *activity, int64_t elapsed_ns)
{
    /* Relaxed: a watch that begins meanwhile hears of what ends from then on. */
    if (elapsed_ns > atomic_load_explicit(&loop_watch.limit_ns, memory_order_relaxed)) {
        loop_watch_held(activity);
    }
}

/*
 * The loop was in @before, and has published @state. Home thread.
 *
 * A watch stores asked, then looks at the state of every loop; a loop that wakes up stores its
 * state, then looks at asked. All four are sequentially consistent, so either the watch sees that
 * the loop is awake, or the loop sees that it is to tell. The store is the one of
 * activity_enter() once more; others have no need of its order, and it is not free.
 * tests/model/watch.pml models it.
 */
static inline void loop_watch_entered(LoopActivity *activity, int before, AioState state)
{
    if (activity_is_asleep(before) && !activity_is_asleep(state)) {
        atomic_store(&activity->state, (int)state);
        if (atomic_load(&loop_watch.asked)) {
            loop_watch_woken();
        }
    }
}

/* ---- what the loop did (aio-trace.c) ---- */

/* Home thread. */
void aio_trace_write(AioTrace *trace, const AioTraceRecord *record);

/* ---- handlers (aio-handler.c) ---- */

typedef struct AioPolled AioPolled;

struct AioHandler {
    int fd;
    IOHandler *io_read;
    IOHandler *io_write;
    AioPollFn *io_poll;
    IOHandler *io_poll_ready;
    void *opaque;
    EventNotifier *notifier; /* of an event notifier's handler, whose callbacks are these: */
    EventNotifierHandler *notifier_read;
    EventNotifierHandler *notifier_poll_ready;
    const char *name;
    bool internal; /* the loop's own: no progress, no source */

    AioPolled *polled; /* shared with those before and after it; NULL when internal */

    atomic_bool removed;
    atomic_bool
        stale; /* removed, but the monitor may go on reporting it; written under ctx->lock */
    AioCounters counters;

    uint32_t revents; /* home thread: what was reported, POLLIN etc. or AIO_HANDLER_POLLED */
    bool in_ready;    /* home thread: linked by next_ready */
    bool closed;      /* home thread: the descriptor was found to be closed */
    AioHandler *next_ready;
    AioHandler *next_retired;    /* guarded by ctx->lock */
    AioHandler *successor;       /* what replaced it, or NULL; guarded by ctx->lock */
    AioHandler *next_unpollable; /* guarded by ctx->lock; fdmon-epoll.c */

    /* fdmon-io_uring.c: */
    AioHandler *next_change; /* in ring->changes; guarded by ctx->lock, as the next */
    bool in_changes;
    bool in_todo; /* home thread, as all below */
    bool armed;   /* the kernel has a poll of it, or the submission queue has */
    AioHandler *next_todo;

    /* ring-level.c; home thread: */
    bool in_look;           /* in ring->look */
    unsigned n_still_ready; /* how many times in a row it was ready again */
};

/* What to ask a monitor for: POLLIN and POLLOUT as the handler has callbacks. */
short aio_handler_events(const AioHandler *handler);

/* Whether the monitor has a use for @handler still. Home thread, with ctx->lock held. */
static inline bool aio_handler_in_use(const AioHandler *handler)
{
    return handler->in_changes || handler->in_todo || handler->armed || handler->in_look;
}

/* No event of poll(2): io_poll has found work. */
#define AIO_HANDLER_POLLED (UINT32_C(1) << 31)

/* A monitor reports that @handler is ready for @revents (POLLIN etc.), or polling that it is for
 * AIO_HANDLER_POLLED. Home thread. */
void aio_handler_ready(AioContext *ctx, AioHandler *handler, uint32_t revents);

/* The monitor found the descriptor of @handler closed: say so, and leave it out from now on, until
 * it is replaced or removed. Home thread. */
void aio_handler_closed(AioContext *ctx, AioHandler *handler);

/* Call every ready handler; true when one made progress. Home thread. */
bool aio_dispatch_handlers(AioContext *ctx);

/* Free the nodes that were taken out, when nothing can refer to them; those that are stale are kept
 * in ctx->stale. Home thread. */
void aio_free_retired(AioContext *ctx);

/* Nothing can report stale nodes any more: free them too. With ctx->lock held. Home thread. */
void aio_free_stale_locked(AioContext *ctx);

/* Set a handler of the loop's own, which is no progress and no source. All that @fd is for is to
 * wake the loop: @io_read silences it, and is not called by a monitor that needs no silencing.
 * Any thread. */
void aio_set_internal_handler(AioContext *ctx, int fd, IOHandler *io_read, void *opaque,
                              const char *name);

/* Set the handler of the context's own notifier; drop all handlers. */
void aio_handlers_init(AioContext *ctx);
void aio_handlers_cleanup(AioContext *ctx);

/* ---- adaptive polling (aio-polling.c) ---- */

typedef struct AioPolling {
    _Atomic int64_t
        max_ns; /* as in ctx->params; written with ctx->lock held, like the next three */
    _Atomic int64_t grow;
    _Atomic int64_t shrink;
    _Atomic unsigned n_blind;    /* handlers without io_poll, the loop's own aside */
    _Atomic int64_t learnt_ns;   /* the loop's time; written by the home thread */
    _Atomic int64_t woken_at_ns; /* when a notifier began to wake the loop; 0: none did */
    _Atomic uint64_t hits;
    _Atomic uint64_t misses;
    atomic_bool scarce; /* processors are; written by the home thread */

    PollTimes times;      /* home thread, as all below */
    PollTime notifier;    /* of wake-ups by aio_notify() */
    PollTime requests;    /* of completions of aio_add_sqe() */
    int64_t wake_ns;      /* what it takes to wake the loop */
    int64_t wait_from_ns; /* when the present wait began; -1 when nothing is learnt from it */
    int64_t waited_ns;    /* how long the last one took; -1 when there is nothing to learn */
    bool in_phase;
    bool begun;          /* an io_poll_begin was called in this phase */
    bool phase_to_count; /* the last phase is not taken into account yet */
    bool forgone; /* the present wait would have begun with polling, were processors not scarce */

    int run_delay_fd;        /* of the home thread (loop/run-delay.h); -1: none */
    int64_t period_from_ns;  /* when the present period of watching began; 0: none did */
    int64_t delay_before_ns; /* the thread's delay at that time; -1: unknown */
} AioPolling;

/* What polling knows of a descriptor goes from @old to @handler; either may be NULL. With ctx->lock
 * held, any thread. */
void aio_polling_replace(AioContext *ctx, AioHandler *old, AioHandler *handler);

/* @handler is about to be freed. Home thread. */
void aio_polling_handler_freed(AioContext *ctx, AioHandler *handler);

/* The parameters from the next wait on. With ctx->lock held, any thread. */
void aio_polling_set_params(AioContext *ctx, const AioContextParams *params);

/* How long the loop polls before it blocks; 0 when it does not. Any thread. */
int64_t aio_polling_time_ns(AioContext *ctx);

/* Poll before a wait. Returns true when there is something to do, so that the caller must not
 * block; false when there was not, or no polling. ctx->notify_me is not set meanwhile. Home thread.
 */
bool aio_polling_run(AioContext *ctx);

/*
 * The same for @n contexts, 64 at most, that a GMainContext drives: aio_prepare() found that they
 * may sleep, and for @timeout_ns as far as other sources are concerned. Returns the timeout that is
 * left, 0 when there is something to do. aio_prepare() has set ctx->notify_me; it is taken back for
 * the time of polling and set again. Home thread of all, which share one activity.
 */
int64_t aio_polling_run_prepared(AioContext *const *contexts, size_t n, int64_t timeout_ns);

/* Around blocking, after activity_enter(). The wait of @n contexts begins here, unless it began
 * with polling; nothing is learnt from it when one of them can't be polled, or polling was forgone.
 * The wait of @ctx is over. Home thread. */
void aio_polling_blocks(AioContext *const *contexts, size_t n);
void aio_polling_wait_over(AioContext *ctx);

/* The notifier is about to be set, for the loop may be asleep. Any thread. */
void aio_polling_wakes(AioContext *ctx);

/* Learn from the wait that is over, whose events are the ready handlers, completions and, with
 * @notified, a notification. Home thread. */
void aio_polling_learn(AioContext *ctx, bool notified);

/* ---- bottom halves (aio-bh.c) ---- */

typedef struct LastingBH LastingBH;

typedef struct BHQueue {
    QEMUBH *head, *tail;
} BHQueue;

/* How long the loop may sleep with the bottom halves that are scheduled: 0, 10 ms when there are
 * only idle ones, or -1. Home thread. */
int64_t aio_bh_timeout_ns(AioContext *ctx);

/* Whether any is queued, to be called or to be freed. Home thread. */
bool aio_bh_queued(AioContext *ctx);

/* At the end of a context: run the oneshots that are left, free what was deleted. */
void aio_bh_cleanup(AioContext *ctx);

void aio_bh_foreach_source(AioContext *ctx, AioSourceFunc *func, void *opaque);

/* ---- requests (aio-request.c) ---- */

typedef struct AioRing AioRing;

/* Whether there are completions whose callbacks have not been called. Home thread. */
bool aio_requests_completed(AioContext *ctx);

/* Call them; true when there were any. Home thread. */
bool aio_dispatch_requests(AioContext *ctx);

/* At the end of a context: cancel all requests, wait for their ends, and call their callbacks,
 * which may make others, left to the next call. True when one was called. */
bool aio_requests_finish(AioContext *ctx);

void aio_requests_foreach_source(AioContext *ctx, AioSourceFunc *func, void *opaque);

/* ---- timers (timer.c) ---- */

typedef struct TimerRun TimerRun;

struct QEMUTimerList {
    AioContext *ctx;
    QEMUClockType clock;
    pthread_mutex_t lock; /* guards all below but the atomics, and the timers' variable fields */
    TimerHeap heap;
    QEMUTimer *firing_head; /* due in this pass, in deadline order */
    QEMUTimer *firing_tail;
    TimerRun *running;             /* the callbacks being run, innermost first */
    _Atomic int64_t next_deadline; /* ns on the clock; not later than the first timer's */
    atomic_bool head_stale;        /* next_deadline may be too early: the first was pushed back */
};

void timer_list_init(QEMUTimerList *list, AioContext *ctx, QEMUClockType clock);

/* Disarm the timers that are left. They keep the list's memory, and its lock. */
void timer_list_disarm(QEMUTimerList *list);
void timer_list_cleanup(QEMUTimerList *list);

/* Fire the context's due timers; true when there were any. Home thread. */
bool aio_timers_run(AioContext *ctx);

/* How long until the first timer is due: ns, 0 when one is, -1 when there is none. Home thread. */
int64_t aio_timers_timeout_ns(AioContext *ctx);

void aio_timers_foreach_source(AioContext *ctx, AioSourceFunc *func, void *opaque);

/* ---- the thread pool (thread-pool.c) ---- */

typedef struct ThreadPool ThreadPool;

/* The bounds of the pool were set: adopt them when there is one. Any thread. */
void aio_thread_pool_update(AioContext *ctx);

/* At the end of a context: thread_pool_stop(), but done callbacks of what one of them submits are
 * left to the next call. True when one was called. */
bool aio_thread_pool_finish(AioContext *ctx);

/* Free the pool, which is finished; leaves a deleted bottom half to aio_bh_cleanup(). */
void aio_thread_pool_free(AioContext *ctx);

/* ---- clocks (clock.c) ---- */

/* Contexts to notify when a clock is changed by hand. */
void clock_register_context(AioContext *ctx);
void clock_unregister_context(AioContext *ctx);

/* ---- jumps of the wall clock (clock-jump.c) ---- */

/* Wake the loop whenever the wall clock is set, from now on. Any thread. */
void aio_watch_clock_jumps(AioContext *ctx);
void aio_clock_jump_cleanup(AioContext *ctx);

/* ---- the context ---- */

#define AIO_CACHE_LINE 64

struct AioContext {
    /* Cache lines: the first is written at each scheduling, the second is read then and written
     * when the loop goes to sleep, and neither is one with what the home thread writes all the
     * time. */
    _Alignas(AIO_CACHE_LINE) _Atomic(QEMUBH *) bh_incoming; /* scheduled, last first; any thread */

    _Alignas(AIO_CACHE_LINE) EventNotifier notifier;
    _Atomic unsigned notify_me; /* bit 0: about to block as a GSource; the rest counts aio_poll() */
    atomic_bool notified;

    _Alignas(AIO_CACHE_LINE) _Atomic unsigned refcount;
    _Atomic unsigned memory_refcount; /* one for all references above, one for each timer */
    _Atomic uint64_t home;            /* the number of the thread that drove it last; 0: none */

    pthread_mutex_t lock;       /* a leaf lock; guards the next seven, and the monitors' tables */
    GHashTable *handlers;       /* fd -> AioHandler */
    AioHandler *retired;        /* taken out, not yet freed */
    AioHandler *stale;          /* of those, what the monitor may go on reporting */
    _Atomic unsigned n_retired; /* how many; written under lock */
    LastingBH *bhs;             /* all but oneshots */
    AioContextParams params;
    /* Counts changes of handlers. Incremented with release before a monitor learns of the change,
     * and loaded with acquire after a wait, so that a new node is visible to whom the kernel
     * hands its address. */
    _Atomic unsigned generation;

    AioHandler *ready_head; /* home thread: ready and not yet called */
    AioHandler *ready_tail;
    unsigned depth; /* home thread: nested passes */

    BHQueue bh_now;  /* home thread: those that this pass runs, in order */
    BHQueue bh_next; /* home thread: those that the next one will */
    AioCounters oneshot_counters;

    _Atomic(const FDMonOps *) fdmon;
    const FDMonOps *fdmon_first; /* the one that was set up first, should fdmon have changed */
    struct {
        int fd;
        AioHandler *unpollable; /* descriptors that epoll refuses: always ready; under lock */
        atomic_bool has_unpollable;
        unsigned n_stale;  /* nodes that it may hold against our will; under lock */
        atomic_bool renew; /* make a new one before the next wait */
    } epoll;
    struct {
        struct pollfd *fds; /* home thread, as the next three */
        AioHandler **handlers;
        size_t len;
        unsigned generation; /* of the handlers in it */
    } poll;

    AioRing *ring;                 /* NULL but with the monitor "io_uring" */
    _Atomic int64_t aio_max_batch; /* of params */
    AioCounters request_counters;
    AioPolling polling;

    QEMUTimerList timers[QEMU_CLOCK_MAX];
    atomic_bool watches_clock_jumps; /* the next is open, or about to be */
    int clock_jump_fd;               /* set before its handler is */

    _Atomic(ThreadPool *) thread_pool; /* made by the first request */

    GSource *source;        /* made when first asked for; guarded by lock */
    bool caller_keeps_time; /* home thread: from its prepare to its check, whoever polls minds
                             * our deadlines */

    LoopActivity *activity; /* own_activity, or that of the context it shares its thread with */
    LoopActivity own_activity;
    _Atomic uint64_t passes;
    _Atomic uint64_t waits;
    _Atomic uint64_t fd_callbacks;
    _Atomic uint64_t bh_callbacks;
    _Atomic uint64_t timer_callbacks;
};

/* Keep the memory of @ctx, its timer lists' locks included, beyond the context's own end: a timer
 * may be deinitialised after it. */
void aio_context_memory_ref(AioContext *ctx);
void aio_context_memory_unref(AioContext *ctx);

/* Make this thread the home of @ctx when it is not. */
void aio_context_take_home(AioContext *ctx);

/* Whether there is something to dispatch beside what the descriptors have to say: a notification,
 * ready handlers, bottom halves (idle or deleted ones too), due timers. Home thread. */
bool aio_has_work(AioContext *ctx);

/* The sooner of two timeouts in ns, -1 being none. */
static inline int64_t soonest_timeout(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* How long the loop may sleep: ns, 0 when there is work, -1 for ever. Home thread. */
int64_t aio_compute_timeout(AioContext *ctx);

/* Announce that the home thread is about to block, and that it no longer is. Between the two,
 * aio_notify() writes the notifier. aio_notify_arm() returns false when there was a notification
 * already, so that the caller must not block. Home thread. */
#define NOTIFY_ME_GSOURCE 1u
#define NOTIFY_ME_POLL    2u
bool aio_notify_arm(AioContext *ctx, unsigned who);
void aio_notify_disarm(AioContext *ctx, unsigned who);

/* Let the monitor prepare for a wait: FDMonOps.prepare. Home thread. */
void aio_prepare_fdmon(AioContext *ctx, bool submit);

/* The home thread has left something to be submitted. When it comes between preparing and a wait
 * that is not the monitor's (a GSource that prepares later, an io_poll), take one more turn. */
void aio_prepare_again(AioContext *ctx);

/* aio_prepare(), which returns how long the loop may sleep: ns, 0 when it must not, -1 for ever.
 * One look decides, so that work that comes in meanwhile is no deadline to set a timer for. Home
 * thread. */
int64_t aio_prepare_timeout(AioContext *ctx);

/* Make the home thread compute its timeout anew when it waits or is about to. What it is to take
 * into account is stored before, and loaded by aio_compute_timeout(), with sequential consistency.
 * Any thread. */
void aio_notify_waiting(AioContext *ctx);

/* Whether there is a notification that was not accepted yet. Relaxed: a hint, or put in order by
 * aio_notify_accept(). */
static inline bool aio_notified(AioContext *ctx)
{
    return atomic_load_explicit(&ctx->notified, memory_order_relaxed);
}

/* Whether there is a notification, or a bottom half to run. Home thread. */
static inline bool aio_handed_over(AioContext *ctx)
{
    return aio_notified(ctx) || aio_bh_timeout_ns(ctx) == 0;
}

/* Take note of all notifications so far; work that was queued before them is visible after. */
void aio_notify_accept(AioContext *ctx);

/* Bottom halves, ready handlers, due timers. Home thread. */
bool aio_run_pass(AioContext *ctx);

/* aio_dispatch(), with or without asking the monitor which descriptors are ready. Home thread. */
void aio_dispatch_collected(AioContext *ctx, bool collect);

/* Destroy the GSource at the end of a context. */
void aio_gsource_cleanup(AioContext *ctx);

/* qemu_aio_context in the main loop's thread, else NULL (main-loop.c). */
AioContext *main_loop_context_of_thread(void);

#endif
