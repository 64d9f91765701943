/*
 * The thread pool: results, their order and their thread, the bounds on threads, cancelling, and
 * the end of a context with work in its pool.
 *
 * The program is linked so that the library's calls of pthread_create() and
 * pthread_cond_timedwait() come here first: a test can be out of threads, and idle ones need not
 * be waited for as long as in earnest.
 */
#include "config.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "iothreads/iothread.h"
#include "loop/thread-pool.h"
#include "tests/unit/loop-fixture.h"

/* ---- what stands in for the system ---- */

static atomic_int create_errno;              /* what pthread_create() fails with; 0: it does not */
static _Thread_local int creations;          /* its calls by this thread */
static atomic_bool idle_threads_leave_early; /* their time is over after 1 ms */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*func)(void *),
                          void *opaque);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*func)(void *),
                          void *opaque);
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                  const struct timespec *deadline);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                  const struct timespec *deadline);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*func)(void *),
                          void *opaque)
{
    creations++;
    return atomic_load(&create_errno) ?: __real_pthread_create(thread, attr, func, opaque);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                  const struct timespec *deadline)
{
    struct timespec soon;

    if (!atomic_load(&idle_threads_leave_early)) {
        return __real_pthread_cond_timedwait(cond, lock, deadline);
    }
    clock_gettime(CLOCK_MONOTONIC, &soon);
    soon.tv_nsec += SCALE_MS;
    if (soon.tv_nsec >= 1000 * SCALE_MS) {
        soon.tv_nsec -= 1000 * SCALE_MS;
        soon.tv_sec++;
    }
    return __real_pthread_cond_timedwait(cond, lock, &soon);
}

/* ---- jobs ---- */

/* A function that says that it runs, and goes on when it may. */
typedef struct Job {
    Loop *loop;
    int number;
    atomic_bool running;
    sem_t go_on;
    int n_done; /* home thread, as all below */
    int result;
    int rank; /* of the done callbacks, the how manieth this was */
} Job;

static int n_ranks;

static void job_init(Job *job, Loop *loop, int number)
{
    memset(job, 0, sizeof(*job));
    job->loop = loop;
    job->number = number;
    sem_init(&job->go_on, 0, 0);
}

static void jobs_init(Job *jobs, int n, Loop *loop)
{
    n_ranks = 0;
    for (int i = 0; i < n; i++) {
        job_init(&jobs[i], loop, i);
    }
}

static int job_run(void *opaque)
{
    Job *job = opaque;

    atomic_store(&job->running, true);
    while (sem_wait(&job->go_on) != 0) {
    }
    return job->number;
}

static void job_done(void *opaque, int result)
{
    Job *job = opaque;

    job->n_done++;
    job->result = result;
    job->rank = n_ranks++;
}

static ThreadPoolRequest *job_submit(Job *job)
{
    return thread_pool_submit(job->loop->ctx, job_run, job_done, job);
}

static void job_wait_running(Job *job)
{
    while (!atomic_load(&job->running)) {
        sched_yield();
    }
}

static void job_wait_done(Job *job)
{
    while (!job->n_done) {
        loop_pass(job->loop, true);
    }
}

static void set_bounds(AioContext *ctx, int min, int max)
{
    g_autoptr(GError) err = NULL;
    bool ok = aio_context_set_thread_pool_params(ctx, min, max, &err);

    g_assert_no_error(err);
    g_assert_true(ok);
}

static ThreadPoolStats stats_of(AioContext *ctx)
{
    ThreadPoolStats stats;

    thread_pool_get_stats(ctx, &stats);
    return stats;
}

static void wait_threads(AioContext *ctx, int threads, int idle)
{
    ThreadPoolStats stats;

    do {
        sched_yield();
        stats = stats_of(ctx);
    } while (stats.threads != threads || stats.idle != idle);
}

/* ---- results ---- */

typedef struct Visit {
    AioContext *ctx;
    pthread_t worker;
    char name[16];
    bool signals_blocked;
    bool has_loop;
    bool is_home;
    int result;
    int n_done;
    bool done_at_home;
} Visit;

static int visit_run(void *opaque)
{
    Visit *visit = opaque;
    sigset_t set;

    visit->worker = pthread_self();
    pthread_getname_np(visit->worker, visit->name, sizeof(visit->name));
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    visit->signals_blocked = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGALRM) == 1;
    visit->has_loop = qemu_get_current_aio_context() != NULL;
    visit->is_home = in_aio_context_home_thread(visit->ctx);
    return -ENOENT;
}

