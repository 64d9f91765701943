/*
 * The main loop: GLib's default context, iohandler_ctx and qemu_aio_context in one wait.
 */
#include "config.h"
#include "loop/main-loop.h"

#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

static void drain_byte(void *opaque)
{
    const int *fds = opaque;

    test_read_byte(fds[0]);
}

/* ---- what wakes it ---- */

static void test_bottom_half(void)
{
    int runs = 0;
    QEMUBH *bh = qemu_bh_new(test_count, &runs);

    qemu_bh_schedule(bh);
    while (runs == 0) {
        main_loop_wait(0);
    }
    main_loop_settle();
    g_assert_cmpint(runs, ==, 1);
    qemu_bh_delete(bh);
}

static void test_descriptor_of_each_context(void)
{
    int fds[2][2], reads[2] = { 0 };

    test_pipe(fds[0]);
    test_pipe(fds[1]);
    aio_set_fd_handler(qemu_get_aio_context(), fds[0][0], test_count, NULL, NULL, NULL, &reads[0]);
    qemu_set_fd_handler(fds[1][0], test_count, NULL, &reads[1]);
    main_loop_settle();
    g_assert_cmpint(reads[0] + reads[1], ==, 0);
    test_write_byte(fds[0][1]);
    while (reads[0] < 2) {
        main_loop_wait(0);
    }
    g_assert_cmpint(reads[1], ==, 0);
    test_read_byte(fds[0][0]);
    test_write_byte(fds[1][1]);
    while (reads[1] < 2) {
        main_loop_wait(0);
    }
    qemu_set_fd_handler(fds[1][0], NULL, NULL, NULL);
    aio_set_fd_handler(qemu_get_aio_context(), fds[0][0], NULL, NULL, NULL, NULL, NULL);
    reads[1] = 0;
    main_loop_settle();
    g_assert_cmpint(reads[1], ==, 0);
    test_close(fds[0]);
    test_close(fds[1]);
}

static gboolean glib_once(gpointer opaque)
{
    test_count(opaque);
    return G_SOURCE_REMOVE;
}

static void test_glib_sources(void)
{
    int idles = 0, timeouts = 0;

    g_idle_add(glib_once, &idles);
    while (idles == 0) {
        main_loop_wait(0);
    }
    g_timeout_add(2, glib_once, &timeouts);
    while (timeouts == 0) {
        main_loop_wait(0);
    }
}

static void test_timer_of_each_context(void)
{
    AioContext *contexts[] = { qemu_get_aio_context(), iohandler_get_aio_context() };

    for (int i = 0; i < 100; i++) {
        int fires = 0;
        QEMUTimer *timer =
            aio_timer_new(contexts[i % 2], QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
        int64_t deadline = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 20000 * (i % 5);
        timer_mod_ns(timer, deadline);
        while (fires == 0) {
            main_loop_wait(0);
        }
        g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_REALTIME), >=, deadline);
        timer_free(timer);
    }
}

static void test_all_three_in_one_wait(void)
{
    int runs = 0, reads = 0, idles = 0;
    int fds[2];

    /* All are ready: one iteration that does not wait serves the three. */
    test_pipe(fds);
    qemu_set_fd_handler(fds[0], test_count, NULL, &reads);
    main_loop_settle();
    test_write_byte(fds[1]);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), test_count, &runs);
    GSource *source = g_timeout_source_new(0);
    g_source_set_callback(source, glib_once, &idles, NULL);
    g_source_attach(source, NULL);
    main_loop_wait(1);
    g_assert_cmpint(runs, ==, 1);
    g_assert_cmpint(reads, ==, 1);
    g_assert_cmpint(idles, ==, 1);
    g_source_unref(source);
    qemu_set_fd_handler(fds[0], NULL, NULL, NULL);
    test_close(fds);
}

static atomic_bool notified;

