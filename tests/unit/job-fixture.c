/*
 * The fixture of the thread pool's tests (see tests/unit/job-fixture.h).
 */
#include "config.h"

#include <string.h>
#include <sched.h>
#include <time.h>

#include "tests/unit/job-fixture.h"

/* ---- what stands in for the system ---- */

atomic_int create_errno;
_Thread_local int creations;
atomic_bool idle_threads_leave_early;

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

static int n_ranks; /* done callbacks since jobs_init() */

void job_init(Job *job, Loop *loop, int number)
{
    memset(job, 0, sizeof(*job));
    job->loop = loop;
    job->number = number;
    sem_init(&job->go_on, 0, 0);
}

void jobs_init(Job *jobs, int n, Loop *loop)
{
    n_ranks = 0;
    for (int i = 0; i < n; i++) {
        job_init(&jobs[i], loop, i);
    }
}

int job_run(void *opaque)
{
    Job *job = opaque;

    atomic_store(&job->running, true);
    while (sem_wait(&job->go_on) != 0) {
    }
    return job->number;
}

void job_done(void *opaque, int result)
{
    Job *job = opaque;

    job->n_done++;
    job->result = result;
    job->rank = n_ranks++;
}

ThreadPoolRequest *job_submit(Job *job)
{
    return thread_pool_submit(job->loop->ctx, job_run, job_done, job);
}

void job_wait_running(Job *job)
{
    while (!atomic_load(&job->running)) {
        sched_yield();
    }
}

void job_wait_done(Job *job)
{
    while (!job->n_done) {
        loop_pass(job->loop, true);
    }
}

/* ---- the pool of a context ---- */

void set_bounds(AioContext *ctx, int min, int max)
{
    g_autoptr(GError) err = NULL;
    bool ok = aio_context_set_thread_pool_params(ctx, min, max, &err);

    g_assert_no_error(err);
    g_assert_true(ok);
}

ThreadPoolStats stats_of(AioContext *ctx)
{
    ThreadPoolStats stats;

    thread_pool_get_stats(ctx, &stats);
    return stats;
}

void wait_threads(AioContext *ctx, int threads, int idle)
{
    ThreadPoolStats stats;

    do {
        sched_yield();
        stats = stats_of(ctx);
    } while (stats.threads != threads || stats.idle != idle);
}