static void visit_done(void *opaque, int result)
{
    Visit *visit = opaque;

    visit->result = result;
    visit->done_at_home = in_aio_context_home_thread(visit->ctx);
    visit->n_done++;
}

static void test_result_comes_home(Loop *loop)
{
    Visit visit = { .ctx = loop->ctx };

    loop_passes(loop, 1);
    g_assert_cmpint(stats_of(loop->ctx).threads, ==, 0);
    thread_pool_submit(loop->ctx, visit_run, visit_done, &visit);
    g_assert_cmpint(visit.n_done, ==, 0);
    while (!visit.n_done) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(visit.result, ==, -ENOENT);
    g_assert_true(visit.done_at_home);
    g_assert_false(visit.is_home);
    g_assert_false(visit.has_loop);
    g_assert_false(pthread_equal(visit.worker, pthread_self()));
    g_assert_true(g_str_has_prefix(visit.name, "pool-"));
    g_assert_true(visit.signals_blocked);
    loop_passes(loop, 3);
    g_assert_cmpint(visit.n_done, ==, 1);
}

/* Tell another thread. */
static void posting_done(void *opaque, int result)
{
    Job *job = opaque;

    job_done(job, result);
    sem_post(&job->go_on);
}

static void test_done_wakes_a_sleeping_loop(Loop *loop)
{
    Job job;

    job_init(&job, loop, 5);
    loop_start(loop);
    thread_pool_submit(loop->ctx, job_run, posting_done, &job);
    job_wait_running(&job);
    loop_wait_until_idle(loop);
    sem_post(&job.go_on);
    wait_threads(loop->ctx, 1, 1);
    while (sem_wait(&job.go_on) != 0) {
    }
    loop_wait_until_idle(loop);
    loop_stop(loop);
    g_assert_cmpint(job.n_done, ==, 1);
    g_assert_cmpint(job.result, ==, 5);
}

static void test_one_worker_keeps_the_order(Loop *loop)
{
    enum {
        N = 200
    };
    static Job jobs[N];

    set_bounds(loop->ctx, 0, 1);
    jobs_init(jobs, N, loop);
    for (int i = 0; i < N; i++) {
        sem_post(&jobs[i].go_on);
        job_submit(&jobs[i]);
    }
    for (int i = 0; i < N; i++) {
        job_wait_done(&jobs[i]);
        g_assert_cmpint(jobs[i].rank, ==, i);
        g_assert_cmpint(jobs[i].result, ==, i);
    }
}

static void test_done_in_order_of_completion(Loop *loop)
{
    enum {
        N = 5
    };
    Job jobs[N];

    jobs_init(jobs, N, loop);
    for (int i = 0; i < N; i++) {
        job_submit(&jobs[i]);
    }
    for (int i = 0; i < N; i++) {
        job_wait_running(&jobs[i]);
    }
    /* No pass meanwhile: all of them are one burst. */
    for (int i = N - 1; i >= 0; i--) {
        sem_post(&jobs[i].go_on);
        wait_threads(loop->ctx, N, N - i);
    }
    loop_pass(loop, true);
    for (int i = 0; i < N; i++) {
        g_assert_cmpint(jobs[i].n_done, ==, 1);
        g_assert_cmpint(jobs[i].rank, ==, N - 1 - i);
    }
}

/* A done callback that waits for another request of the same burst. */
static void nested_done(void *opaque, int result)
{
    Job *jobs = opaque;

    job_done(&jobs[0], result);
    job_wait_done(&jobs[1]);
}

static void test_nested_poll_in_done(Loop *loop)
{
    Job jobs[2];

    set_bounds(loop->ctx, 0, 1);
    jobs_init(jobs, 2, loop);
    thread_pool_submit(loop->ctx, job_run, nested_done, &jobs[0]);
    job_submit(&jobs[1]);
    sem_post(&jobs[0].go_on);
    sem_post(&jobs[1].go_on);
    wait_threads(loop->ctx, 1, 1);
    job_wait_done(&jobs[0]);
    g_assert_cmpint(jobs[0].n_done, ==, 1);
    g_assert_cmpint(jobs[1].n_done, ==, 1);
    loop_passes(loop, 3);
    g_assert_cmpint(jobs[1].n_done, ==, 1);
}

