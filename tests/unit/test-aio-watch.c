/*
 * A watch for loops that are stuck: what it is told of, and that none wakes up unnoticed.
 */
#include "config.h"

#include <semaphore.h>
#include <string.h>

#include "loop/main-loop.h"
#include "tests/unit/loop-fixture.h"

#define HOUR_NS (3600 * INT64_C(1000000000))

/* What a watch was told. */
typedef struct Told {
    AioWatch watch;
    _Atomic int n_woken;
    _Atomic int n_held; /* that wait_here(), or @source, held a loop */
    AioContext *ctx;
    AioActivity activity;
    int64_t end_ns;
    const char *source; /* NULL: a state without a source */
} Told;

static void told_woken(void *opaque)
{
    Told *told = opaque;

    told->n_woken++;
}

static void told_held(AioContext *ctx, const AioActivity *activity, int64_t end_ns, void *opaque)
{
    Told *told = opaque;

    if (g_strcmp0(activity->source, told->source) == 0) {
        told->ctx = ctx;
        told->activity = *activity;
        told->end_ns = end_ns;
        told->n_held++;
    }
}

/* Watch, for what takes longer than @limit_ns in @source. */
static void watch_start(Told *told, int64_t limit_ns, const char *source)
{
    *told = (Told){
        .watch = { .limit_ns = limit_ns, .held = told_held, .woken = told_woken, .opaque = told },
        .source = source
    };
    aio_watch_start(&told->watch);
}

static void spend_time(void *opaque)
{
    int64_t *times = opaque;

    times[0] = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    do {
        times[1] = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    } while (times[1] == times[0]);
}

/* ---- held ---- */

static void assert_told_of(const Told *told, const Loop *loop, const int64_t times[2])
{
    g_assert_cmpint(told->n_held, ==, 1);
    g_assert_true(told->ctx == loop->ctx);
    g_assert_cmpint(told->activity.state, ==, AIO_STATE_CALLBACK);
    g_assert_cmpint(told->activity.changed_ns, <=, times[0]);
    g_assert_cmpint(told->end_ns, >=, times[1]);
    g_assert_cmpint(told->end_ns, <=, qemu_clock_get_ns(QEMU_CLOCK_REALTIME));
}

static void test_callbacks_of_each_kind(Loop *loop)
{
    Told told;
    int64_t times[2] = { 0 };
    int fds[2];
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, spend_time, times);
    QEMUBH *bh = aio_bh_new(loop->ctx, spend_time, times);

    test_pipe(fds);
    loop_passes(loop, 2);
    for (int kind = 0; kind < 4; kind++) {
        times[1] = 0;
        watch_start(&told, 0, "spend_time");
        switch (kind) {
        case 0:
            aio_bh_schedule_oneshot(loop->ctx, spend_time, times);
            break;
        case 1:
            qemu_bh_schedule(bh);
            break;
        case 2:
            timer_mod(timer, 0);
            break;
        default:
            aio_set_fd_handler(loop->ctx, fds[1], NULL, spend_time, NULL, NULL, times);
        }
        while (told.n_held == 0) {
            loop_pass(loop, true);
        }
        aio_watch_stop();
        assert_told_of(&told, loop, times);
    }
    aio_set_fd_handler(loop->ctx, fds[1], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
    timer_free(timer);
    qemu_bh_delete(bh);
}

static void test_nothing_below_the_limit(Loop *loop)
{
    Told told;
    int64_t times[2] = { 0 };

    watch_start(&told, HOUR_NS, "spend_time");
    for (int i = 0; i < 3; i++) {
        times[1] = 0;
        aio_bh_schedule_oneshot(loop->ctx, spend_time, times);
        while (times[1] == 0) {
            loop_pass(loop, true);
        }
    }
    aio_watch_stop();
    g_assert_cmpint(told.n_held, ==, 0);
}

static void test_nothing_after_the_end(Loop *loop)
{
    Told told;
    int64_t times[2] = { 0 };

    watch_start(&told, 0, "spend_time");
    aio_watch_ask();
    aio_watch_stop();
    loop_start(loop);
    loop_wait_until_idle(loop);
    aio_wait_bh_oneshot(loop->ctx, spend_time, times);
    loop_stop(loop);
    g_assert_cmpint(told.n_held + told.n_woken, ==, 0);
}