static void *notify_until_seen(void *opaque)
{
    AioActivity activity;

    do {
        aio_context_get_activity(qemu_get_aio_context(), &activity);
    } while (activity.state != AIO_STATE_IDLE);
    atomic_store(&notified, true);
    qemu_notify_event();
    return NULL;
}

static void test_notify_event(void)
{
    /* Before the wait ... */
    qemu_notify_event();
    main_loop_wait(0);
    main_loop_settle();

    /* ... and during it. */
    for (int i = 0; i < 20; i++) {
        atomic_store(&notified, false);
        pthread_t thread = test_thread_start(notify_until_seen, NULL);
        while (!atomic_load(&notified)) {
            main_loop_wait(0);
        }
        test_thread_join(thread);
        main_loop_settle();
    }
}

static void *schedule_from_thread(void *opaque)
{
    AioActivity activity;

    do {
        aio_context_get_activity(iohandler_get_aio_context(), &activity);
    } while (activity.state != AIO_STATE_IDLE);
    aio_bh_schedule_oneshot(iohandler_get_aio_context(), test_count, opaque);
    return NULL;
}

static void test_woken_by_another_thread(void)
{
    for (int i = 0; i < 20; i++) {
        int runs = 0;

        pthread_t thread = test_thread_start(schedule_from_thread, &runs);
        while (runs == 0) {
            main_loop_wait(0);
        }
        test_thread_join(thread);
    }
}

static void test_nonblocking(void)
{
    AioContextStats before, after;

    /* Nothing to do: would hang if it waited. */
    main_loop_settle();
    aio_context_get_stats(qemu_get_aio_context(), &before);
    for (int i = 0; i < 100; i++) {
        main_loop_wait(1);
    }
    aio_context_get_stats(qemu_get_aio_context(), &after);
    g_assert_cmpuint(after.waits, ==, before.waits);
}

typedef struct Quit {
    GMainLoop *main_loop;
    int left;
} Quit;

static void quit_when_done(void *opaque)
{
    Quit *quit = opaque;

    if (--quit->left == 0) {
        g_main_loop_quit(quit->main_loop);
    }
}

static gboolean glib_quit_when_done(gpointer opaque)
{
    quit_when_done(opaque);
    return G_SOURCE_REMOVE;
}

static void test_driven_by_g_main_loop_run(void)
{
    Quit quit = { g_main_loop_new(NULL, FALSE), 3 };
    QEMUTimer *timer = aio_timer_new(iohandler_get_aio_context(), QEMU_CLOCK_REALTIME, SCALE_NS,
                                     quit_when_done, &quit);
    int runs = 0;

    timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 1500000);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), quit_when_done, &quit);
    g_timeout_add(1, glib_quit_when_done, &quit);
    g_main_loop_run(quit.main_loop);
    g_assert_cmpint(quit.left, ==, 0);
    g_main_loop_unref(quit.main_loop);
    timer_free(timer);

    /* And back. */
    aio_bh_schedule_oneshot(iohandler_get_aio_context(), test_count, &runs);
    while (runs == 0) {
        main_loop_wait(0);
    }
}

static void run_nested_main_loop(void *opaque)
{
    Quit *quit = opaque;
    QEMUTimer *timer =
        aio_timer_new(qemu_get_aio_context(), QEMU_CLOCK_REALTIME, SCALE_NS, quit_when_done, quit);

    timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 1500000);
    g_main_loop_run(quit->main_loop); /* would hang */
    timer_free(timer);
}

static void test_timer_in_a_nested_g_main_loop(void)
{
    Quit quit = { g_main_loop_new(NULL, FALSE), 1 };

    aio_bh_schedule_oneshot(qemu_get_aio_context(), run_nested_main_loop, &quit);
    while (quit.left > 0) {
        main_loop_wait(0);
    }
    g_main_loop_unref(quit.main_loop);
}

/* ---- why there are two ---- */

typedef struct Nested {
    int inside; /* what the nested wait is for */
    int outside_before;
    int *outside;
    bool done;
} Nested;