static int return_0(void *opaque)
{
    (void)opaque;
    return 0;
}

typedef struct Chain {
    Loop *loop;
    int left;
} Chain;

static void chain_done(void *opaque, int result)
{
    Chain *chain = opaque;

    g_assert_cmpint(result, ==, 0);
    if (--chain->left > 0) {
        thread_pool_submit(chain->loop->ctx, return_0, chain_done, chain);
    }
}

static void test_submit_from_done(Loop *loop)
{
    Chain chain = { .loop = loop, .left = 100 };

    thread_pool_submit(loop->ctx, return_0, chain_done, &chain);
    while (chain.left > 0) {
        loop_pass(loop, true);
    }
}

static int submit_from_worker(void *opaque)
{
    Job *job = opaque;

    sem_post(&job->go_on);
    job_submit(job);
    return 0;
}

static void count_done(void *opaque, int result)
{
    Job *job = opaque;

    g_assert_cmpint(result, ==, 0);
    job->n_done += 100;
}

static void test_submit_from_worker(Loop *loop)
{
    Job job;

    set_bounds(loop->ctx, 0, 1);
    job_init(&job, loop, 3);
    thread_pool_submit(loop->ctx, submit_from_worker, count_done, &job);
    while (job.n_done != 101) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(job.result, ==, 3);
}

/* ---- how many threads ---- */

typedef struct Crowd {
    atomic_int inside;
    atomic_int most;
    int n_done;
} Crowd;

static int crowd_run(void *opaque)
{
    Crowd *crowd = opaque;
    int inside = atomic_fetch_add(&crowd->inside, 1) + 1;
    int most = atomic_load(&crowd->most);

    while (most < inside && !atomic_compare_exchange_weak(&crowd->most, &most, inside)) {
    }
    sched_yield();
    atomic_fetch_sub(&crowd->inside, 1);
    return 0;
}

static void crowd_done(void *opaque, int result)
{
    Crowd *crowd = opaque;

    g_assert_cmpint(result, ==, 0);
    crowd->n_done++;
}

static void test_never_more_than_the_maximum(Loop *loop)
{
    enum {
        N = 1000,
        MOST = 4
    };
    Crowd crowd = { 0 };
    Job jobs[MOST];

    set_bounds(loop->ctx, 0, MOST);
    jobs_init(jobs, MOST, loop);
    creations = 0;
    /* Held by a gate each, so that it is known that there are as many threads as there may be. */
    for (int i = 0; i < MOST; i++) {
        job_submit(&jobs[i]);
    }
    for (int i = 0; i < N; i++) {
        thread_pool_submit(loop->ctx, crowd_run, crowd_done, &crowd);
    }
    for (int i = 0; i < MOST; i++) {
        job_wait_running(&jobs[i]);
    }
    g_assert_cmpint(creations, <=, MOST);
    g_assert_cmpint(stats_of(loop->ctx).threads, ==, MOST);
    g_assert_cmpint(stats_of(loop->ctx).queued, ==, N);
    for (int i = 0; i < MOST; i++) {
        sem_post(&jobs[i].go_on);
    }
    while (crowd.n_done < N) {
        g_assert_cmpint(stats_of(loop->ctx).threads, <=, MOST);
        loop_pass(loop, true);
    }
    g_assert_cmpint(atomic_load(&crowd.most), >=, 1);
    g_assert_cmpint(atomic_load(&crowd.most), <=, MOST);
}

/* A request goes to a worker that is idle, not to a new one. */
static void test_idle_worker_is_used_again(Loop *loop)
{
    for (int i = 0; i < 50; i++) {
        Visit visit = { .ctx = loop->ctx };

        thread_pool_submit(loop->ctx, visit_run, visit_done, &visit);
        while (!visit.n_done) {
            loop_pass(loop, true);
        }
        wait_threads(loop->ctx, 1, 1);
    }
}

/* Let @n jobs run at once, and end. */
static void run_at_once(Loop *loop, int n)
{
    g_autofree Job *jobs = g_new(Job, n);

    jobs_init(jobs, n, loop);
    for (int i = 0; i < n; i++) {
        job_submit(&jobs[i]);
    }
    for (int i = 0; i < n; i++) {
        job_wait_running(&jobs[i]);
    }
    for (int i = 0; i < n; i++) {
        sem_post(&jobs[i].go_on);
    }
    for (int i = 0; i < n; i++) {
        job_wait_done(&jobs[i]);
    }
}

