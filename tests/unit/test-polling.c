/*
 * Adaptive polling: when a loop polls before it blocks, what it looks at, and what it learns.
 */
#include "config.h"

#include <string.h>

#include "tests/unit/polling-fixture.h"

#define MAX_NS AIO_POLL_MAX_NS_DEFAULT

/* ---- what is learnt from events ---- */

static void test_frequent_events(Loop *loop)
{
    Source source;
    AioContextStats before, after;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    /* Each grows the time by a step, until it covers them. */
    for (int i = 0; i < 3; i++) {
        source_event(&source, 10000);
    }
    aio_context_get_stats(loop->ctx, &before);
    g_assert_cmpuint(before.poll_ns, ==, 16000);
    for (int i = 0; i < 100; i++) {
        source_event(&source, 10000);
    }
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.waits, ==, before.waits);
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit + 100);
    g_assert_cmpuint(after.polls_missed, ==, before.polls_missed);
    g_assert_cmpuint(after.poll_ns, ==, 16000);
    g_assert_cmpuint(after.polling_ns - before.polling_ns, >=, 90 * 10000);
    source_cleanup(&source);
    sim_end();
}

static void test_rare_events(Loop *loop)
{
    uint32_t random = 1;
    Source source;
    AioContextStats stats;
    int64_t start;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    start = sim_now();
    for (int i = 0; i < 1000; i++) {
        source_event(&source, MAX_NS + 5000 + test_random(&random) % 100000);
    }
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.polling_ns * 20, <, (uint64_t)(sim_now() - start));
    g_assert_cmpuint(stats.polls_hit, ==, 0);
    source_cleanup(&source);
    sim_end();
}

/* After a time of frequent events, rare ones cost no more than the end of it. */
static void test_events_become_rare(Loop *loop)
{
    Source source;
    AioContextStats before, after;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    for (int i = 0; i < 10; i++) {
        source_event(&source, 30000);
    }
    aio_context_get_stats(loop->ctx, &before);
    g_assert_cmpuint(before.poll_ns, ==, 32000);
    source_event(&source, 10 * MAX_NS);
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.poll_ns, ==, 0);
    g_assert_cmpuint(after.polls_missed, ==, before.polls_missed + 1);
    for (int i = 0; i < 10; i++) {
        source_event(&source, 10 * MAX_NS);
    }
    before = after;
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.polling_ns, ==, before.polling_ns);
    source_cleanup(&source);
    sim_end();
}

static void test_notifications(Loop *loop)
{
    AioContextStats stats;
    int runs = 0;

    sim_begin(loop->ctx);
    loop_passes(loop, 2);
    for (int i = 0; i < 10; i++) {
        bh_event(loop, &runs, 5000);
    }
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 8000);
    g_assert_cmpuint(stats.polls_hit, ==, 8);
    g_assert_cmpuint(stats.waits, ==, 2);
    bh_event(loop, &runs, 2 * MAX_NS);
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 0);
    sim_end();
}

static void test_each_source_by_itself(Loop *loop)
{
    Source chatty, quiet;
    AioContextStats stats;

    sim_begin(loop->ctx);
    source_init(&chatty, loop);
    source_init(&quiet, loop);
    for (int i = 0; i < 100; i++) {
        source_event(&chatty, 3000);
        if (i % 10 == 0) {
            /* Each of these would let a time that is common to all shrink to 0. */
            source_event(&quiet, 10 * MAX_NS);
        }
    }
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, POLL_TIME_FIRST_NS);
    g_assert_cmpuint(stats.waits, ==, 11);
    source_cleanup(&chatty);
    source_cleanup(&quiet);
    sim_end();
}

static void test_silent_source(Loop *loop)
{
    Source chatty, silent;
    AioContextStats stats;
    int looks;

    sim_begin(loop->ctx);
    source_init(&chatty, loop);
    source_init(&silent, loop);
    for (int i = 0; i < 10; i++) {
        source_event(&silent, 30000);
    }
    for (int i = 0; i < POLL_TIME_MAX_AGE + 10; i++) {
        source_event(&chatty, 3000);
    }
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, POLL_TIME_FIRST_NS);
    looks = silent.looks;
    source_event(&chatty, 3000);
    g_assert_cmpint(silent.looks, ==, looks);
    /* Its descriptor is still there for it. */
    source_event(&silent, 10000);
    g_assert_cmpint(silent.looks, ==, looks);
    source_event(&chatty, 3000);
    g_assert_cmpint(silent.looks, >, looks);
    source_cleanup(&chatty);
    source_cleanup(&silent);
    sim_end();
}

