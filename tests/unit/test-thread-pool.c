/*
 * The thread pool: results and their thread, their order, requests made by callbacks and by
 * workers, and cancelling.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>

#include "tests/unit/job-fixture.h"

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
    loop_test_add("cancel before start", test_cancel_before_start);
    loop_test_add("cancel after start", test_cancel_after_start);
    return g_test_run();
}
