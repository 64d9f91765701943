/*
 * Timers: each context has one list for each clock.
 *
 * A pass takes all timers that are due out of the heap first, and then fires them one by one. So
 * those fire in deadline order, and what a callback arms waits for a later pass. A timer that has
 * been taken out but not fired yet is still pending: it can be armed anew or disarmed, by any
 * thread, and a nested pass fires it.
 *
 * All of this is guarded by the list's lock, but for one thing: to push the deadline of a timer in
 * the heap back takes a compare-and-swap of expire_time and nothing else, neither the lock nor the
 * heap. So whoever takes a timer out of the heap does that with a read-modify-write of expire_time
 * too: either the push-back came before and is heeded, or it fails and takes the lock.
 */
#include "config.h"
#include "loop/aio-internal.h"

/* A callback that is being run; on the stack of aio_timers_run(). */
struct TimerRun {
    QEMUTimer *timer; /* NULL once the callback, or another thread, has deinitialised it */
    TimerRun *outer;
};

static const int64_t never = INT64_MAX;

void timer_list_init(QEMUTimerList *list, AioContext *ctx, QEMUClockType clock)
{
    list->ctx = ctx;
    list->clock = clock;
    pthread_mutex_init(&list->lock, NULL);
    timer_heap_init(&list->heap);
    list->next_deadline = never;
}

/* Those that are left of an earlier pass, or of the pass around a nested one, may be due later. */
static void firing_insert(QEMUTimerList *list, QEMUTimer *timer)
{
    QEMUTimer *before = list->firing_tail;

    while (before && before->key > timer->key) {
        before = before->prev;
    }
    timer->where = TIMER_FIRING;
    timer->prev = before;
    timer->next = before ? before->next : list->firing_head;
    if (timer->prev) {
        timer->prev->next = timer;
    } else {
        list->firing_head = timer;
    }
    if (timer->next) {
        timer->next->prev = timer;
    } else {
        list->firing_tail = timer;
    }
}

static void firing_remove(QEMUTimerList *list, QEMUTimer *timer)
{
    if (timer->prev) {
        timer->prev->next = timer->next;
    } else {
        list->firing_head = timer->next;
    }
    if (timer->next) {
        timer->next->prev = timer->prev;
    } else {
        list->firing_tail = timer->prev;
    }
    timer->where = TIMER_IDLE;
}

/* Publish the first deadline; sequentially consistent for aio_notify_waiting(). With the lock
 * held. */
static void publish_deadline(QEMUTimerList *list)
{
    int64_t deadline = never;

    if (list->firing_head) {
        deadline = 0;
    } else if (list->heap.len > 0) {
        deadline = list->heap.entries[0].key;
    }
    if (atomic_load_explicit(&list->next_deadline, memory_order_relaxed) != deadline) {
        atomic_store(&list->next_deadline, deadline);
    }
}

/* The first deadline may be later than it is published. Sequentially consistent, like settle() and
 * the load of next_deadline in push_back(): a push-back that settle() does not see yet is found in
 * head_stale afterwards. */
static void mark_stale(QEMUTimerList *list)
{
    atomic_store(&list->head_stale, true);
}

/* Find the first timer of the heap. With the lock held. */
static QEMUTimer *settle(QEMUTimerList *list)
{
    if (atomic_load_explicit(&list->head_stale, memory_order_relaxed)) {
        atomic_store(&list->head_stale, false);
    }
    return timer_heap_settle(&list->heap);
}

static void unlink_locked(QEMUTimerList *list, QEMUTimer *timer)
{
    /* Relaxed, and no exchange: a push-back that comes before is revoked by it, one that comes
     * after fails. */
    atomic_store_explicit(timer_expire(timer), TIMER_EXPIRE_IDLE, memory_order_relaxed);
    if (timer->where >= 0) {
        if (timer->where == 0) {
            /* The next one may have been pushed back while this one hid it. */
            mark_stale(list);
        }
        timer_heap_remove(&list->heap, timer);
    } else if (timer->where == TIMER_FIRING) {
        firing_remove(list, timer);
    }
}