static void wait_nested(void *opaque)
{
    Nested *nested = opaque;

    nested->outside_before = *nested->outside;
    while (nested->inside == 0) {
        aio_poll(qemu_get_aio_context(), true);
    }
    for (int i = 0; i < 10; i++) {
        aio_poll(qemu_get_aio_context(), false);
    }
    /* Ready all the time, and silent. */
    g_assert_cmpint(*nested->outside, ==, nested->outside_before);
    nested->done = true;
}

static void test_iohandler_is_silent_in_a_nested_wait(void)
{
    int fds[2], outside = 0;
    Nested nested = { .outside = &outside };
    QEMUTimer *timer = aio_timer_new(qemu_get_aio_context(), QEMU_CLOCK_REALTIME, SCALE_NS,
                                     test_count, &nested.inside);

    test_pipe(fds);
    test_write_byte(fds[1]);
    qemu_set_fd_handler(fds[0], test_count, NULL, &outside);
    aio_bh_schedule_oneshot(iohandler_get_aio_context(), test_count, &outside);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), wait_nested, &nested);
    timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 1000000);
    while (!nested.done) {
        main_loop_wait(0);
    }
    while (outside < nested.outside_before + 2) {
        main_loop_wait(0);
    }
    qemu_set_fd_handler(fds[0], NULL, NULL, NULL);
    test_close(fds);
    timer_free(timer);
}

static void test_nested_wait_in_an_iohandler(void)
{
    int fds[2], runs = 0;
    Nested nested = { .outside = &runs };

    test_pipe(fds);
    test_write_byte(fds[1]);
    qemu_set_fd_handler(fds[0], wait_nested, NULL, &nested);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), test_count, &nested.inside);
    while (!nested.done) {
        main_loop_wait(0);
    }
    qemu_set_fd_handler(fds[0], NULL, NULL, NULL);
    test_close(fds);
}

/* ---- the poll set ---- */

static int count_polled(void)
{
    gint max_priority, timeout_ms;
    GPollFD fds[512];
    GMainContext *context = g_main_context_default();

    main_loop_settle();
    g_assert_true(g_main_context_acquire(context));
    g_main_context_prepare(context, &max_priority);
    int n = g_main_context_query(context, max_priority, &timeout_ms, fds, 512);
    g_assert_cmpint(n, <=, 512);
    g_main_context_check(context, max_priority, fds, n);
    g_main_context_release(context);
    return n;
}

static void test_one_entry_for_each_context(void)
{
    enum {
        N = 50
    };
    int fds[N][2];

    int before = count_polled();
    for (int i = 0; i < N; i++) {
        test_pipe(fds[i]);
        qemu_set_fd_handler(fds[i][0], drain_byte, NULL, fds[i]);
    }
    bool each = g_str_equal(aio_context_get_fdmon(qemu_get_aio_context()), "poll");
    g_assert_cmpint(count_polled(), ==, each ? before + N : before);
    for (int i = 0; i < N; i++) {
        qemu_set_fd_handler(fds[i][0], NULL, NULL, NULL);
        test_close(fds[i]);
    }
    g_assert_cmpint(count_polled(), ==, before);
}

/* ---- threads ---- */

static void *not_the_main_thread(void *opaque)
{
    g_assert_null(qemu_get_current_aio_context());
    g_assert_false(in_aio_context_home_thread(qemu_get_aio_context()));
    g_assert_false(in_aio_context_home_thread(iohandler_get_aio_context()));
    return NULL;
}

static void test_home_and_current(void)
{
    g_assert_true(qemu_get_current_aio_context() == qemu_get_aio_context());
    g_assert_true(qemu_get_aio_context() != iohandler_get_aio_context());
    g_assert_true(in_aio_context_home_thread(qemu_get_aio_context()));
    g_assert_true(in_aio_context_home_thread(iohandler_get_aio_context()));
    test_thread_join(test_thread_start(not_the_main_thread, NULL));
}

