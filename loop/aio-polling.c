/*
 * Adaptive polling: looking for work in user space for a while before the loop blocks.
 *
 * A wait begins with a phase of polling when the learnt time (loop/poll-time.h) is not 0, or a
 * timer is due within the longest time allowed. It looks at what can be seen without a system call,
 * again and again, until there is something, a timer is due or the time is over:
 *
 * - ctx->notified and the bottom halves, whose scheduling need not set it while the loop is awake;
 * - the monitor, when it can be peeked at (FDMonOps.peeks);
 * - io_poll of the handlers that had an event not long ago.
 *
 * With a monitor that can't be peeked at, a handler without io_poll could not be seen meanwhile, so
 * there is polling only while no handler lacks it. The loop's own descriptors don't count: they
 * bring no work, and may wait for the end of the phase.
 *
 * The home thread does not announce itself in ctx->notify_me while it polls, so a notifier makes no
 * system call; after the phase it does, and looks once more: see loop/aio-internal.h.
 *
 * Polling keeps a processor from others. A loop whose thread had to wait for one itself, for some
 * part of the last while, does not poll, if that is watched: see loop/run-delay.h.
 *
 * io_poll_begin and io_poll_end enclose a phase. As the other side may have kept silent up to
 * io_poll_end, each io_poll is looked at once more after it. A phase belongs to the wait alone: no
 * other callback is called inside, and what it finds is called in the pass that follows.
 */
#include "config.h"
#include "loop/aio-internal.h"
#include "loop/run-delay.h"

#include <unistd.h>

/* Processors are scarce from when the thread waits for one for such a part of a period, until it is
 * less than such a part. */
#define SCARCE_FROM_DIVISOR  10
#define SCARCE_UNTIL_DIVISOR 20

/* How long a period is at least: it ends with the first wait after that. */
#define SCARCE_PERIOD_NS (50 * (int64_t)SCALE_MS)

struct AioPolled {
    _Atomic(AioHandler *) handler; /* the present one or NULL; written with ctx->lock held */
    _Atomic unsigned n_handlers;   /* nodes that refer to this */

    IOHandler *io_poll_begin; /* guarded by ctx->lock, like the next three */
    IOHandler *io_poll_end;
    EventNotifierHandler *notifier_poll_begin;
    EventNotifierHandler *notifier_poll_end;
    atomic_bool has_begin_end; /* any of the four; written with ctx->lock held */

    PollTime time; /* home thread, as all below */
    bool begun;    /* io_poll_begin was called, and one of these is to be called at the end: */
    IOHandler *end;
    EventNotifierHandler *notifier_end;
};

/* ---- handlers ---- */

static AioPolled *polled_of_time(PollTime *time)
{
    return (AioPolled *)((char *)time - offsetof(AioPolled, time));
}

/* Handlers that only the monitor can see. Relaxed: who adds one makes the loop look anew by other
 * means, and a phase that has begun goes on. */
static void count_blind(AioContext *ctx, const AioHandler *handler, int n)
{
    if (handler && !handler->internal && !handler->io_poll) {
        atomic_fetch_add_explicit(&ctx->polling.n_blind, (unsigned)n, memory_order_relaxed);
    }
}

void aio_polling_replace(AioContext *ctx, AioHandler *old, AioHandler *handler)
{
    AioPolled *polled = old ? old->polled : NULL;

    count_blind(ctx, old, -1);
    count_blind(ctx, handler, 1);
    if (handler && !handler->internal) {
        if (!polled) {
            polled = g_new0(AioPolled, 1);
        }
        handler->polled = polled;
        /* Relaxed: whoever counts up holds the lock under which @old is still counted. */
        atomic_fetch_add_explicit(&polled->n_handlers, 1, memory_order_relaxed);
    }
    if (polled) {
        /* Release: the home thread gets a complete node. */
        atomic_store_explicit(&polled->handler, handler, memory_order_release);
    }
}

void aio_polling_handler_freed(AioContext *ctx, AioHandler *handler)
{
    AioPolled *polled = handler->polled;

    /* Acquire-release: the last one frees what others have written. */
    if (polled && atomic_fetch_sub_explicit(&polled->n_handlers, 1, memory_order_acq_rel) == 1) {
        poll_times_remove(&ctx->polling.times, &polled->time);
        g_free(polled);
    }
}

