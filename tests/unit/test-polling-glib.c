/*
 * Adaptive polling where a GMainContext drives contexts and we poll for it: in the main loop, and
 * in aio_run_g_main_loop().
 */
#include "config.h"
#include "loop/main-loop.h"

#include <unistd.h>

#include "tests/unit/polling-fixture.h"

#define MAX_NS AIO_POLL_MAX_NS_DEFAULT

/* ---- the main loop ---- */

static void begin(void)
{
    sim_begin(qemu_get_aio_context());
    main_loop_settle();
}

static int runs;

static void schedule(void *opaque)
{
    aio_bh_schedule_oneshot(opaque, test_count, &runs);
}

/* A bottom half is scheduled on @ctx in @delay_ns, and the first pass runs it. */
static void event(AioContext *ctx, int64_t delay_ns)
{
    int before = runs;

    sim_event_in(delay_ns, schedule, ctx);
    main_loop_wait(0);
    g_assert_cmpint(runs, ==, before + 1);
}

static void test_notifications(void)
{
    AioContext *ctx = qemu_get_aio_context();
    AioContextStats before, after;

    for (int i = 0; i < 5; i++) {
        event(ctx, 10000);
    }
    aio_context_get_stats(ctx, &before);
    g_assert_cmpuint(before.poll_ns, ==, 16000);
    int sets = polling_notifier_sets();
    for (int i = 0; i < 10; i++) {
        event(ctx, 10000);
    }
    aio_context_get_stats(ctx, &after);
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit + 10);
    g_assert_cmpuint(after.waits, ==, before.waits);
    g_assert_cmpint(polling_notifier_sets(), ==, sets);

    event(ctx, 10 * MAX_NS);
    aio_context_get_stats(ctx, &after);
    g_assert_cmpuint(after.poll_ns, ==, 0);
    g_assert_cmpuint(after.polls_missed, ==, before.polls_missed + 1);
    g_assert_cmpint(polling_notifier_sets(), ==, sets + 1);
}

static void test_both_contexts(void)
{
    AioContextStats before, after;

    for (int i = 0; i < 5; i++) {
        event(iohandler_get_aio_context(), 10000);
    }
    aio_context_get_stats(qemu_get_aio_context(), &before);
    g_assert_cmpuint(before.poll_ns, ==, 0);
    event(qemu_get_aio_context(), 10000);
    event(iohandler_get_aio_context(), 10000);
    aio_context_get_stats(qemu_get_aio_context(), &after);
    g_assert_cmpuint(after.waits, ==, before.waits);
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit + 2);
}

static void test_rare_events(void)
{
    AioContextStats stats;
    int64_t start = sim_now();
    uint32_t random = 1;

    for (int i = 0; i < 200; i++) {
        event(qemu_get_aio_context(), MAX_NS + 5000 + test_random(&random) % 100000);
    }
    aio_context_get_stats(qemu_get_aio_context(), &stats);
    g_assert_cmpuint(stats.polling_ns * 20, <, (uint64_t)(sim_now() - start));
}

static gboolean on_glib_event(GIOChannel *channel, GIOCondition condition, gpointer opaque)
{
    const int *fds = opaque;

    runs++;
    test_read_byte(fds[0]);
    return G_SOURCE_CONTINUE;
}

static void write_to(void *opaque)
{
    const int *fds = opaque;

    test_write_byte(fds[1]);
}

/* A descriptor of GLib's is seen after polling only, and does not keep it going. */
static void test_events_of_glib(void)
{
    AioContextStats before, after;
    int fds[2];

    test_pipe(fds);
    GIOChannel *channel = g_io_channel_unix_new(fds[0]);
    guint id = g_io_add_watch(channel, G_IO_IN, on_glib_event, fds);
    for (int i = 0; i < 5; i++) {
        event(qemu_get_aio_context(), 30000);
    }
    aio_context_get_stats(qemu_get_aio_context(), &before);
    g_assert_cmpuint(before.poll_ns, ==, 32000);
    int64_t start = sim_now();
    int seen = runs;
    sim_event_in(1000, write_to, fds);
    main_loop_wait(0);
    g_assert_cmpint(runs, ==, seen + 1);
    g_assert_cmpint(sim_now() - start, <, before.poll_ns + 40 * SIM_TICK_NS);

    for (int i = 0; i < POLL_TIME_MAX_AGE / POLL_TIME_FRUITLESS_AGE; i++) {
        sim_event_in(10000, write_to, fds);
        main_loop_wait(0);
    }
    aio_context_get_stats(qemu_get_aio_context(), &after);
    g_assert_cmpuint(after.poll_ns, ==, 0);
    g_assert_cmpint(runs, ==, seen + 1 + POLL_TIME_MAX_AGE / POLL_TIME_FRUITLESS_AGE);
    g_source_remove(id);
    g_io_channel_unref(channel);
    test_close(fds);
}