/* Under little load the same worker does everything, and the others can grow old. */
static void test_the_last_idle_works_first(Loop *loop)
{
    pthread_t first = 0;

    run_at_once(loop, 3);
    wait_threads(loop->ctx, 3, 3);
    for (int i = 0; i < 10; i++) {
        Visit visit = { .ctx = loop->ctx };

        thread_pool_submit(loop->ctx, visit_run, visit_done, &visit);
        while (!visit.n_done) {
            loop_pass(loop, true);
        }
        wait_threads(loop->ctx, 3, 3);
        if (i == 0) {
            first = visit.worker;
        }
        g_assert_true(pthread_equal(visit.worker, first));
    }
}

static void test_the_minimum_is_there_at_once(Loop *loop)
{
    set_bounds(loop->ctx, 3, 8);
    g_assert_cmpint(stats_of(loop->ctx).threads, ==, 0);
    run_at_once(loop, 1);
    wait_threads(loop->ctx, 3, 3);
}

static void test_idle_threads_leave(Loop *loop)
{
    int threads = test_count_threads();

    set_bounds(loop->ctx, 2, 8);
    run_at_once(loop, 8);
    wait_threads(loop->ctx, 8, 8);
    atomic_store(&idle_threads_leave_early, true);
    /* They wait for a deadline that was set before: rouse them, and they take the new one. */
    set_bounds(loop->ctx, 2, 8);
    wait_threads(loop->ctx, 2, 2);
    run_at_once(loop, 5);
    wait_threads(loop->ctx, 2, 2);
    /* The last that left is not joined yet. */
    while (test_count_threads() > threads + 2) {
        sched_yield();
    }
    set_bounds(loop->ctx, 0, 8);
    wait_threads(loop->ctx, 0, 0);
    run_at_once(loop, 5);
    wait_threads(loop->ctx, 0, 0);
    atomic_store(&idle_threads_leave_early, false);
}

static void test_bounds_change_while_running(Loop *loop)
{
    enum {
        N = 6
    };
    Job jobs[N];

    set_bounds(loop->ctx, 0, 2);
    jobs_init(jobs, N, loop);
    for (int i = 0; i < N; i++) {
        job_submit(&jobs[i]);
    }
    job_wait_running(&jobs[0]);
    job_wait_running(&jobs[1]);
    g_assert_cmpint(stats_of(loop->ctx).queued, ==, 4);

    /* More for queued work. */
    set_bounds(loop->ctx, 0, 4);
    job_wait_running(&jobs[2]);
    job_wait_running(&jobs[3]);
    g_assert_cmpint(stats_of(loop->ctx).threads, ==, 4);
    g_assert_cmpint(stats_of(loop->ctx).queued, ==, 2);

    /* Busy ones leave when they can, and leave the queue to the others. */
    set_bounds(loop->ctx, 0, 1);
    for (int i = 0; i < 3; i++) {
        sem_post(&jobs[i].go_on);
        job_wait_done(&jobs[i]);
    }
    wait_threads(loop->ctx, 1, 0);
    g_assert_false(atomic_load(&jobs[4].running));
    for (int i = 3; i < N; i++) {
        sem_post(&jobs[i].go_on);
        job_wait_done(&jobs[i]);
    }

    /* A minimum that is raised is reached, an idle thread above the maximum leaves at once. */
    set_bounds(loop->ctx, 5, 5);
    wait_threads(loop->ctx, 5, 5);
    set_bounds(loop->ctx, 1, 2);
    wait_threads(loop->ctx, 2, 2);
}

/* ---- cancelling ---- */

static void test_cancel_before_start(Loop *loop)
{
    Job jobs[3];
    ThreadPoolRequest *middle;

    set_bounds(loop->ctx, 0, 1);
    jobs_init(jobs, 3, loop);
    job_submit(&jobs[0]);
    job_wait_running(&jobs[0]);
    middle = job_submit(&jobs[1]);
    job_submit(&jobs[2]);
    g_assert_cmpint(stats_of(loop->ctx).queued, ==, 2);
    g_assert_true(thread_pool_cancel(middle));
    g_assert_cmpint(stats_of(loop->ctx).queued, ==, 1);
    g_assert_cmpint(jobs[1].n_done, ==, 0);
    g_assert_false(thread_pool_cancel(middle));
    job_wait_done(&jobs[1]);
    g_assert_cmpint(jobs[1].result, ==, -ECANCELED);

    sem_post(&jobs[0].go_on);
    sem_post(&jobs[2].go_on);
    job_wait_done(&jobs[0]);
    job_wait_done(&jobs[2]);
    g_assert_false(atomic_load(&jobs[1].running));
    g_assert_cmpint(jobs[1].n_done, ==, 1);
    g_assert_cmpint(jobs[2].result, ==, 2);
}