void timer_list_disarm(QEMUTimerList *list)
{
    pthread_mutex_lock(&list->lock);
    while (list->firing_head) {
        unlink_locked(list, list->firing_head);
    }
    while (list->heap.len > 0) {
        unlink_locked(list, list->heap.entries[list->heap.len - 1].timer);
    }
    timer_heap_cleanup(&list->heap);
    publish_deadline(list);
    pthread_mutex_unlock(&list->lock);
}

void timer_list_cleanup(QEMUTimerList *list)
{
    pthread_mutex_destroy(&list->lock);
}

void aio_timer_init_full(AioContext *ctx, QEMUTimer *ts, QEMUClockType type, int scale,
                         QEMUTimerCB *cb, void *opaque, const char *name)
{
    *ts = (QEMUTimer){
        .timer_list = &ctx->timers[type],
        .cb = cb,
        .opaque = opaque,
        .name = name,
        .scale = scale,
        .where = TIMER_IDLE,
        .expire_time = TIMER_EXPIRE_IDLE,
    };
    aio_context_memory_ref(ctx);
}

QEMUTimer *aio_timer_new_full(AioContext *ctx, QEMUClockType type, int scale, QEMUTimerCB *cb,
                              void *opaque, const char *name)
{
    QEMUTimer *ts = g_new(QEMUTimer, 1);

    aio_timer_init_full(ctx, ts, type, scale, cb, opaque, name);
    return ts;
}

/* Push @ts, which has to be in the heap, back to @expire_time; false when it is not that simple. No
 * loop needs to be woken for a later deadline. */
static bool push_back(QEMUTimer *ts, int64_t expire_time)
{
    QEMUTimerList *list = ts->timer_list; /* now, for its callback may free a timer that is armed */
    /* Relaxed: the exchange checks it. */
    int64_t before = atomic_load_explicit(timer_expire(ts), memory_order_relaxed);

    /* Release, part of sequential consistency: the callback sees what this thread did before. */
    if (before < 0 || expire_time < before ||
        !atomic_compare_exchange_strong(timer_expire(ts), &before, expire_time)) {
        return false;
    }
    if (before <= atomic_load(&list->next_deadline)) {
        mark_stale(list);
    }
    return true;
}

/* Set a deadline that may be an earlier one, for timer_arm(). With the lock held. */
static void arm_locked(QEMUTimerList *list, QEMUTimer *ts, int64_t expire_time)
{
    if (ts->where >= 0) {
        /* An exchange, not a store, so that whoever fires the timer still sees what the thread did
         * that pushed it back before. Relaxed otherwise: the lock orders it. */
        atomic_exchange_explicit(timer_expire(ts), expire_time, memory_order_relaxed);
        timer_heap_update(&list->heap, ts);
    } else {
        if (ts->where == TIMER_FIRING) {
            firing_remove(list, ts);
        }
        atomic_store_explicit(timer_expire(ts), expire_time, memory_order_relaxed);
        timer_heap_insert(&list->heap, ts);
    }
    if (ts->where == 0 && list->heap.entries[0].key != expire_time) {
        mark_stale(list);
    }
}

/* The deadline of @ts, -1 when it is not pending. With the lock held. */
static int64_t expire_time_locked(QEMUTimer *ts)
{
    int64_t expire_time = atomic_load_explicit(timer_expire(ts), memory_order_relaxed);

    return expire_time == TIMER_EXPIRE_FIRING ? ts->key : expire_time;
}

/* Arm @ts for @expire_time; with @anticipate only when that is earlier. */
static void timer_arm(QEMUTimer *ts, int64_t expire_time, bool anticipate)
{
    QEMUTimerList *list = ts->timer_list;
    bool earlier = false;
    int64_t present;

    expire_time = MAX(expire_time, 0);
    if (!anticipate && push_back(ts, expire_time)) {
        return;
    }
    if (list->clock == QEMU_CLOCK_HOST) {
        aio_watch_clock_jumps(list->ctx);
    }
    pthread_mutex_lock(&list->lock);
    present = expire_time_locked(ts);
    if (!anticipate || present < 0 || expire_time < present) {
        int64_t before = atomic_load_explicit(&list->next_deadline, memory_order_relaxed);

        arm_locked(list, ts, expire_time);
        publish_deadline(list);
        earlier = atomic_load_explicit(&list->next_deadline, memory_order_relaxed) < before;
    }
    pthread_mutex_unlock(&list->lock);

    if (earlier) {
        aio_notify_waiting(list->ctx);
    }
}

