/*
 * The thread pool of a context (see loop/thread-pool.h).
 *
 * One lock guards a pool. Idle workers are on a stack, each with a condition of its own, so that
 * under little load the same few work and the others get old enough to leave. A submitter hands
 * its request to the worker on top; only when there is none does the request go to the queue. So
 * while a worker is idle the queue is empty.
 *
 * Threads start one after the other. Whoever finds that one is wanted claims the start under the
 * lock and calls pthread_create() without it; the new worker takes a request, and looks whether
 * another worker is wanted before it runs it. A worker that leaves joins the one that left before
 * it, so there is at most one to be joined at the end.
 *
 * Results go to a list, in the order in which they come. Whoever makes it non-empty schedules the
 * pool's bottom half, once for a burst.
 */
#include "config.h"
#include "loop/thread-pool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "loop/aio-internal.h"

typedef enum {
    REQUEST_QUEUED,
    REQUEST_TAKEN,
    REQUEST_DONE,
} RequestState;

struct ThreadPoolRequest {
    ThreadPool *pool;
    ThreadPoolFunc *func;
    ThreadPoolDoneFunc *done;
    void *opaque;
    const char *name;
    RequestState state; /* guarded by the pool's lock, as all below */
    int result;
    GList link; /* in the queue, then in the list of results, then in the home thread's */
};

/* On the stack of its thread. */
typedef struct Worker {
    pthread_cond_t wake;        /* it has got a request, or the bounds or the pool's life changed */
    ThreadPoolRequest *request; /* handed over while it was idle */
    GList link;                 /* in pool->idle */
} Worker;

struct ThreadPool {
    AioContext *ctx;
    QEMUBH *bh;      /* calls the done callbacks */
    unsigned number; /* for the threads' names */
    GQueue ready;    /* home thread: results that have been taken to be delivered */

    pthread_mutex_t lock; /* guards the rest; ctx->lock may be taken under it */
    int min;
    int max;
    int n_threads;        /* includes one that is being started */
    bool starting;        /* one is: it has not arrived yet */
    bool stopping;        /* no function is begun any more */
    unsigned n_started;   /* ever, for the threads' names */
    GQueue queue;         /* requests that wait for a worker, the first first */
    GQueue idle;          /* workers, the one that became idle last first */
    GQueue done;          /* requests that are over, the first first */
    pthread_t last_left;  /* the worker that left last, not joined yet */
    bool has_left;        /* there is one */
    pthread_cond_t empty; /* n_threads has become 0 */
};

/* The pool whose worker this thread is. */
static _Thread_local const ThreadPool *pool_of_thread;

/* ---- requests ---- */

/* Put a request that is over on the list of results. True when the caller is to schedule the
 * bottom half, without the lock. */
static bool finish_locked(ThreadPool *pool, ThreadPoolRequest *request, int result)
{
    request->state = REQUEST_DONE;
    request->result = result;
    g_queue_push_tail_link(&pool->done, &request->link);
    return pool->done.length == 1;
}

/* As finish_locked(), of everything in the queue. */
static bool finish_queue_locked(ThreadPool *pool, int result)
{
    bool schedule = false;
    GList *link;

    while ((link = g_queue_pop_head_link(&pool->queue))) {
        schedule |= finish_locked(pool, link->data, result);
    }
    return schedule;
}

/* ---- starting workers ---- */

static void *worker_main(void *opaque);

/* Claim the start of a worker when one is wanted: to reach the minimum, or for the queue. True
 * when the caller is to call start_worker(), without the lock. */
static bool claim_start_locked(ThreadPool *pool)
{
    if (pool->starting || pool->stopping || pool->n_threads >= pool->max ||
        (pool->n_threads >= pool->min && pool->queue.length == 0)) {
        return false;
    }
    pool->starting = true;
    pool->n_started++;
    pool->n_threads++;
    return true;
}

/* The thread that was claimed does not come. Those that are there see to the queue; when there are
 * none, nobody would. */
static void start_failed(ThreadPool *pool, int err)
{
    bool schedule = false;

    pthread_mutex_lock(&pool->lock);
    pool->starting = false;
    pool->n_threads--;
    if (pool->n_threads == 0) {
        schedule = finish_queue_locked(pool, -err);
        pthread_cond_broadcast(&pool->empty);
    }
    pthread_mutex_unlock(&pool->lock);
    if (schedule) {
        qemu_bh_schedule(pool->bh);
    }
}

