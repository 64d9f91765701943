/*
 * Threads without a loop that work on a running context, and contexts that come and go meanwhile.
 * The callbacks and the sanitizers notice what goes wrong.
 */
#include "config.h"

#include <unistd.h>

#include "tests/unit/loop-fixture.h"

#define N_THREADS 4

static void nothing(void *opaque)
{
}

/* What one thread does to the loop; freed only when the loop can't call it any more. */
typedef struct Worker {
    Loop *loop;
    atomic_bool alive;
    uint32_t seed;
    int rounds;
    int fds[2];
    bool ready; /* there is a byte in the pipe */
    atomic_int reads;
    QEMUTimer *timer;
    atomic_int fires;
    QEMUBH *bh;
    atomic_int runs;
    int oneshots_queued;
    int oneshots_run; /* home thread of the loop */
} Worker;

static void worker_read(void *opaque)
{
    Worker *worker = opaque;

    g_assert_true(atomic_load(&worker->alive));
    atomic_fetch_add(&worker->reads, 1);
}

static void worker_fire(void *opaque)
{
    Worker *worker = opaque;

    g_assert_true(atomic_load(&worker->alive));
    atomic_fetch_add(&worker->fires, 1);
}

static void worker_run(void *opaque)
{
    Worker *worker = opaque;

    g_assert_true(atomic_load(&worker->alive));
    atomic_fetch_add(&worker->runs, 1);
}

static void worker_oneshot(void *opaque)
{
    Worker *worker = opaque;

    g_assert_true(atomic_load(&worker->alive));
    worker->oneshots_run++;
}

static void worker_watch(Worker *worker, IOHandler *io_write)
{
    aio_set_fd_handler(worker->loop->ctx, worker->fds[0], worker_read, io_write, NULL, NULL,
                       worker);
}

static void worker_unwatch(Worker *worker)
{
    aio_set_fd_handler(worker->loop->ctx, worker->fds[0], NULL, NULL, NULL, NULL, NULL);
}

/* Return once no callback that was removed before is running any more. */
static void barrier(Worker *worker)
{
    aio_wait_bh_oneshot(worker->loop->ctx, nothing, NULL);
}

/* Close the pipe while its handler is set or has just been removed, and open another, which is
 * likely to get the same numbers, or those that another thread has just closed. */
static void worker_reopen(Worker *worker)
{
    worker_unwatch(worker);
    test_close(worker->fds);
    test_pipe(worker->fds);
    worker->ready = false;
}

static void worker_toggle_ready(Worker *worker)
{
    if (worker->ready) {
        test_read_byte(worker->fds[0]);
    } else {
        test_write_byte(worker->fds[1]);
    }
    worker->ready = !worker->ready;
}

static void worker_step(Worker *worker)
{
    int64_t now;

    switch (test_random(&worker->seed) % 14) {
    case 0:
        worker_reopen(worker);
        break;
    case 1:
        worker_watch(worker, NULL);
        break;
    case 2:
        worker_watch(worker, worker_read);
        break;
    case 3:
        worker_unwatch(worker);
        break;
    case 4:
        worker_toggle_ready(worker);
        break;
    case 5:
        timer_mod_ns(worker->timer, 0);
        break;
    case 6:
        now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
        timer_mod_ns(worker->timer, now + test_random(&worker->seed) % 100000);
        break;
    case 7:
        timer_del(worker->timer);
        break;
    case 8:
        qemu_bh_schedule(worker->bh);
        break;
    case 9:
        qemu_bh_cancel(worker->bh);
        break;
    case 10:
        qemu_bh_delete(worker->bh);
        worker->bh = aio_bh_new(worker->loop->ctx, worker_run, worker);
        break;
    case 11:
        timer_free(worker->timer);
        worker->timer =
            aio_timer_new(worker->loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, worker_fire, worker);
        break;
    case 12:
        worker->oneshots_queued++;
        aio_bh_schedule_oneshot(worker->loop->ctx, worker_oneshot, worker);
        break;
    case 13:
        aio_notify(worker->loop->ctx);
        break;
    }
}

static void *worker_thread(void *opaque)
{
    Worker *worker = opaque;

    for (int i = 0; i < worker->rounds; i++) {
        worker_step(worker);
        if (i % 100 == 0) {
            barrier(worker);
        }
    }
    worker_unwatch(worker);
    /* After all that, one that is scheduled runs. */
    int runs = atomic_load(&worker->runs);
    qemu_bh_schedule(worker->bh);
    barrier(worker);
    g_assert_cmpint(atomic_load(&worker->runs), >, runs);
    timer_free(worker->timer);
    qemu_bh_delete(worker->bh);
    barrier(worker);
    test_close(worker->fds);
    atomic_store(&worker->alive, false);
    return NULL;
}

static Worker *worker_new(Loop *loop, int number, int rounds)
{
    Worker *worker = g_new0(Worker, 1);

    worker->loop = loop;
    worker->seed = (uint32_t)number;
    worker->rounds = rounds;
    atomic_store(&worker->alive, true);
    test_pipe(worker->fds);
    worker->timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, worker_fire, worker);
    worker->bh = aio_bh_new(loop->ctx, worker_run, worker);
    return worker;
}

static void test_threads_change_a_running_context(Loop *loop)
{
    Worker *workers[N_THREADS];
    pthread_t threads[N_THREADS];

    loop_start(loop);
    for (int i = 0; i < N_THREADS; i++) {
        workers[i] = worker_new(loop, i + 1, test_scaled(100000));
        threads[i] = test_thread_start(worker_thread, workers[i]);
    }
    for (int i = 0; i < N_THREADS; i++) {
        test_thread_join(threads[i]);
    }
    /* It works as before, and nothing keeps it awake. */
    loop_assert_asleep(loop);
    loop_stop(loop);
    for (int i = 0; i < N_THREADS; i++) {
        g_assert_cmpint(workers[i]->oneshots_run, ==, workers[i]->oneshots_queued);
        g_free(workers[i]);
    }
}