/* Its time is known, so the loop polls all of it, or not at all. */
static void test_timers(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
    AioContextStats stats;
    Source source;

    sim_begin(loop->ctx);
    loop_passes(loop, 2);
    for (int i = 0; i < 10; i++) {
        timer_event(loop, timer, &fires, 10000);
    }
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 0);
    g_assert_cmpuint(stats.polls_hit, ==, 10);
    for (int i = 0; i < 10; i++) {
        timer_event(loop, timer, &fires, 2 * MAX_NS);
    }
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.polls_hit, ==, 10);
    g_assert_cmpuint(stats.polls_missed, ==, 0);

    /* Nor do they keep a source's time that has no events any more. */
    source_init(&source, loop);
    for (int i = 0; i < 10; i++) {
        source_event(&source, 10000);
    }
    for (int i = 0; i < 10; i++) {
        timer_event(loop, timer, &fires, 10000);
    }
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 0);
    source_cleanup(&source);
    timer_free(timer);
    sim_end();
}

/* ---- when it polls, and how long ---- */

static void test_ends_at_a_timer(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
    AioContextStats before, after;
    int64_t deadline;
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    for (int i = 0; i < 10; i++) {
        source_event(&source, 30000);
    }
    aio_context_get_stats(loop->ctx, &before);
    g_assert_cmpuint(before.poll_ns, ==, 32000);
    deadline = sim_now() + 5000;
    timer_mod_ns(timer, deadline);
    loop_pass(loop, true);
    g_assert_cmpint(fires, ==, 1);
    g_assert_cmpint(sim_now(), <, deadline + 20 * SIM_TICK_NS);
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.waits, ==, before.waits);
    source_cleanup(&source);
    timer_free(timer);
    sim_end();
}

static void arm_timer(void *opaque)
{
    QEMUTimer *timer = opaque;

    timer_mod_ns(timer, sim_now() + 1000);
}

static void test_ends_at_a_timer_that_is_armed_meanwhile(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
    AioContextStats before, after;
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    for (int i = 0; i < 10; i++) {
        source_event(&source, 30000);
    }
    aio_context_get_stats(loop->ctx, &before);
    sim_event_in(5000, arm_timer, timer);
    loop_pass(loop, true);
    g_assert_cmpint(fires, ==, 1);
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.waits, ==, before.waits);
    g_assert_cmpuint(after.polling_ns - before.polling_ns, <, 10000);
    source_cleanup(&source);
    timer_free(timer);
    sim_end();
}

static void test_no_polling(Loop *loop)
{
    GError *err = NULL;
    AioContextStats before, after;
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    for (int i = 0; i < 10; i++) {
        source_event(&source, 10000);
    }
    aio_context_set_poll_params(loop->ctx, 0, 0, 0, &err);
    g_assert_no_error(err);
    aio_context_get_stats(loop->ctx, &before);
    g_assert_cmpuint(before.poll_ns, ==, 0);
    int looks = source.looks;
    for (int i = 0; i < 10; i++) {
        source_event(&source, 10000);
    }
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpint(source.looks, ==, looks);
    g_assert_cmpuint(after.waits, ==, before.waits + 10);
    g_assert_cmpuint(after.polling_ns, ==, before.polling_ns);
    source_cleanup(&source);
    sim_end();
}