static void test_cancel_after_start(Loop *loop)
{
    Job job;
    ThreadPoolRequest *request;

    job_init(&job, loop, 7);
    request = job_submit(&job);
    job_wait_running(&job);
    g_assert_false(thread_pool_cancel(request));
    sem_post(&job.go_on);
    wait_threads(loop->ctx, 1, 1);
    g_assert_false(thread_pool_cancel(request));
    job_wait_done(&job);
    g_assert_cmpint(job.result, ==, 7);
    g_assert_cmpint(job.n_done, ==, 1);
}

/* ---- out of threads ---- */

static void test_no_thread_at_all(Loop *loop)
{
    Job jobs[2];

    jobs_init(jobs, 2, loop);
    atomic_store(&create_errno, EAGAIN);
    job_submit(&jobs[0]);
    g_assert_cmpint(jobs[0].n_done, ==, 0);
    job_wait_done(&jobs[0]);
    atomic_store(&create_errno, 0);
    g_assert_cmpint(jobs[0].result, ==, -EAGAIN);
    g_assert_false(atomic_load(&jobs[0].running));
    g_assert_cmpint(stats_of(loop->ctx).threads, ==, 0);
    g_assert_cmpint(stats_of(loop->ctx).queued, ==, 0);

    /* And it is asked for again when there are some. */
    sem_post(&jobs[1].go_on);
    job_submit(&jobs[1]);
    job_wait_done(&jobs[1]);
    g_assert_cmpint(jobs[1].result, ==, 1);
}

static void test_no_second_thread(Loop *loop)
{
    Job jobs[3];

    jobs_init(jobs, 3, loop);
    job_submit(&jobs[0]);
    job_wait_running(&jobs[0]);
    atomic_store(&create_errno, EAGAIN);
    job_submit(&jobs[1]);
    job_submit(&jobs[2]);
    loop_passes(loop, 3);
    g_assert_cmpint(jobs[1].n_done, ==, 0);
    g_assert_cmpint(stats_of(loop->ctx).queued, ==, 2);
    for (int i = 0; i < 3; i++) {
        sem_post(&jobs[i].go_on);
    }
    for (int i = 0; i < 3; i++) {
        job_wait_done(&jobs[i]);
        g_assert_cmpint(jobs[i].result, ==, i);
    }
    atomic_store(&create_errno, 0);
    g_assert_cmpint(stats_of(loop->ctx).threads, ==, 1);
}

/* ---- the end ---- */

static void *post_when_queue_is_empty(void *opaque)
{
    Job *job = opaque;

    /* The queue is cancelled first: what runs ends only when that has happened. */
    while (stats_of(job->loop->ctx).queued > 0) {
        sched_yield();
    }
    sem_post(&job->go_on);
    return NULL;
}

static void resubmit_done(void *opaque, int result)
{
    Job *job = opaque;

    job_done(job, result);
    if (job->n_done == 1) {
        thread_pool_submit(job->loop->ctx, job_run, resubmit_done, job);
    }
}

static void schedule_done(void *opaque, int result)
{
    Job *job = opaque;

    job_done(job, result);
    aio_bh_schedule_oneshot(job->loop->ctx, test_count, &job->number);
}