static void publish_begin_end(AioPolled *polled)
{
    /* Relaxed: who finds it set takes the lock. */
    atomic_store_explicit(&polled->has_begin_end,
                          polled->io_poll_begin || polled->io_poll_end ||
                              polled->notifier_poll_begin || polled->notifier_poll_end,
                          memory_order_relaxed);
}

static AioPolled *lookup_locked(AioContext *ctx, int fd)
{
    AioHandler *handler = g_hash_table_lookup(ctx->handlers, GINT_TO_POINTER(fd));

    return handler ? handler->polled : NULL;
}

void aio_set_fd_poll(AioContext *ctx, int fd, IOHandler *io_poll_begin, IOHandler *io_poll_end)
{
    AioPolled *polled;

    pthread_mutex_lock(&ctx->lock);
    polled = lookup_locked(ctx, fd);
    if (polled) {
        polled->io_poll_begin = io_poll_begin;
        polled->io_poll_end = io_poll_end;
        publish_begin_end(polled);
    }
    pthread_mutex_unlock(&ctx->lock);
}

void aio_set_event_notifier_poll(AioContext *ctx, EventNotifier *notifier,
                                 EventNotifierHandler *io_poll_begin,
                                 EventNotifierHandler *io_poll_end)
{
    AioPolled *polled;

    pthread_mutex_lock(&ctx->lock);
    polled = lookup_locked(ctx, event_notifier_get_fd(notifier));
    if (polled) {
        polled->notifier_poll_begin = io_poll_begin;
        polled->notifier_poll_end = io_poll_end;
        publish_begin_end(polled);
    }
    pthread_mutex_unlock(&ctx->lock);
}

/* ---- parameters ---- */

void aio_polling_set_params(AioContext *ctx, const AioContextParams *params)
{
    AioPolling *polling = &ctx->polling;

    /* Relaxed: any mixture of old and new ones does. */
    atomic_store_explicit(&polling->max_ns, params->poll_max_ns, memory_order_relaxed);
    atomic_store_explicit(&polling->grow, params->poll_grow, memory_order_relaxed);
    atomic_store_explicit(&polling->shrink, params->poll_shrink, memory_order_relaxed);
}

static bool can_poll(AioContext *ctx)
{
    return atomic_load_explicit(&ctx->polling.max_ns, memory_order_relaxed) > 0 &&
           (atomic_load_explicit(&ctx->fdmon, memory_order_relaxed)->peeks ||
            atomic_load_explicit(&ctx->polling.n_blind, memory_order_relaxed) == 0);
}

/* How long polling pays, as far as its events tell. */
static int64_t learnt_time_ns(AioContext *ctx)
{
    AioPolling *polling = &ctx->polling;

    return can_poll(ctx) ? MIN(atomic_load_explicit(&polling->learnt_ns, memory_order_relaxed),
                               atomic_load_explicit(&polling->max_ns, memory_order_relaxed))
                         : 0;
}

int64_t aio_polling_time_ns(AioContext *ctx)
{
    return atomic_load_explicit(&ctx->polling.scarce, memory_order_relaxed) ? 0
                                                                            : learnt_time_ns(ctx);
}

/* ---- processors ---- */

void aio_watch_run_delay(AioContext *ctx)
{
    AioPolling *polling = &ctx->polling;

    polling->run_delay_fd = run_delay_open();
    polling->period_from_ns = 0;
}

void aio_unwatch_run_delay(AioContext *ctx)
{
    AioPolling *polling = &ctx->polling;

    if (polling->run_delay_fd >= 0) {
        close(polling->run_delay_fd);
        polling->run_delay_fd = -1;
    }
    atomic_store_explicit(&polling->scarce, false, memory_order_relaxed);
}

/* A period of @elapsed_ns is over: whether the thread has waited for a processor for a good part of
 * it. Unknown is no. */
static bool has_waited(AioPolling *polling, int64_t elapsed_ns)
{
    int64_t before_ns = polling->delay_before_ns;
    int64_t divisor = atomic_load_explicit(&polling->scarce, memory_order_relaxed)
                          ? SCARCE_UNTIL_DIVISOR
                          : SCARCE_FROM_DIVISOR;

    polling->delay_before_ns = run_delay_ns(polling->run_delay_fd);
    return before_ns >= 0 && (polling->delay_before_ns - before_ns) * divisor > elapsed_ns;
}