/* Start the worker that was claimed, with all signals blocked: they are for the main thread. */
static void start_worker(ThreadPool *pool)
{
    pthread_t thread;
    sigset_t all;
    sigset_t saved;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    err = pthread_create(&thread, NULL, worker_main, pool);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (err != 0) {
        start_failed(pool, err);
    }
}

/* ---- a worker ---- */

static bool must_leave_locked(const ThreadPool *pool)
{
    return pool->stopping || pool->n_threads > pool->max;
}

/* Sleep until there is a request; NULL when the worker is to leave. */
static ThreadPoolRequest *wait_idle_locked(ThreadPool *pool, Worker *worker)
{
    struct timespec deadline;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += THREAD_POOL_IDLE_S;
    worker->request = NULL;
    g_queue_push_head_link(&pool->idle, &worker->link);
    while (!worker->request) {
        bool late = false;

        if (pool->n_threads > pool->min) {
            late = pthread_cond_timedwait(&worker->wake, &pool->lock, &deadline) == ETIMEDOUT;
        } else {
            pthread_cond_wait(&worker->wake, &pool->lock);
        }
        if (!worker->request &&
            (must_leave_locked(pool) || (late && pool->n_threads > pool->min))) {
            g_queue_unlink(&pool->idle, &worker->link);
            return NULL;
        }
    }
    return worker->request;
}

/* Take the first request off the queue; NULL when there is none, or the worker must leave. */
static ThreadPoolRequest *take_queued_locked(ThreadPool *pool)
{
    GList *link = must_leave_locked(pool) ? NULL : g_queue_pop_head_link(&pool->queue);
    ThreadPoolRequest *request = link ? link->data : NULL;

    if (request) {
        request->state = REQUEST_TAKEN;
    }
    return request;
}

/* The next request for @worker; NULL when it is to leave. */
static ThreadPoolRequest *next_request_locked(ThreadPool *pool, Worker *worker)
{
    ThreadPoolRequest *request = take_queued_locked(pool);

    if (claim_start_locked(pool)) {
        pthread_mutex_unlock(&pool->lock);
        start_worker(pool);
        pthread_mutex_lock(&pool->lock);
        request = request ?: take_queued_locked(pool);
    }
    if (!request && !must_leave_locked(pool)) {
        request = wait_idle_locked(pool, worker);
    }
    return request;
}

/* Give the lock back and leave; from then on the pool may be gone. */
static void leave_and_unlock(ThreadPool *pool)
{
    pthread_t predecessor = pool->last_left;
    bool has_predecessor = pool->has_left;

    pool->last_left = pthread_self();
    pool->has_left = true;
    pool->n_threads--;
    if (pool->n_threads == 0) {
        pthread_cond_broadcast(&pool->empty);
    }
    pthread_mutex_unlock(&pool->lock);
    if (has_predecessor) {
        pthread_join(predecessor, NULL);
    }
}

static void worker_init(Worker *worker)
{
    pthread_condattr_t attr;

    worker->link = (GList){ .data = worker };
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->wake, &attr);
    pthread_condattr_destroy(&attr);
}

/* Become known as a worker of @pool; takes the lock. */
static void arrive_and_lock(ThreadPool *pool)
{
    char name[16];

    pool_of_thread = pool;
    /* Without the lock: until this one has arrived no other start is claimed. */
    snprintf(name, sizeof(name), "pool-%u-%u", pool->number % 10000, pool->n_started % 10000);
    pthread_setname_np(pthread_self(), name);
    pthread_mutex_lock(&pool->lock);
    pool->starting = false;
}

static void *worker_main(void *opaque)
{
    ThreadPool *pool = opaque;
    ThreadPoolRequest *request;
    Worker worker;

    worker_init(&worker);
    arrive_and_lock(pool);
    while ((request = next_request_locked(pool, &worker))) {
        int result;

        pthread_mutex_unlock(&pool->lock);
        result = request->func(request->opaque);
        pthread_mutex_lock(&pool->lock);
        if (finish_locked(pool, request, result)) {
            /* Without the lock: the home thread would wake up to find it taken. */
            pthread_mutex_unlock(&pool->lock);
            qemu_bh_schedule(pool->bh);
            pthread_mutex_lock(&pool->lock);
        }
    }
    pthread_cond_destroy(&worker.wake);
    leave_and_unlock(pool);
    return NULL;
}