static void test_parameters(Loop *loop)
{
    GError *err = NULL;
    AioContextStats stats;
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    aio_context_set_poll_params(loop->ctx, 100000, 3, 2, &err);
    g_assert_no_error(err);
    for (int i = 0; i < 3; i++) {
        source_event(&source, 90000);
    }
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 3 * 3 * POLL_TIME_FIRST_NS);
    source_event(&source, 110000);
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 3 * 3 * POLL_TIME_FIRST_NS / 2);
    /* A lower maximum holds at once. */
    aio_context_set_poll_params(loop->ctx, 5000, 3, 2, &err);
    g_assert_no_error(err);
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 5000);
    uint64_t polling_ns = stats.polling_ns;
    source_event(&source, 90000);
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.polling_ns - polling_ns, <, 5000 + 20 * SIM_TICK_NS);
    source_cleanup(&source);
    sim_end();
}

static void test_not_blocking(Loop *loop)
{
    AioContextStats before, after;
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    for (int i = 0; i < 10; i++) {
        source_event(&source, 10000);
    }
    aio_context_get_stats(loop->ctx, &before);
    int looks = source.looks;
    loop_passes(loop, 10);
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpint(source.looks, ==, looks);
    g_assert_cmpuint(after.polling_ns, ==, before.polling_ns);
    g_assert_cmpuint(after.polls_missed, ==, before.polls_missed);
    source_cleanup(&source);
    sim_end();
}

static void test_work_is_there_already(Loop *loop)
{
    AioContextStats before, after;
    int runs = 0;

    sim_begin(loop->ctx);
    loop_passes(loop, 2);
    for (int i = 0; i < 10; i++) {
        bh_event(loop, &runs, 5000);
    }
    aio_context_get_stats(loop->ctx, &before);
    runs = 0;
    aio_bh_schedule_oneshot(loop->ctx, test_count, &runs);
    loop_pass(loop, true);
    g_assert_cmpint(runs, ==, 1);
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit);
    g_assert_cmpuint(after.polling_ns, ==, before.polling_ns);
    /* It did not have to be waited for: nothing is learnt. */
    g_assert_cmpuint(after.poll_ns, ==, before.poll_ns);
    sim_end();
}

static void test_handler_without_io_poll(Loop *loop)
{
    bool peeks = strcmp(aio_context_get_fdmon(loop->ctx), "io_uring") == 0;
    AioContextStats before, after;
    int fds[2], reads = 0, runs = 0;

    sim_begin(loop->ctx);
    test_pipe(fds);
    loop_passes(loop, 2);
    for (int i = 0; i < 10; i++) {
        bh_event(loop, &runs, 5000);
    }
    aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
    loop_passes(loop, 2);
    aio_context_get_stats(loop->ctx, &before);
    g_assert_cmpuint(before.poll_ns, ==, peeks ? 8000 : 0);
    bh_event(loop, &runs, 5000);
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit + (peeks ? 1 : 0));
    g_assert_cmpuint(after.waits, ==, before.waits + (peeks ? 0 : 1));

    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    loop_passes(loop, 2);
    before = after;
    bh_event(loop, &runs, 5000);
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit + 1);
    g_assert_cmpint(reads, ==, 0);
    test_close(fds);
    sim_end();
}

/* The monitor sees it in memory. */
static void test_peeking(Loop *loop)
{
    AioContextStats before, after;
    Source source, idle;

    if (strcmp(aio_context_get_fdmon(loop->ctx), "io_uring") != 0) {
        g_test_skip("this fd monitor can't be peeked at");
        return;
    }
    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_init(&idle, loop);
    source_set_io_poll(&source, NULL);
    source_set_io_poll(&idle, NULL);
    for (int i = 0; i < 4; i++) {
        source_event(&source, 10000);
    }
    aio_context_get_stats(loop->ctx, &before);
    g_assert_cmpuint(before.poll_ns, ==, 16000);
    for (int i = 0; i < 100; i++) {
        source_event(&source, 10000);
    }
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.waits, ==, before.waits);
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit + 100);
    g_assert_cmpuint(after.polling_ns - before.polling_ns, <, 100 * (10000 + 40 * SIM_TICK_NS));
    source_event(&source, 10 * MAX_NS);
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.poll_ns, ==, 0);
    source_cleanup(&source);
    source_cleanup(&idle);
    sim_end();
}

/* ---- what it must not starve ---- */

typedef struct Busy {
    QEMUTimer *timer;
    int fires;
    int fds[2];
    int reads;
} Busy;