/* Whether the thread of @ctx, which would poll now, shares its processor with others that want it:
 * then it sleeps, and they get on sooner with what it waits for. */
static bool processors_are_scarce(AioContext *ctx)
{
    AioPolling *polling = &ctx->polling;
    int64_t now_ns = ctx->activity->now_ns;
    int64_t elapsed_ns = now_ns - polling->period_from_ns;

    if (polling->run_delay_fd < 0) {
        return false;
    }
    if (polling->period_from_ns == 0) {
        polling->period_from_ns = now_ns;
        polling->delay_before_ns = -1;
    } else if (elapsed_ns >= SCARCE_PERIOD_NS) {
        /* Relaxed: only this thread writes it, for others to read. */
        atomic_store_explicit(&polling->scarce, has_waited(polling, elapsed_ns),
                              memory_order_relaxed);
        polling->period_from_ns = now_ns;
    }
    return atomic_load_explicit(&polling->scarce, memory_order_relaxed);
}

/* ---- a phase ---- */

/* Call @func for each handler that has to be looked at. */
static void foreach_polled(AioContext *ctx, void (*func)(AioContext *ctx, AioPolled *polled))
{
    for (PollTime *time = ctx->polling.times.looked_at.first; time; time = time->next) {
        func(ctx, polled_of_time(time));
    }
}

static AioHandler *present_handler(AioPolled *polled)
{
    /* Acquire: see aio_polling_replace(). The node stays while it is loaded here: only this thread
     * frees nodes, and not in a phase. */
    return atomic_load_explicit(&polled->handler, memory_order_acquire);
}

static void call_begin_or_end(AioHandler *handler, IOHandler *io_handler,
                              EventNotifierHandler *notifier_handler)
{
    if (handler->notifier) {
        if (notifier_handler) {
            notifier_handler(handler->notifier);
        }
    } else if (io_handler) {
        io_handler(handler->opaque);
    }
}

static void begin(AioContext *ctx, AioPolled *polled)
{
    AioHandler *handler = present_handler(polled);
    IOHandler *io_poll_begin;
    EventNotifierHandler *notifier_poll_begin;

    if (!atomic_load_explicit(&polled->has_begin_end, memory_order_relaxed) || !handler ||
        !handler->io_poll) {
        return;
    }
    pthread_mutex_lock(&ctx->lock);
    io_poll_begin = polled->io_poll_begin;
    notifier_poll_begin = polled->notifier_poll_begin;
    polled->end = polled->io_poll_end;
    polled->notifier_end = polled->notifier_poll_end;
    pthread_mutex_unlock(&ctx->lock);
    polled->begun = true;
    ctx->polling.begun = true;
    call_begin_or_end(handler, io_poll_begin, notifier_poll_begin);
}

static void end(AioContext *ctx, AioPolled *polled)
{
    AioHandler *handler = present_handler(polled);

    if (polled->begun) {
        polled->begun = false;
        if (handler) {
            call_begin_or_end(handler, polled->end, polled->notifier_end);
        }
    }
}

static void look_at(AioContext *ctx, AioPolled *polled)
{
    AioHandler *handler = present_handler(polled);

    /* It may have removed itself: then there is nothing to call. */
    if (handler && handler->io_poll && handler->io_poll(handler->opaque) &&
        present_handler(polled)) {
        aio_handler_ready(ctx, handler, AIO_HANDLER_POLLED);
    }
}

/* Whether there is work on @ctx, a timer aside. */
static bool look(AioContext *ctx)
{
    const FDMonOps *fdmon = atomic_load_explicit(&ctx->fdmon, memory_order_relaxed);

    foreach_polled(ctx, look_at);
    return ctx->ready_head || aio_handed_over(ctx) || (fdmon->peeks && fdmon->ready_now(ctx));
}

static void publish_time(AioContext *ctx)
{
    /* Relaxed: only this thread writes it, others read it as a number. */
    atomic_store_explicit(&ctx->polling.learnt_ns, poll_times_longest_ns(&ctx->polling.times),
                          memory_order_relaxed);
}