/* ---- results ---- */

static void call_done(ThreadPool *pool, ThreadPoolRequest *request)
{
    LoopActivity *activity = pool->ctx->activity;
    ActivityScope scope;

    activity_call_begin(activity, &scope, request->name);
    request->done(request->opaque, request->result);
    activity_call_end(activity, &scope, (ActivityCall){ request->name, AIO_TRACE_JOB, -1 });
    g_free(request);
}

static void take_results(ThreadPool *pool)
{
    GList *link;

    pthread_mutex_lock(&pool->lock);
    while ((link = g_queue_pop_head_link(&pool->done))) {
        g_queue_push_tail_link(&pool->ready, link);
    }
    pthread_mutex_unlock(&pool->lock);
}

/* Take back a scheduling that has become needless, unless there are new results to run for: the
 * look at them comes after, so it sees those of whoever's scheduling was taken back. */
static void unschedule(ThreadPool *pool)
{
    bool more;

    qemu_bh_cancel(pool->bh);
    pthread_mutex_lock(&pool->lock);
    more = pool->done.length > 0;
    pthread_mutex_unlock(&pool->lock);
    if (more) {
        qemu_bh_schedule(pool->bh);
    }
}

/* Call the done callbacks of what is over now; true when there were any. What ends meanwhile waits
 * for a later pass, so that a chain of requests can't starve the descriptors. */
static bool deliver(ThreadPool *pool)
{
    bool any = false;
    bool scheduled = false;
    GList *link;

    take_results(pool);
    while ((link = g_queue_pop_head_link(&pool->ready))) {
        if (pool->ready.length > 0) {
            /* A nested pass in the callback may wait for one of the others. */
            qemu_bh_schedule(pool->bh);
            scheduled = true;
        }
        call_done(pool, link->data);
        any = true;
    }
    if (scheduled) {
        unschedule(pool);
    }
    return any;
}

static void deliver_bh(void *opaque)
{
    deliver(opaque);
}

/* ---- life ---- */

/* Adopt the bounds that are in force, and start a worker when they ask for one now. */
static void adopt_params(ThreadPool *pool)
{
    AioContextParams params;
    bool start;

    pthread_mutex_lock(&pool->lock);
    /* Under the pool's lock: of two calls the later one adopts the newest bounds. */
    aio_context_get_params(pool->ctx, &params);
    pool->min = (int)params.thread_pool_min;
    pool->max = (int)params.thread_pool_max;
    for (GList *link = pool->idle.head; link; link = link->next) {
        Worker *worker = link->data;

        pthread_cond_signal(&worker->wake);
    }
    start = claim_start_locked(pool);
    pthread_mutex_unlock(&pool->lock);
    if (start) {
        start_worker(pool);
    }
}

static void pool_free(ThreadPool *pool)
{
    qemu_bh_delete(pool->bh);
    pthread_cond_destroy(&pool->empty);
    pthread_mutex_destroy(&pool->lock);
    g_free(pool);
}

static ThreadPool *pool_new(AioContext *ctx)
{
    static _Atomic unsigned last_number;
    ThreadPool *pool = g_new0(ThreadPool, 1);

    pool->ctx = ctx;
    pool->bh = aio_bh_new_full(ctx, deliver_bh, pool, "thread-pool");
    /* Relaxed: all that matters is that numbers differ. */
    pool->number = atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->empty, NULL);
    return pool;
}

