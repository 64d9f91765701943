/*
 * The threads of a thread pool: how many there are, which of them works, when idle ones leave, what
 * a change of the bounds does, and what happens when the system has no more.
 */
#include "config.h"

#include <errno.h>
#include <sched.h>

#include "tests/unit/job-fixture.h"

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
    /* A worker may not have woken up from its gate yet, which is on this stack. */
    for (int i = 0; i < MOST; i++) {
        job_wait_done(&jobs[i]);
    }
    g_assert_cmpint(atomic_load(&crowd.most), >=, 1);
    g_assert_cmpint(atomic_load(&crowd.most), <=, MOST);
}

/* A request that tells which worker it had. */
typedef struct Visit {
    pthread_t worker;
    int n_done;
} Visit;

static int visit_run(void *opaque)
{
    Visit *visit = opaque;

    visit->worker = pthread_self();
    return 0;
}

static void visit_done(void *opaque, int result)
{
    Visit *visit = opaque;

    (void)result;
    visit->n_done++;
}

/* A request goes to a worker that is idle, not to a new one. */
static void test_idle_worker_is_used_again(Loop *loop)
{
    for (int i = 0; i < 50; i++) {
        Visit visit = { 0 };

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
        Visit visit = { 0 };

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

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("never more than the maximum", test_never_more_than_the_maximum);
    loop_test_add("an idle worker is used again", test_idle_worker_is_used_again);
    loop_test_add("the worker that became idle last works first", test_the_last_idle_works_first);
    loop_test_add("the minimum is there at once", test_the_minimum_is_there_at_once);
    loop_test_add("idle threads leave", test_idle_threads_leave);
    loop_test_add("bounds change while running", test_bounds_change_while_running);
    loop_test_add("no thread at all", test_no_thread_at_all);
    loop_test_add("no second thread", test_no_second_thread);
    return g_test_run();
}