static void phase_over(AioContext *ctx, bool fruitless)
{
    if (ctx->polling.phase_to_count) {
        ctx->polling.phase_to_count = false;
        poll_times_phase_over(&ctx->polling.times, fruitless);
    }
}

static void phase_begins(AioContext *ctx, int64_t now_ns)
{
    /* Driven by GLib, a wait that brought nothing is followed by no pass that could count it. */
    phase_over(ctx, true);
    publish_time(ctx);
    ctx->depth++; /* so that a nested pass of an io_poll frees no handlers */
    ctx->polling.in_phase = true;
    ctx->polling.phase_to_count = true;
    ctx->polling.wait_from_ns = now_ns;
    foreach_polled(ctx, begin);
}

/* Returns whether there is something to do after all. */
static bool phase_ends(AioContext *ctx)
{
    bool found = false;

    if (ctx->polling.begun) {
        ctx->polling.begun = false;
        foreach_polled(ctx, end);
        found = look(ctx);
    }
    ctx->polling.in_phase = false;
    ctx->depth--;
    return found;
}

/* Poll @contexts, which share their thread, for *@time_ns, which becomes the time it took when
 * there is nothing to do. Returns whether there is. */
static bool poll_for_work(AioContext *const *contexts, size_t n, int64_t *time_ns)
{
    LoopActivity *activity = contexts[0]->activity;
    bool found = false;
    int64_t begin_ns;
    int64_t elapsed_ns = 0;

    activity_enter(activity, AIO_STATE_POLLING);
    begin_ns = activity->now_ns;
    for (size_t i = 0; i < n; i++) {
        phase_begins(contexts[i], begin_ns);
    }
    while (!found && elapsed_ns < *time_ns) {
        for (size_t i = 0; i < n; i++) {
            found |= look(contexts[i]) || aio_timers_timeout_ns(contexts[i]) == 0;
        }
        if (!found) {
            elapsed_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) - begin_ns;
        }
    }
    *time_ns = elapsed_ns;
    for (size_t i = 0; i < n; i++) {
        found |= phase_ends(contexts[i]);
    }
    counter_add(found ? &contexts[0]->polling.hits : &contexts[0]->polling.misses, 1);
    return found;
}

/* How long to poll @ctx for its next timer: all the time until then, when that is no longer than it
 * may poll. There is nothing to learn, and sleeping would make the timer late by a wake-up. */
static int64_t timer_phase_ns(AioContext *ctx)
{
    int64_t timeout_ns = aio_timers_timeout_ns(ctx);

    /* Relaxed: as in aio_polling_set_params(). */
    return timeout_ns <= atomic_load_explicit(&ctx->polling.max_ns, memory_order_relaxed)
               ? timeout_ns
               : 0;
}

/* How long to poll @contexts, which may sleep for @timeout_ns: 0 when not at all. */
static int64_t phase_ns(AioContext *const *contexts, size_t n, int64_t timeout_ns)
{
    int64_t time_ns = 0;
    bool scarce = false;

    for (size_t i = 0; i < n; i++) {
        if (contexts[i]->polling.in_phase || !can_poll(contexts[i])) {
            return 0;
        }
        time_ns = MAX(time_ns, learnt_time_ns(contexts[i]));
        time_ns = MAX(time_ns, timer_phase_ns(contexts[i]));
    }
    for (size_t i = 0; i < n && time_ns > 0; i++) {
        scarce |= processors_are_scarce(contexts[i]);
    }
    for (size_t i = 0; i < n && scarce; i++) {
        contexts[i]->polling.forgone = true;
    }
    return scarce ? 0 : soonest_timeout(time_ns, timeout_ns);
}

bool aio_polling_run(AioContext *ctx)
{
    int64_t time_ns = phase_ns(&ctx, 1, -1);

    if (time_ns == 0) {
        return false;
    }
    aio_prepare_fdmon(ctx, true);
    time_ns = aio_notified(ctx) ? 0 : soonest_timeout(time_ns, aio_compute_timeout(ctx));
    return time_ns == 0 || poll_for_work(&ctx, 1, &time_ns);
}