/* ---- contexts that come and go ---- */

static void count_one(void *opaque)
{
    atomic_int *count = opaque;

    atomic_fetch_add(count, 1);
}

typedef struct Churn {
    Loop *like;
    int rounds;
} Churn;

/* Make a context, run it, leave work on it, free it; over and over. */
static void *churn_thread(void *opaque)
{
    Churn *churn = opaque;

    for (int i = 0; i < churn->rounds; i++) {
        Loop *loop = loop_new_like(churn->like);
        atomic_int runs = 0;
        int fires = 0, reads = 0;
        int fds[2];
        QEMUTimer *timer =
            aio_timer_new(loop->ctx, QEMU_CLOCK_VIRTUAL, SCALE_NS, test_count, &fires);

        test_pipe(fds);
        test_write_byte(fds[1]);
        aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
        timer_mod_ns(timer, i % 2 ? 0 : INT64_MAX);
        loop_start(loop);
        aio_bh_schedule_oneshot(loop->ctx, count_one, &runs);
        if (i % 3 == 0) {
            aio_wait_bh_oneshot(loop->ctx, count_one, &runs);
        }
        aio_bh_schedule_oneshot(loop->ctx, count_one, &runs);
        loop_stop(loop);
        loop_free(loop);
        g_assert_cmpint(atomic_load(&runs), ==, i % 3 == 0 ? 3 : 2);
        timer_free(timer);
        test_close(fds);
    }
    return NULL;
}

static atomic_bool clocks_done;

static void *clock_thread(void *opaque)
{
    while (!atomic_load(&clocks_done)) {
        qemu_clock_advance_virtual_time(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + 1000);
        sched_yield();
    }
    return NULL;
}

static void test_contexts_come_and_go(Loop *loop)
{
    Churn churn = { loop, test_scaled(2000) };
    Worker *worker = worker_new(loop, 99, test_scaled(40000));
    pthread_t threads[2];
    int fds = test_count_fds();

    /* A clock that is changed by hand notifies every context there is. */
    atomic_store(&clocks_done, false);
    loop_start(loop);
    pthread_t clock = test_thread_start(clock_thread, NULL);
    pthread_t work = test_thread_start(worker_thread, worker);
    for (int i = 0; i < 2; i++) {
        threads[i] = test_thread_start(churn_thread, &churn);
    }
    for (int i = 0; i < 2; i++) {
        test_thread_join(threads[i]);
    }
    test_thread_join(work);
    atomic_store(&clocks_done, true);
    test_thread_join(clock);
    loop_stop(loop);
    g_free(worker);
    /* The worker's pipe is closed by now. */
    g_assert_cmpint(test_count_fds(), <=, fds);
}

/* ---- two loops that work on each other ---- */

typedef struct Ring {
    Loop *loops[3];
    atomic_int left;
} Ring;

static void pass_on(void *opaque)
{
    Ring *ring = opaque;
    int left = atomic_fetch_sub(&ring->left, 1);

    if (left > 0) {
        aio_bh_schedule_oneshot(ring->loops[left % 3]->ctx, pass_on, ring);
    }
}

static void test_loops_in_a_ring(Loop *loop)
{
    Ring ring = { .loops = { loop, loop_new_like(loop), loop_new_like(loop) } };

    atomic_store(&ring.left, test_scaled(100000));
    for (int i = 0; i < 3; i++) {
        loop_start(ring.loops[i]);
    }
    /* Several at once: wake-ups and sleeps overlap in every way. */
    for (int i = 0; i < 3; i++) {
        aio_bh_schedule_oneshot(ring.loops[i]->ctx, pass_on, &ring);
    }
    while (atomic_load(&ring.left) > -3) {
        sched_yield();
    }
    for (int i = 0; i < 3; i++) {
        loop_stop(ring.loops[i]);
    }
    loop_free(ring.loops[1]);
    loop_free(ring.loops[2]);
}

/* ---- readers of the statistics ---- */

static atomic_bool reading_done;

static void look(const AioSourceInfo *info, void *opaque)
{
    g_assert_nonnull(info->name);
}

static void *reader_thread(void *opaque)
{
    Loop *loop = opaque;

    while (!atomic_load(&reading_done)) {
        AioContextStats stats;
        AioActivity activity;

        aio_context_get_activity(loop->ctx, &activity);
        g_assert_true((activity.source != NULL) == (activity.state == AIO_STATE_CALLBACK));
        aio_context_get_stats(loop->ctx, &stats);
        aio_context_foreach_source(loop->ctx, look, NULL);
    }
    return NULL;
}

static void test_watched_while_it_is_changed(Loop *loop)
{
    Worker *worker = worker_new(loop, 7, test_scaled(250000));

    atomic_store(&reading_done, false);
    loop_start(loop);
    pthread_t work = test_thread_start(worker_thread, worker);
    pthread_t reader = test_thread_start(reader_thread, loop);
    test_thread_join(work);
    atomic_store(&reading_done, true);
    test_thread_join(reader);
    loop_stop(loop);
    g_free(worker);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("threads-change-a-running-context", test_threads_change_a_running_context);
    loop_test_add("contexts-come-and-go", test_contexts_come_and_go);
    loop_test_add("loops-in-a-ring", test_loops_in_a_ring);
    loop_test_add("watched-while-it-is-changed", test_watched_while_it_is_changed);
    return g_test_run();
}
