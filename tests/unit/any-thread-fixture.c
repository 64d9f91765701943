/*
 * Workers, and the contexts that they work on: see any-thread-fixture.h.
 */
#include "config.h"
#include "tests/unit/any-thread-fixture.h"

#include <sched.h>
#include <semaphore.h>

#define N_WORKERS  2
#define N_CONTEXTS (N_LASTING + 1)

struct Stage {
    SessionFunc *session;
    Loop *lasting[N_LASTING];
    pthread_mutex_t lock; /* guards the next */
    AioContext *passing;  /* the context that comes and goes; NULL when there is none just now */
    atomic_int borrowed;  /* references that others have to such contexts */
    sem_t used;           /* posted for each session on it, and when a worker ends */
    atomic_int workers;
    atomic_int left;
};

/* ---- sources ---- */

Source *source_new(Worker *worker)
{
    Source *source = g_new0(Source, 1);

    source->left = &worker->stage->left;
    atomic_fetch_add(source->left, 1);
    source->next = worker->sources;
    worker->sources = source;
    return source;
}

void source_acknowledge(void *opaque)
{
    Source *source = opaque;

    g_assert_false(atomic_exchange(&source->gone, true));
    g_assert_true(!source->must_have_run || atomic_load(&source->calls) > 0);
    atomic_fetch_sub(source->left, 1);
}

void source_called(void *opaque)
{
    Source *source = opaque;

    g_assert_false(atomic_load(&source->gone));
    atomic_fetch_add(&source->calls, 1);
}

bool worker_take_operation(Worker *worker)
{
    return worker->operations-- > 0;
}

static void post_run(void *opaque)
{
    Post *post = opaque;

    g_assert_cmpint(post->number, ==, post->order->run);
    post->order->run++;
}

void worker_post(Worker *worker, AioContext *ctx, int number)
{
    Post *post = &worker->posts[worker->n_posts++];

    post->order = &worker->orders[number];
    post->number = post->order->posted++;
    aio_bh_schedule_oneshot(ctx, post_run, post);
}

/* ---- the threads ---- */

/* The context number @number with a reference for the caller, or NULL. */
static AioContext *borrow(Stage *stage, int number)
{
    AioContext *ctx;

    pthread_mutex_lock(&stage->lock);
    ctx = number < N_LASTING ? stage->lasting[number]->ctx : stage->passing;
    if (ctx) {
        aio_context_ref(ctx);
        atomic_fetch_add(&stage->borrowed, number == N_LASTING);
    }
    pthread_mutex_unlock(&stage->lock);
    return ctx;
}

static void give_back(Stage *stage, AioContext *ctx, int number)
{
    aio_context_unref(ctx);
    atomic_fetch_sub(&stage->borrowed, number == N_LASTING);
}

static void *worker_thread(void *opaque)
{
    Worker *worker = opaque;
    Stage *stage = worker->stage;

    while (worker->operations > 0) {
        int number = (int)(test_random(&worker->seed) % N_CONTEXTS);
        AioContext *ctx = borrow(stage, number);

        if (ctx) {
            stage->session(worker, ctx, number);
            if (number == N_LASTING) {
                sem_post(&stage->used);
            }
            give_back(stage, ctx, number);
        }
    }
    atomic_fetch_sub(&stage->workers, 1);
    sem_post(&stage->used);
    return NULL;
}

static void count_one(void *opaque)
{
    atomic_fetch_add((atomic_int *)opaque, 1);
}

/* Make a context, lend it to the workers, and leave it with work of its own and theirs on it. The
 * last of them that drops its reference frees it. */
static void one_comes_and_goes(Stage *stage)
{
    Loop *loop = loop_new_like(stage->lasting[0]);
    atomic_int runs = 0;
    int fires = 0, reads = 0;
    int fds[2];
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_VIRTUAL, SCALE_NS, test_count, &fires);

    test_pipe(fds);
    test_write_byte(fds[1]);
    aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
    timer_mod_ns(timer, INT64_MAX);
    loop_start(loop);
    pthread_mutex_lock(&stage->lock);
    stage->passing = loop->ctx;
    pthread_mutex_unlock(&stage->lock);
    aio_wait_bh_oneshot(loop->ctx, count_one, &runs);
    for (int i = 0; i < 10 && atomic_load(&stage->workers) > 0; i++) {
        sem_wait(&stage->used);
    }
    pthread_mutex_lock(&stage->lock);
    stage->passing = NULL;
    pthread_mutex_unlock(&stage->lock);
    loop_stop(loop);
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    g_clear_pointer(&loop->ctx, aio_context_unref);
    /* A GMainContext can't be freed while its source is destroyed in another thread: GLib 2.74 may
     * then lock a mutex that is gone. */
    while (atomic_load(&stage->borrowed) > 0) {
        sched_yield();
    }
    loop_free(loop);
    g_assert_cmpint(atomic_load(&runs), ==, 1);
    g_assert_cmpint(fires, ==, 0);
    timer_free(timer);
    test_close(fds);
}