int64_t aio_polling_run_prepared(AioContext *const *contexts, size_t n, int64_t timeout_ns)
{
    int64_t time_ns = phase_ns(contexts, n, timeout_ns);
    uint64_t armed = 0; /* a bit for each context */
    bool found;

    if (time_ns == 0) {
        return timeout_ns;
    }
    for (size_t i = 0; i < n; i++) {
        /* Relaxed: it is this thread that has set it. */
        if (atomic_load_explicit(&contexts[i]->notify_me, memory_order_relaxed) &
            NOTIFY_ME_GSOURCE) {
            armed |= UINT64_C(1) << i;
            aio_notify_disarm(contexts[i], NOTIFY_ME_GSOURCE);
        }
    }
    found = poll_for_work(contexts, n, &time_ns);
    for (size_t i = 0; i < n && !found; i++) {
        /* Again as a whole: a callback of the phase may have left work to the monitor. */
        found = (armed >> i & 1) && aio_prepare_timeout(contexts[i]) == 0;
    }
    if (found) {
        return 0;
    }
    return timeout_ns < 0 ? -1 : MAX(timeout_ns - time_ns, 0);
}

/* ---- learning ---- */

void aio_polling_wakes(AioContext *ctx)
{
    if (can_poll(ctx)) {
        /* Relaxed: the home thread may miss it, or see it early. */
        atomic_store_explicit(&ctx->polling.woken_at_ns, qemu_clock_get_ns(QEMU_CLOCK_REALTIME),
                              memory_order_relaxed);
    }
}

/* The loop is awake. Learn from the notifier that woke it, if one did; not with @to_learn false. */
static void learn_wake(AioContext *ctx, bool to_learn)
{
    AioPolling *polling = &ctx->polling;
    int64_t from_ns = atomic_load_explicit(&polling->woken_at_ns, memory_order_relaxed);

    if (from_ns != 0) {
        atomic_store_explicit(&polling->woken_at_ns, 0, memory_order_relaxed);
        if (to_learn) {
            polling->wake_ns =
                poll_time_learn_wake(polling->wake_ns, ctx->activity->now_ns - from_ns);
        }
    }
}

void aio_polling_blocks(AioContext *const *contexts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* What it would have found by polling it can't learn by sleeping. */
        if (!can_poll(contexts[i]) || contexts[i]->polling.forgone) {
            return;
        }
    }
    for (size_t i = 0; i < n; i++) {
        AioPolling *polling = &contexts[i]->polling;

        if (polling->wait_from_ns < 0) {
            polling->wait_from_ns = contexts[i]->activity->now_ns;
        }
    }
}

void aio_polling_wait_over(AioContext *ctx)
{
    AioPolling *polling = &ctx->polling;

    polling->waited_ns =
        polling->wait_from_ns < 0 ? -1 : ctx->activity->now_ns - polling->wait_from_ns;
    polling->wait_from_ns = -1;
    learn_wake(ctx, !polling->forgone);
    polling->forgone = false;
}

static void learn_from(AioContext *ctx, PollTime *time, bool looked_at)
{
    AioPolling *polling = &ctx->polling;
    PollTimeParams params = {
        .max_ns = atomic_load_explicit(&polling->max_ns, memory_order_relaxed),
        .grow = atomic_load_explicit(&polling->grow, memory_order_relaxed),
        .shrink = atomic_load_explicit(&polling->shrink, memory_order_relaxed),
        .wake_ns = polling->wake_ns,
    };

    poll_times_event(&polling->times, time, looked_at, &params, polling->waited_ns);
}

void aio_polling_learn(AioContext *ctx, bool notified)
{
    AioPolling *polling = &ctx->polling;
    bool completed = aio_requests_completed(ctx);

    if (polling->waited_ns < 0 || polling->in_phase) {
        return;
    }
    for (AioHandler *handler = ctx->ready_head; handler; handler = handler->next_ready) {
        if (handler->polled) {
            learn_from(ctx, &handler->polled->time, handler->io_poll != NULL);
        }
    }
    if (notified) {
        learn_from(ctx, &polling->notifier, false);
    }
    if (completed) {
        learn_from(ctx, &polling->requests, false);
    }
    phase_over(ctx, !ctx->ready_head && !notified && !completed);
    polling->waited_ns = -1;
    publish_time(ctx);
}