static void test_context_ends_with_work_in_the_pool(Loop *loop)
{
    Loop *other = loop_new_like(loop);
    int threads = test_count_threads();
    Job jobs[4];
    pthread_t helper;

    set_bounds(other->ctx, 0, 1);
    jobs_init(jobs, 4, other);
    job_submit(&jobs[0]);
    job_wait_running(&jobs[0]);
    job_submit(&jobs[1]);
    thread_pool_submit(other->ctx, job_run, resubmit_done, &jobs[2]);
    thread_pool_submit(other->ctx, job_run, schedule_done, &jobs[3]);
    aio_context_ref(other->ctx); /* for the helper to look at */
    helper = test_thread_start(post_when_queue_is_empty, &jobs[0]);
    thread_pool_stop(other->ctx);
    test_thread_join(helper);
    g_assert_cmpint(stats_of(other->ctx).threads, ==, 0);
    while (test_count_threads() > threads) {
        sched_yield();
    }
    g_assert_cmpint(jobs[0].n_done, ==, 1);
    g_assert_cmpint(jobs[0].result, ==, 0);
    g_assert_cmpint(jobs[1].n_done, ==, 1);
    g_assert_cmpint(jobs[1].result, ==, -ECANCELED);
    g_assert_cmpint(jobs[2].n_done, ==, 2);
    g_assert_cmpint(jobs[2].result, ==, -ECANCELED);
    for (int i = 1; i < 4; i++) {
        g_assert_false(atomic_load(&jobs[i].running));
    }
    /* Submitted after the end, and the context's own end. */
    job_submit(&jobs[1]);
    g_assert_cmpint(jobs[1].n_done, ==, 1);
    aio_context_unref(other->ctx);
    loop_free(other);
    g_assert_cmpint(jobs[1].n_done, ==, 2);
    g_assert_cmpint(jobs[1].result, ==, -ECANCELED);
    g_assert_cmpint(jobs[3].number, ==, 4);
}

static void *post_job(void *opaque)
{
    Job *job = opaque;

    sem_post(&job->go_on);
    return NULL;
}

static void submit_late(void *opaque)
{
    job_submit(opaque);
}

static void test_last_reference_waits_for_the_pool(Loop *loop)
{
    Loop *other = loop_new_like(loop);
    Job jobs[4];
    pthread_t helper;

    set_bounds(other->ctx, 0, 1);
    jobs_init(jobs, 4, other);
    job_submit(&jobs[0]);
    job_wait_running(&jobs[0]);
    job_submit(&jobs[1]);
    thread_pool_submit(other->ctx, job_run, schedule_done, &jobs[2]);
    sem_post(&jobs[3].go_on);
    sem_post(&jobs[1].go_on);
    sem_post(&jobs[2].go_on);
    aio_bh_schedule_oneshot(other->ctx, submit_late, &jobs[3]);
    helper = test_thread_start(post_job, &jobs[0]);
    loop_free(other);
    for (int i = 0; i < 4; i++) {
        g_assert_cmpint(jobs[i].n_done, ==, 1);
    }
    /* The oneshot of a done callback has run too. */
    g_assert_cmpint(jobs[2].number, ==, 3);
    test_thread_join(helper);
}

typedef struct IOThreadJob {
    Job job;
    AioContext *ctx;
    bool done_at_home;
} IOThreadJob;

static int iothread_job_run(void *opaque)
{
    return job_run(&((IOThreadJob *)opaque)->job);
}

static void iothread_job_done(void *opaque, int result)
{
    IOThreadJob *job = opaque;

    job_done(&job->job, result);
    job->done_at_home = in_aio_context_home_thread(job->ctx);
}

static void test_iothread_ends_with_work_in_the_pool(void)
{
    g_autoptr(GError) err = NULL;
    IOThread *iothread = iothread_create("io0", &err);
    AioContext *ctx;
    IOThreadJob jobs[2] = { 0 };
    pthread_t helper;
    int results[2];

    g_assert_no_error(err);
    ctx = iothread_get_aio_context(iothread);
    set_bounds(ctx, 0, 1);
    for (int i = 0; i < 2; i++) {
        job_init(&jobs[i].job, NULL, i);
        jobs[i].ctx = ctx;
        thread_pool_submit(ctx, iothread_job_run, iothread_job_done, &jobs[i]);
    }
    job_wait_running(&jobs[0].job);
    helper = test_thread_start(post_job, &jobs[0]);
    sem_post(&jobs[1].job.go_on);
    iothread_destroy(iothread);
    test_thread_join(helper);
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(jobs[i].job.n_done, ==, 1);
        g_assert_true(jobs[i].done_at_home);
        results[i] = jobs[i].job.result;
    }
    g_assert_cmpint(results[0], ==, 0);
    g_assert_true(results[1] == 1 || results[1] == -ECANCELED);
}

/* ---- many threads ---- */

typedef struct Client {
    Loop *loop;
    int number;
    int rounds;
    atomic_int submitted;
    atomic_int ended; /* done callbacks */
    atomic_int run;
    atomic_int cancelled;
} Client;

static int client_run(void *opaque)
{
    Client *client = opaque;

    atomic_fetch_add(&client->run, 1);
    return 0;
}