void timer_mod_ns(QEMUTimer *ts, int64_t expire_time)
{
    timer_arm(ts, expire_time, false);
}

void timer_mod_anticipate_ns(QEMUTimer *ts, int64_t expire_time)
{
    timer_arm(ts, expire_time, true);
}

void timer_mod(QEMUTimer *ts, int64_t expire_time)
{
    int64_t expire_ns;

    if (__builtin_mul_overflow(expire_time, (int64_t)ts->scale, &expire_ns)) {
        expire_ns = expire_time < 0 ? 0 : INT64_MAX;
    }
    timer_arm(ts, expire_ns, false);
}

void timer_del(QEMUTimer *ts)
{
    QEMUTimerList *list = ts->timer_list;

    if (list) {
        pthread_mutex_lock(&list->lock);
        unlink_locked(list, ts);
        publish_deadline(list);
        pthread_mutex_unlock(&list->lock);
    }
}

void timer_deinit(QEMUTimer *ts)
{
    QEMUTimerList *list = ts->timer_list;

    if (list) {
        pthread_mutex_lock(&list->lock);
        unlink_locked(list, ts);
        publish_deadline(list);
        for (TimerRun *run = list->running; run; run = run->outer) {
            if (run->timer == ts) {
                run->timer = NULL;
            }
        }
        pthread_mutex_unlock(&list->lock);
        ts->timer_list = NULL;
        aio_context_memory_unref(list->ctx);
    }
}

void timer_free(QEMUTimer *ts)
{
    if (ts) {
        timer_deinit(ts);
        g_free(ts);
    }
}

bool timer_pending(QEMUTimer *ts)
{
    return timer_expire_time_ns(ts) >= 0;
}

int64_t timer_expire_time_ns(QEMUTimer *ts)
{
    QEMUTimerList *list = ts->timer_list;
    int64_t expire_time = -1;

    if (list) {
        pthread_mutex_lock(&list->lock);
        expire_time = expire_time_locked(ts);
        pthread_mutex_unlock(&list->lock);
    }
    return expire_time;
}

/* Make sure that no timer of the firing list can be pushed back any more; those that were since
 * they came here go back to the heap. With the lock held. */
static void claim_firing(QEMUTimerList *list)
{
    QEMUTimer *next;

    for (QEMUTimer *timer = list->firing_head; timer; timer = next) {
        int64_t expire_time = timer->key;

        next = timer->next;
        /* Acquire, part of sequential consistency: see push_back(). */
        if (!atomic_compare_exchange_strong(timer_expire(timer), &expire_time,
                                            TIMER_EXPIRE_FIRING) &&
            expire_time != TIMER_EXPIRE_FIRING) {
            firing_remove(list, timer);
            timer_heap_insert(&list->heap, timer);
        }
    }
}

/* Move what is due at @now from the heap to its place in the firing list. With the lock held. */
static void take_due(QEMUTimerList *list, int64_t now)
{
    QEMUTimer *timer;

    while ((timer = settle(list)) && timer->key <= now) {
        timer_heap_remove(&list->heap, timer);
        firing_insert(list, timer);
    }
    /* All at once: each exchange waits for the stores before it, and removing one of many timers
     * stores to memory that no cache holds. */
    claim_firing(list);
}

/* Count a call; the timer may have been deinitialised meanwhile. With the lock held. */
static void record_call(QEMUTimer *timer, int64_t elapsed_ns)
{
    if (timer) {
        timer->calls++;
        timer->total_ns += (uint64_t)elapsed_ns;
        timer->max_ns = MAX(timer->max_ns, (uint64_t)elapsed_ns);
    }
}