static void read_byte(void *opaque)
{
    const int *fds = opaque;

    runs++;
    test_read_byte(fds[0]);
}

static void set_handler(void *opaque)
{
    int *fds = opaque;

    aio_set_fd_handler(qemu_get_aio_context(), fds[0], read_byte, NULL, NULL, NULL, fds);
}

/* As an io_poll may do, between the context's prepare and the wait. */
static void test_handler_set_while_polling(void)
{
    AioContextStats before, after;
    int fds[2];

    test_pipe(fds);
    test_write_byte(fds[1]);
    for (int i = 0; i < 5; i++) {
        event(qemu_get_aio_context(), 30000);
    }
    aio_context_get_stats(qemu_get_aio_context(), &before);
    int seen = runs;
    sim_event_in(1000, set_handler, fds);
    while (runs == seen) {
        main_loop_wait(0);
    }
    aio_context_get_stats(qemu_get_aio_context(), &after);
    g_assert_cmpuint(after.polls_hit + after.polls_missed, >,
                     before.polls_hit + before.polls_missed);
    aio_set_fd_handler(qemu_get_aio_context(), fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
}

static void test_not_blocking(void)
{
    AioContextStats before, after;

    for (int i = 0; i < 5; i++) {
        event(qemu_get_aio_context(), 10000);
    }
    aio_context_get_stats(qemu_get_aio_context(), &before);
    for (int i = 0; i < 5; i++) {
        main_loop_wait(1);
    }
    aio_context_get_stats(qemu_get_aio_context(), &after);
    g_assert_cmpuint(after.polling_ns, ==, before.polling_ns);
}

/* ---- aio_run_g_main_loop() ---- */

typedef struct Run {
    Loop *loop;
    GMainLoop *main_loop;
    int events_left;
} Run;

static void next_event(void *opaque);

static void schedule_next(void *opaque)
{
    Run *run = opaque;

    aio_bh_schedule_oneshot(run->loop->ctx, next_event, run);
}

static void next_event(void *opaque)
{
    Run *run = opaque;

    if (run->events_left-- > 0) {
        sim_event_in(10000, schedule_next, run);
    } else {
        g_main_loop_quit(run->main_loop);
    }
}

static void test_run_g_main_loop(Loop *loop)
{
    Run run = { loop, g_main_loop_new(loop->main_context, FALSE), 20 };
    AioContextStats before, stats;

    qemu_set_current_aio_context(loop->ctx);
    sim_begin(loop->ctx);
    loop_passes(loop, 2);
    aio_context_get_stats(loop->ctx, &before);
    aio_bh_schedule_oneshot(loop->ctx, next_event, &run);
    aio_run_g_main_loop(loop->ctx, run.main_loop);
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 16000);
    /* 0, 4 and 8 us were too short. */
    g_assert_cmpuint(stats.waits, ==, before.waits + 3);
    g_assert_cmpuint(stats.polls_missed, ==, 2);
    g_assert_cmpuint(stats.polls_hit, ==, 17);
    sim_end();
    g_main_loop_unref(run.main_loop);
}

/* A GMainContext that somebody else polls is never polled for. */
static void test_other_main_context(Loop *loop)
{
    AioContextStats stats;
    int count = 0;

    sim_begin(loop->ctx);
    loop_passes(loop, 2);
    for (int i = 0; i < 10; i++) {
        bh_event(loop, &count, 10000);
    }
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 0);
    g_assert_cmpuint(stats.polling_ns, ==, 0);
    sim_end();
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    main_loop_test_add_full("notifications-are-polled-for", begin, test_notifications, sim_end);
    main_loop_test_add_full("both-contexts-are-polled", begin, test_both_contexts, sim_end);
    main_loop_test_add_full("rare-events-are-not-polled-for", begin, test_rare_events, sim_end);
    main_loop_test_add_full("events-of-glib-are-seen-after-polling", begin, test_events_of_glib,
                            sim_end);
    main_loop_test_add_full("a-pass-that-does-not-block-does-not-poll", begin, test_not_blocking,
                            sim_end);
    main_loop_test_add_full("handlers-set-while-polling", begin, test_handler_set_while_polling,
                            sim_end);
    loop_test_add_gsource("aio-run-g-main-loop-polls", test_run_g_main_loop);
    loop_test_add_gsource("another-g-main-context-does-not", test_other_main_context);
    return g_test_run();
}