static void client_done(void *opaque, int result)
{
    Client *client = opaque;

    if (result == -ECANCELED) {
        atomic_fetch_add(&client->cancelled, 1);
    } else {
        g_assert_cmpint(result, ==, 0);
    }
    atomic_fetch_add(&client->ended, 1);
}

static void *client_thread(void *opaque)
{
    Client *client = opaque;
    uint32_t seed = (uint32_t)client->number;

    for (int i = 0; i < client->rounds; i++) {
        atomic_fetch_add(&client->submitted, 1);
        thread_pool_submit(client->loop->ctx, client_run, client_done, client);
        if (test_random(&seed) % 64 == 0) {
            int max = 1 + (int)(test_random(&seed) % 6);

            set_bounds(client->loop->ctx, (int)(test_random(&seed) % (uint32_t)max), max);
        }
        while (atomic_load(&client->submitted) - atomic_load(&client->ended) > 200) {
            sched_yield();
        }
    }
    return NULL;
}

/* In the home thread, where a handle is known to be valid until the loop makes a pass. */
static void cancel_some(void *opaque)
{
    Client *client = opaque;

    for (int i = 0; i < 4; i++) {
        ThreadPoolRequest *request =
            thread_pool_submit(client->loop->ctx, client_run, client_done, client);

        atomic_fetch_add(&client->submitted, 1);
        thread_pool_cancel(request);
    }
}

static void test_many_threads(Loop *loop)
{
    enum {
        N = 4
    };
    Client clients[N + 1] = { 0 };
    pthread_t threads[N];
    int rounds = test_scaled(10000);

    atomic_store(&idle_threads_leave_early, true);
    loop_start(loop);
    for (int i = 0; i <= N; i++) {
        clients[i].loop = loop;
        clients[i].number = i;
        clients[i].rounds = rounds;
    }
    for (int i = 0; i < N; i++) {
        threads[i] = test_thread_start(client_thread, &clients[i]);
    }
    for (int i = 0; i < rounds / 10; i++) {
        aio_wait_bh_oneshot(loop->ctx, cancel_some, &clients[N]);
    }
    for (int i = 0; i < N; i++) {
        test_thread_join(threads[i]);
    }
    for (int i = 0; i <= N; i++) {
        while (atomic_load(&clients[i].ended) < atomic_load(&clients[i].submitted)) {
            sched_yield();
        }
    }
    loop_stop(loop);
    atomic_store(&idle_threads_leave_early, false);
    for (int i = 0; i <= N; i++) {
        int ended = atomic_load(&clients[i].ended);

        g_assert_cmpint(ended, ==, atomic_load(&clients[i].submitted));
        g_assert_cmpint(ended, ==,
                        atomic_load(&clients[i].run) + atomic_load(&clients[i].cancelled));
    }
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("result comes home", test_result_comes_home);
    loop_test_add("done wakes a sleeping loop", test_done_wakes_a_sleeping_loop);
    loop_test_add("one worker keeps the order", test_one_worker_keeps_the_order);
    loop_test_add("done in order of completion", test_done_in_order_of_completion);
    loop_test_add_aio_poll("a nested poll in a done callback", test_nested_poll_in_done);
    loop_test_add("submit from a done callback", test_submit_from_done);
    loop_test_add("submit from a worker", test_submit_from_worker);
    loop_test_add("never more than the maximum", test_never_more_than_the_maximum);
    loop_test_add("an idle worker is used again", test_idle_worker_is_used_again);
    loop_test_add("the worker that became idle last works first", test_the_last_idle_works_first);
    loop_test_add("the minimum is there at once", test_the_minimum_is_there_at_once);
    loop_test_add("idle threads leave", test_idle_threads_leave);
    loop_test_add("bounds change while running", test_bounds_change_while_running);
    loop_test_add("cancel before start", test_cancel_before_start);
    loop_test_add("cancel after start", test_cancel_after_start);
    loop_test_add("no thread at all", test_no_thread_at_all);
    loop_test_add("no second thread", test_no_second_thread);
    loop_test_add("a context ends with work in the pool", test_context_ends_with_work_in_the_pool);
    loop_test_add("the last reference waits for the pool", test_last_reference_waits_for_the_pool);
    test_add("/iothread/it ends with work in the pool", test_iothread_ends_with_work_in_the_pool);
    loop_test_add("many threads", test_many_threads);
    return g_test_run();
}