static bool run_list(QEMUTimerList *list)
{
    LoopActivity *activity = list->ctx->activity;
    int64_t deadline = atomic_load_explicit(&list->next_deadline, memory_order_relaxed);
    bool progress = false;
    ActivityScope outer;
    int64_t now;

    if (deadline == never || !qemu_clock_is_enabled(list->clock)) {
        return false;
    }
    now = qemu_clock_get_ns(list->clock);
    if (deadline > now) {
        return false;
    }

    activity_save(activity, &outer);
    pthread_mutex_lock(&list->lock);
    take_due(list, now);
    while (list->firing_head && qemu_clock_is_enabled(list->clock)) {
        TimerRun run = { .timer = list->firing_head, .outer = list->running };
        QEMUTimerCB *cb = run.timer->cb;
        void *opaque = run.timer->opaque;
        ActivityCall call = { run.timer->name, AIO_TRACE_TIMER, -1 };
        int64_t begin_ns;
        int64_t length_ns;

        unlink_locked(list, run.timer);
        publish_deadline(list);
        list->running = &run;
        begin_ns = activity_call_next(activity, call.name);
        pthread_mutex_unlock(&list->lock);

        cb(opaque);
        progress = true;
        length_ns = activity_call_done(activity, begin_ns, call);

        counter_add(&list->ctx->timer_callbacks, 1);
        pthread_mutex_lock(&list->lock);
        list->running = run.outer;
        record_call(run.timer, length_ns);
    }
    publish_deadline(list);
    pthread_mutex_unlock(&list->lock);
    activity_restore(activity, &outer);
    return progress;
}

bool aio_timers_run(AioContext *ctx)
{
    bool progress = false;

    for (int i = 0; i < QEMU_CLOCK_MAX; i++) {
        progress |= run_list(&ctx->timers[i]);
    }
    return progress;
}

static int64_t list_timeout_ns(QEMUTimerList *list)
{
    int64_t deadline = atomic_load(&list->next_deadline);
    int64_t remaining;

    if (deadline == never || !qemu_clock_is_enabled(list->clock)) {
        return -1;
    }
    if (atomic_load_explicit(&list->head_stale, memory_order_relaxed)) {
        pthread_mutex_lock(&list->lock);
        settle(list);
        publish_deadline(list);
        deadline = atomic_load_explicit(&list->next_deadline, memory_order_relaxed);
        pthread_mutex_unlock(&list->lock);
    }
    /* One reading of the clock: MAX() would take two, and the deadline may lie between them. */
    remaining = deadline - qemu_clock_get_ns(list->clock);
    return MAX(remaining, 0);
}

int64_t aio_timers_timeout_ns(AioContext *ctx)
{
    int64_t soonest = -1;

    for (int i = 0; i < QEMU_CLOCK_MAX; i++) {
        soonest = soonest_timeout(soonest, list_timeout_ns(&ctx->timers[i]));
    }
    return soonest;
}

static void report_timer(QEMUTimer *timer, AioSourceFunc *func, void *opaque)
{
    AioSourceInfo info = {
        .kind = AIO_SOURCE_TIMER,
        .name = timer->name,
        .fd = -1,
        .deadline_ns = expire_time_locked(timer),
        .calls = timer->calls,
        .total_ns = timer->total_ns,
        .max_ns = timer->max_ns,
    };

    func(&info, opaque);
}

void aio_timers_foreach_source(AioContext *ctx, AioSourceFunc *func, void *opaque)
{
    for (int i = 0; i < QEMU_CLOCK_MAX; i++) {
        QEMUTimerList *list = &ctx->timers[i];

        pthread_mutex_lock(&list->lock);
        for (size_t j = 0; j < list->heap.len; j++) {
            report_timer(list->heap.entries[j].timer, func, opaque);
        }
        for (QEMUTimer *timer = list->firing_head; timer; timer = timer->next) {
            report_timer(timer, func, opaque);
        }
        for (TimerRun *run = list->running; run; run = run->outer) {
            if (run->timer && run->timer->where == TIMER_IDLE) {
                report_timer(run->timer, func, opaque);
            }
        }
        pthread_mutex_unlock(&list->lock);
    }
}
