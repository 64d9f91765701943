/*
 * The end of a context or an IOThread with work in its thread pool, and a pool that many threads
 * use at once: each request's done callback runs exactly once.
 */
#include "config.h"

#include <errno.h>
#include <sched.h>

#include "iothreads/iothread.h"
#include "tests/unit/job-fixture.h"

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
    loop_test_add("a context ends with work in the pool", test_context_ends_with_work_in_the_pool);
    loop_test_add("the last reference waits for the pool", test_last_reference_waits_for_the_pool);
    test_add("/iothread/it ends with work in the pool", test_iothread_ends_with_work_in_the_pool);
    loop_test_add("many threads", test_many_threads);
    return g_test_run();
}