static void test_sleep_is_not_told_of(Loop *loop)
{
    Told told;

    watch_start(&told, 0, NULL);
    loop_start(loop);
    for (int i = 0; i < 20; i++) {
        loop_wait_until_idle(loop);
        aio_notify(loop->ctx);
    }
    loop_stop(loop);
    aio_watch_stop();
    if (told.n_held > 0) {
        g_assert_cmpint(told.activity.state, ==, AIO_STATE_LOOP);
    }
}

/* A callback that runs another pass, in the middle of its time. */
typedef struct Nesting {
    AioContext *ctx;
    int64_t times[2]; /* when it had polled, and when it was over */
} Nesting;

static void poll_inside(void *opaque)
{
    Nesting *nesting = opaque;
    AioActivity activity;
    int64_t times[2];

    spend_time(times);
    aio_poll(nesting->ctx, false);
    nesting->times[0] = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    aio_context_get_activity(nesting->ctx, &activity);
    g_assert_cmpint(activity.state, ==, AIO_STATE_CALLBACK);
    g_assert_cmpint(activity.since_ns, <=, times[0]);
    g_assert_cmpint(activity.changed_ns, >=, times[1]);
    g_assert_cmpint(activity.changed_ns, <=, nesting->times[0]);
    spend_time(times);
    nesting->times[1] = times[1];
}

static void test_polling_inside_is_an_end(Loop *loop)
{
    Told told;
    Nesting nesting = { .ctx = loop->ctx };

    loop_passes(loop, 2);
    watch_start(&told, 0, "poll_inside");
    aio_bh_schedule_oneshot(loop->ctx, poll_inside, &nesting);
    while (nesting.times[1] == 0) {
        loop_pass(loop, true);
    }
    aio_watch_stop();
    /* Up to the nested pass, and from then on. */
    g_assert_cmpint(told.n_held, ==, 2);
    g_assert_cmpint(told.activity.changed_ns, <=, nesting.times[0]);
    g_assert_cmpint(told.activity.changed_ns, >, told.activity.since_ns);
    g_assert_cmpint(told.end_ns, >=, nesting.times[1]);
}

static gboolean spend_time_in_glib(gpointer opaque)
{
    spend_time(opaque);
    return G_SOURCE_REMOVE;
}

static void test_source_of_glib_has_no_name(void)
{
    Told told;
    int64_t times[2] = { 0 };
    bool found = false;

    main_loop_settle();
    g_idle_add(spend_time_in_glib, times);
    watch_start(&told, 0, NULL);
    while (!found) {
        main_loop_wait(true);
        found = times[1] > 0 && told.activity.changed_ns <= times[0] && told.end_ns >= times[1];
    }
    aio_watch_stop();
    g_assert_true(told.ctx == qemu_get_aio_context());
    g_assert_cmpint(told.activity.state, ==, AIO_STATE_LOOP);
}

static gboolean quit(gpointer main_loop)
{
    g_main_loop_quit(main_loop);
    return G_SOURCE_REMOVE;
}

static void run_a_loop_inside(void *opaque)
{
    GMainLoop *nested = g_main_loop_new(NULL, FALSE);

    g_idle_add(quit, nested);
    g_main_loop_run(nested);
    g_main_loop_unref(nested);
    spend_time(opaque);
}

/* What was held between two times. */
typedef struct Covered {
    AioWatch watch;
    int64_t times[2];
    int n_held;
} Covered;

static void covered_held(AioContext *ctx, const AioActivity *activity, int64_t end_ns, void *opaque)
{
    Covered *covered = opaque;

    if (covered->times[1] > 0 && activity->changed_ns <= covered->times[0] &&
        end_ns >= covered->times[1]) {
        covered->n_held++;
    }
}

/* Its name is lost by then, but not that the loop was held. */
static void test_callback_that_has_run_a_loop_is_told_of(void)
{
    Covered covered = { .watch = { .held = covered_held, .opaque = &covered } };

    main_loop_settle();
    aio_bh_schedule_oneshot(qemu_get_aio_context(), run_a_loop_inside, covered.times);
    aio_watch_start(&covered.watch);
    while (covered.times[1] == 0) {
        main_loop_wait(true);
    }
    aio_watch_stop();
    g_assert_cmpint(covered.n_held, ==, 1);
}

/* Both contexts of the main loop are one loop. */
static void test_main_loop_is_one(void)
{
    Told told;
    int64_t times[2] = { 0 };

    main_loop_settle();
    watch_start(&told, 0, "spend_time");
    aio_bh_schedule_oneshot(iohandler_get_aio_context(), spend_time, times);
    while (told.n_held == 0) {
        main_loop_wait(true);
    }
    aio_watch_stop();
    g_assert_true(told.ctx == qemu_get_aio_context());
}