static void note_activity(void *opaque)
{
    AioActivity *activities = opaque;

    aio_context_get_activity(qemu_get_aio_context(), &activities[0]);
    aio_context_get_activity(iohandler_get_aio_context(), &activities[1]);
}

static void test_contexts_share_their_activity(void)
{
    AioActivity activities[2] = { 0 };

    aio_bh_schedule_oneshot(iohandler_get_aio_context(), note_activity, activities);
    while (activities[0].state == AIO_STATE_UNUSED) {
        main_loop_wait(0);
    }
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(activities[i].state, ==, AIO_STATE_CALLBACK);
        g_assert_cmpstr(activities[i].source, ==, "note_activity");
    }
}

static void test_out_of_descriptors(void)
{
    struct rlimit limit, few;
    g_autoptr(GError) err = NULL;
    int fds = 0;

    g_main_context_default(); /* which has a descriptor of its own */
    fds = test_count_fds();
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    for (rlim_t n = 0;; n++) {
        few = (struct rlimit){ .rlim_cur = n, .rlim_max = limit.rlim_max };
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
        bool ok = qemu_init_main_loop(&err);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        if (ok) {
            break;
        }
        g_assert_nonnull(err);
        g_clear_error(&err);
        g_assert_cmpint(test_count_fds(), ==, fds);
    }
    test_bottom_half();
    qemu_cleanup_main_loop();
    g_assert_cmpint(test_count_fds(), ==, fds);
}

/* ---- qemu_poll_ns() ---- */

static void test_poll_ns(void)
{
    int fds[2];

    test_pipe(fds);
    GPollFD poll_fd = { .fd = fds[0], .events = G_IO_IN };
    g_assert_cmpint(qemu_poll_ns(&poll_fd, 1, 0), ==, 0);
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    g_assert_cmpint(qemu_poll_ns(&poll_fd, 1, 100000), ==, 0);
    g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_REALTIME), >=, start + 100000); /* never early */
    test_write_byte(fds[1]);
    g_assert_cmpint(qemu_poll_ns(&poll_fd, 1, -1), ==, 1);
    g_assert_cmpint(poll_fd.revents, ==, G_IO_IN);
    g_assert_cmpint(qemu_poll_ns(&poll_fd, 1, INT64_MAX), ==, 1);
    g_assert_cmpint(qemu_poll_ns(NULL, 0, 1), ==, 0);
    test_close(fds);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    main_loop_test_add("bottom-half", test_bottom_half);
    main_loop_test_add("descriptor-of-each-context", test_descriptor_of_each_context);
    main_loop_test_add("glib-sources", test_glib_sources);
    main_loop_test_add("timer-of-each-context", test_timer_of_each_context);
    main_loop_test_add("all-three-in-one-wait", test_all_three_in_one_wait);
    main_loop_test_add("notify-event-ends-the-wait", test_notify_event);
    main_loop_test_add("woken-by-another-thread", test_woken_by_another_thread);
    main_loop_test_add("nonblocking-does-not-wait", test_nonblocking);
    main_loop_test_add("iohandler-is-silent-in-a-nested-wait",
                       test_iohandler_is_silent_in_a_nested_wait);
    main_loop_test_add("nested-wait-in-an-iohandler", test_nested_wait_in_an_iohandler);
    main_loop_test_add("one-entry-for-each-context", test_one_entry_for_each_context);
    main_loop_test_add("home-and-current-context", test_home_and_current);
    main_loop_test_add("contexts-share-their-activity", test_contexts_share_their_activity);
    main_loop_test_add("driven-by-g-main-loop-run", test_driven_by_g_main_loop_run);
    main_loop_test_add("timer-in-a-nested-g-main-loop", test_timer_in_a_nested_g_main_loop);
    test_add("/main-loop/out-of-descriptors", test_out_of_descriptors);
    test_add("/poll-ns", test_poll_ns);
    return g_test_run();
}