static void fire_again_soon(void *opaque)
{
    Busy *busy = opaque;

    busy->fires++;
    timer_mod_ns(busy->timer, sim_now() + 2000);
}

static void read_of_busy(void *opaque)
{
    Busy *busy = opaque;

    test_read_byte(busy->fds[0]);
    busy->reads++;
}

static void test_a_timer_that_is_always_near_starves_nothing(Loop *loop)
{
    Busy busy = { 0 };
    AioContextStats before, after;
    Source source;
    int runs = 0;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_make_polled(&source);
    test_pipe(busy.fds);
    aio_set_fd_handler(loop->ctx, busy.fds[0], read_of_busy, NULL, NULL, NULL, &busy);
    busy.timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, fire_again_soon, &busy);
    timer_mod_ns(busy.timer, sim_now() + 2000);
    loop_passes(loop, 2);
    aio_context_get_stats(loop->ctx, &before);
    for (int i = 1; i <= 100; i++) {
        test_write_byte(busy.fds[1]);
        aio_bh_schedule_oneshot(loop->ctx, test_count, &runs);
        /* A bottom half ends the first at once, the timer or the byte the second. */
        loop_pass(loop, true);
        loop_pass(loop, true);
        g_assert_cmpint(busy.reads, ==, i);
        g_assert_cmpint(runs, ==, i);
    }
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpint(busy.fires, >=, 10);
    g_assert_cmpuint(after.polls_missed, ==, before.polls_missed);
    aio_set_fd_handler(loop->ctx, busy.fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(busy.fds);
    timer_free(busy.timer);
    source_cleanup(&source);
    sim_end();
}

static void test_notifier_makes_no_system_call(Loop *loop)
{
    int runs = 0;

    sim_begin(loop->ctx);
    loop_passes(loop, 2);
    for (int i = 0; i < 10; i++) {
        bh_event(loop, &runs, 5000);
    }
    int sets = polling_notifier_sets();
    bh_event(loop, &runs, 5000);
    g_assert_cmpint(polling_notifier_sets(), ==, sets);
    bh_event(loop, &runs, 2 * MAX_NS);
    g_assert_cmpint(polling_notifier_sets(), ==, sets + 1);
    sim_end();
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add_aio_poll("frequent-events-are-polled-for", test_frequent_events);
    loop_test_add_aio_poll("rare-events-are-not-polled-for", test_rare_events);
    loop_test_add_aio_poll("when-events-become-rare-polling-ends", test_events_become_rare);
    loop_test_add_aio_poll("notifications-are-polled-for", test_notifications);
    loop_test_add_aio_poll("each-source-learns-by-itself", test_each_source_by_itself);
    loop_test_add_aio_poll("a-silent-source-is-not-looked-at-until-it-comes-back",
                           test_silent_source);
    loop_test_add_aio_poll("a-timer-that-is-near-is-polled-for-and-nothing-learnt", test_timers);
    loop_test_add_aio_poll("a-timer-that-is-always-near-starves-nothing",
                           test_a_timer_that_is_always_near_starves_nothing);
    loop_test_add_aio_poll("polling-ends-at-a-timer", test_ends_at_a_timer);
    loop_test_add_aio_poll("polling-ends-at-a-timer-that-is-armed-meanwhile",
                           test_ends_at_a_timer_that_is_armed_meanwhile);
    loop_test_add_aio_poll("no-polling-with-a-maximum-of-0", test_no_polling);
    loop_test_add_aio_poll("parameters-take-effect-at-the-next-wait", test_parameters);
    loop_test_add_aio_poll("a-pass-that-does-not-block-does-not-poll", test_not_blocking);
    loop_test_add_aio_poll("no-polling-when-there-is-work-already", test_work_is_there_already);
    loop_test_add_aio_poll("a-handler-without-io-poll-needs-a-monitor-that-peeks",
                           test_handler_without_io_poll);
    loop_test_add_aio_poll("a-monitor-that-peeks-needs-no-io-poll", test_peeking);
    loop_test_add_aio_poll("a-notifier-makes-no-system-call-while-the-loop-polls",
                           test_notifier_makes_no_system_call);
    return g_test_run();
}