/* ---- woken ---- */

static void nothing(void *opaque)
{
}

static void test_told_once_of_who_wakes_up(Loop *loop)
{
    Told told;

    watch_start(&told, HOUR_NS, NULL);
    loop_start(loop);
    loop_wait_until_idle(loop);
    g_assert_cmpint(told.n_woken, ==, 0);
    for (int i = 1; i <= 3; i++) {
        aio_watch_ask();
        aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
        g_assert_cmpint(told.n_woken, ==, i);
        g_assert_false(aio_watch_take_back());
        /* Nobody asks any more. */
        loop_wait_until_idle(loop);
        aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
        loop_wait_until_idle(loop);
        g_assert_cmpint(told.n_woken, ==, i);
    }
    aio_watch_ask();
    g_assert_true(aio_watch_take_back());
    aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    g_assert_cmpint(told.n_woken, ==, 3);
    loop_stop(loop);
    aio_watch_stop();
}

static void test_told_of_a_loop_that_is_new(Loop *loop)
{
    Told told;

    watch_start(&told, HOUR_NS, NULL);
    aio_watch_ask();
    loop_start(loop);
    aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    g_assert_cmpint(told.n_woken, ==, 1);
    loop_stop(loop);
    aio_watch_stop();
}

/* What the loop does at the time of the race: it has told the watch by then, or was seen awake. */
typedef struct Race {
    Loop *loop;
    Told told;
    sem_t go;
    atomic_bool end;
    int woken_before; /* as the callback saw it */
    atomic_bool has_run;
    sem_t ran;
} Race;

static void note_woken(void *opaque)
{
    Race *race = opaque;

    race->woken_before = race->told.n_woken;
    race->has_run = true;
    sem_post(&race->ran);
}

static void *kick(void *opaque)
{
    Race *race = opaque;

    while (sem_wait(&race->go) == 0 && !race->end) {
        aio_bh_schedule_oneshot(race->loop->ctx, note_woken, race);
    }
    return NULL;
}

static void test_no_wake_up_is_missed(Loop *loop)
{
    Race race = { .loop = loop };
    int n = test_scaled(3000), seen_asleep = 0;
    pthread_t kicker;

    sem_init(&race.go, 0, 0);
    sem_init(&race.ran, 0, 0);
    watch_start(&race.told, HOUR_NS, NULL);
    loop_start(loop);
    kicker = test_thread_start(kick, &race);
    for (int i = 0; i < n; i++) {
        AioActivity activity;
        int woken = race.told.n_woken;
        bool was_asleep;

        loop_wait_until_idle(loop);
        race.has_run = false;
        sem_post(&race.go);
        /* So that it is now before, now after the loop wakes up. */
        for (volatile int spin = 0; spin < (i % 50) * 40; spin++) {
        }
        aio_watch_ask();
        aio_context_get_activity(loop->ctx, &activity);
        /* And has not been awake before. */
        was_asleep = aio_state_is_asleep(activity.state) && !race.has_run;
        sem_wait(&race.ran);
        if (was_asleep) {
            seen_asleep++;
            g_assert_cmpint(race.woken_before, ==, woken + 1);
        } else {
            aio_watch_take_back();
        }
    }
    g_assert_cmpint(seen_asleep, >, 0);
    race.end = true;
    sem_post(&race.go);
    test_thread_join(kicker);
    loop_stop(loop);
    aio_watch_stop();
    sem_destroy(&race.go);
    sem_destroy(&race.ran);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("callbacks-of-each-kind-are-told-of", test_callbacks_of_each_kind);
    loop_test_add("nothing-below-the-limit", test_nothing_below_the_limit);
    loop_test_add("nothing-after-the-end", test_nothing_after_the_end);
    loop_test_add("sleep-is-not-told-of", test_sleep_is_not_told_of);
    loop_test_add("polling-inside-a-callback-is-an-end", test_polling_inside_is_an_end);
    main_loop_test_add("source-of-glib-has-no-name", test_source_of_glib_has_no_name);
    main_loop_test_add("callback-that-has-run-a-loop",
                       test_callback_that_has_run_a_loop_is_told_of);
    main_loop_test_add("main-loop-is-one", test_main_loop_is_one);
    loop_test_add("told-once-of-who-wakes-up", test_told_once_of_who_wakes_up);
    loop_test_add("told-of-a-loop-that-is-new", test_told_of_a_loop_that_is_new);
    loop_test_add("no-wake-up-is-missed", test_no_wake_up_is_missed);
    return g_test_run();
}