static void *coming_and_going_thread(void *opaque)
{
    Stage *stage = opaque;

    while (atomic_load(&stage->workers) > 0) {
        one_comes_and_goes(stage);
    }
    return NULL;
}

static void look(const AioSourceInfo *info, void *opaque)
{
    g_assert_nonnull(info->name);
}

/* Until the workers have ended. A clock that is changed by hand notifies every context there is. */
static void watch(Stage *stage)
{
    for (unsigned i = 0; atomic_load(&stage->workers) > 0; i++) {
        int number = (int)(i % N_CONTEXTS);
        AioContext *ctx = borrow(stage, number);
        AioContextStats stats;
        AioActivity activity;

        if (ctx) {
            aio_context_get_activity(ctx, &activity);
            g_assert_true((activity.source != NULL) == (activity.state == AIO_STATE_CALLBACK));
            aio_context_get_stats(ctx, &stats);
            aio_context_foreach_source(ctx, look, NULL);
            give_back(stage, ctx, number);
        }
        if (i % 16 == 0) {
            qemu_clock_advance_virtual_time(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + 1000);
        }
        sched_yield();
    }
}

static Worker *worker_new(Stage *stage, int number, int operations)
{
    Worker *worker = g_new0(Worker, 1);

    worker->stage = stage;
    worker->seed = (uint32_t)number + 1;
    worker->operations = operations;
    worker->posts = g_new(Post, (gsize)operations);
    return worker;
}

static void worker_free(Worker *worker)
{
    for (int i = 0; i < N_LASTING; i++) {
        g_assert_cmpint(worker->orders[i].run, ==, worker->orders[i].posted);
    }
    while (worker->sources) {
        Source *source = worker->sources;

        worker->sources = source->next;
        g_assert_true(atomic_load(&source->gone));
        g_free(source);
    }
    g_free(worker->posts);
    g_free(worker);
}

void any_thread_run(Loop *loop, SessionFunc *session, int operations)
{
    int fds = test_count_fds();
    g_autoptr(Loop) other = loop_new_like(loop);
    Stage stage = {
        .session = session,
        .lasting = { loop, other },
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .workers = N_WORKERS,
    };
    Worker *workers[N_WORKERS];
    pthread_t threads[N_WORKERS];
    pthread_t coming_and_going;

    sem_init(&stage.used, 0, 0);
    for (int i = 0; i < N_LASTING; i++) {
        loop_start(stage.lasting[i]);
    }
    for (int i = 0; i < N_WORKERS; i++) {
        workers[i] = worker_new(&stage, i, test_scaled(operations) / N_WORKERS);
        threads[i] = test_thread_start(worker_thread, workers[i]);
    }
    coming_and_going = test_thread_start(coming_and_going_thread, &stage);
    watch(&stage);
    for (int i = 0; i < N_WORKERS; i++) {
        test_thread_join(threads[i]);
    }
    test_thread_join(coming_and_going);
    /* Every timer that is left fires, every oneshot runs. */
    while (atomic_load(&stage.left) > 0) {
        sched_yield();
    }
    for (int i = 0; i < N_LASTING; i++) {
        /* They work as before, and nothing keeps them awake. */
        loop_assert_asleep(stage.lasting[i]);
        loop_stop(stage.lasting[i]);
    }
    for (int i = 0; i < N_WORKERS; i++) {
        worker_free(workers[i]);
    }
    sem_destroy(&stage.used);
    g_clear_pointer(&other, loop_free);
    g_assert_cmpint(test_count_fds(), <=, fds + 1); /* GLib's way: a timerfd of @loop */
}