/* The pool of @ctx, made when there is none. */
static ThreadPool *get_pool(AioContext *ctx)
{
    /* Acquire, and release below: a pool is complete when others see it. */
    ThreadPool *pool = atomic_load_explicit(&ctx->thread_pool, memory_order_acquire);
    ThreadPool *expected = NULL;

    if (pool) {
        return pool;
    }
    pool = pool_new(ctx);
    if (!atomic_compare_exchange_strong_explicit(&ctx->thread_pool, &expected, pool,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        pool_free(pool);
        return expected;
    }
    /* After it was published: who sets the bounds either sees the pool, or has set them for us. */
    adopt_params(pool);
    return pool;
}

void aio_thread_pool_update(AioContext *ctx)
{
    ThreadPool *pool = atomic_load_explicit(&ctx->thread_pool, memory_order_acquire);

    if (pool) {
        adopt_params(pool);
    }
}

bool aio_thread_pool_finish(AioContext *ctx)
{
    ThreadPool *pool = atomic_load_explicit(&ctx->thread_pool, memory_order_acquire);

    if (!pool) {
        return false;
    }
    g_assert(pool_of_thread != pool);
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    finish_queue_locked(pool, -ECANCELED);
    for (GList *link = pool->idle.head; link; link = link->next) {
        Worker *worker = link->data;

        pthread_cond_signal(&worker->wake);
    }
    while (pool->n_threads > 0) {
        pthread_cond_wait(&pool->empty, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    /* Nobody else looks at these two any more. */
    if (pool->has_left) {
        pthread_join(pool->last_left, NULL);
        pool->has_left = false;
    }
    return deliver(pool);
}

void aio_thread_pool_free(AioContext *ctx)
{
    ThreadPool *pool = atomic_load_explicit(&ctx->thread_pool, memory_order_acquire);

    if (pool) {
        pool_free(pool);
    }
}

void thread_pool_stop(AioContext *ctx)
{
    /* A done callback may submit another request, which is cancelled. */
    while (aio_thread_pool_finish(ctx)) {
    }
}

/* ---- the rest of what is public ---- */

/* Hand @request on; returns whether the caller is to schedule the bottom half. */
static bool accept_locked(ThreadPool *pool, ThreadPoolRequest *request)
{
    GList *link;

    if (pool->stopping) {
        return finish_locked(pool, request, -ECANCELED);
    }
    link = g_queue_pop_head_link(&pool->idle);
    if (link) {
        Worker *worker = link->data;

        request->state = REQUEST_TAKEN;
        worker->request = request;
        pthread_cond_signal(&worker->wake);
    } else {
        g_queue_push_tail_link(&pool->queue, &request->link);
    }
    return false;
}

ThreadPoolRequest *thread_pool_submit_full(AioContext *ctx, ThreadPoolFunc *func,
                                           ThreadPoolDoneFunc *done, void *opaque, const char *name)
{
    ThreadPool *pool = get_pool(ctx);
    ThreadPoolRequest *request = g_new(ThreadPoolRequest, 1);
    bool schedule;
    bool start;

    *request = (ThreadPoolRequest){
        .pool = pool,
        .func = func,
        .done = done,
        .opaque = opaque,
        .name = name,
        .link = { .data = request },
    };
    pthread_mutex_lock(&pool->lock);
    schedule = accept_locked(pool, request);
    start = claim_start_locked(pool);
    pthread_mutex_unlock(&pool->lock);
    if (schedule) {
        qemu_bh_schedule(pool->bh);
    }
    if (start) {
        start_worker(pool);
    }
    return request;
}

bool thread_pool_cancel(ThreadPoolRequest *request)
{
    ThreadPool *pool = request->pool;
    bool schedule = false;
    bool queued;

    pthread_mutex_lock(&pool->lock);
    queued = request->state == REQUEST_QUEUED;
    if (queued) {
        g_queue_unlink(&pool->queue, &request->link);
        schedule = finish_locked(pool, request, -ECANCELED);
    }
    pthread_mutex_unlock(&pool->lock);
    if (schedule) {
        qemu_bh_schedule(pool->bh);
    }
    return queued;
}

void thread_pool_get_stats(AioContext *ctx, ThreadPoolStats *stats)
{
    ThreadPool *pool = atomic_load_explicit(&ctx->thread_pool, memory_order_acquire);

    *stats = (ThreadPoolStats){ 0 };
    if (pool) {
        pthread_mutex_lock(&pool->lock);
        stats->threads = pool->n_threads;
        stats->idle = (int)pool->idle.length;
        stats->queued = (int)pool->queue.length;
        pthread_mutex_unlock(&pool->lock);
    }
}
