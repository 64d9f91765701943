/*
 * Adaptive polling where processors are scarce: a loop whose thread has to wait for one sleeps
 * instead. The time is simulated, and so is how long the thread waits.
 */
#include "config.h"

#include "loop/run-delay.h"
#include "tests/unit/polling-fixture.h"

/* As many events, of 30 us each, take three of the periods in which the loop looks how long it has
 * waited: one until it looks, one until it can compare, and one more. */
#define EVENTS 5000

static uint64_t phases_of(Loop *loop)
{
    AioContextStats stats;

    aio_context_get_stats(loop->ctx, &stats);
    return stats.polls_hit + stats.polls_missed;
}

static uint64_t poll_ns_of(Loop *loop)
{
    AioContextStats stats;

    aio_context_get_stats(loop->ctx, &stats);
    return stats.poll_ns;
}

static void many_events(Source *source)
{
    for (int i = 0; i < EVENTS; i++) {
        source_event(source, 30000);
    }
}

static void begin(Loop *loop, Source *source, int percent)
{
    sim_begin(loop->ctx);
    polling_set_waiting(percent);
    aio_watch_run_delay(loop->ctx);
    source_init(source, loop);
    many_events(source);
}

static void end(Source *source)
{
    AioContext *ctx = source->loop->ctx;

    source_cleanup(source);
    aio_unwatch_run_delay(ctx);
    polling_set_waiting(0);
    sim_end();
}

/* Assert that each of many events is polled for, or that none is. */
static void assert_polled_for(Source *source, bool polled_for)
{
    uint64_t phases = phases_of(source->loop);

    many_events(source);
    g_assert_cmpuint(phases_of(source->loop) - phases, ==, polled_for ? EVENTS : 0);
    g_assert_cmpuint(poll_ns_of(source->loop), ==, polled_for ? 32000 : 0);
}

/* From the tenth part of the time on. */
static void test_how_much_is_too_much(Loop *loop)
{
    Source source;

    begin(loop, &source, 11);
    assert_polled_for(&source, false);
    end(&source);
    begin(loop, &source, 9);
    assert_polled_for(&source, true);
    end(&source);
}

/* Less than the twentieth part: by sleeping a thread waits less already. */
static void test_polling_begins_again(Loop *loop)
{
    Source source;

    begin(loop, &source, 20);
    polling_set_waiting(6);
    many_events(&source);
    assert_polled_for(&source, false);
    polling_set_waiting(4);
    many_events(&source);
    assert_polled_for(&source, true);
    end(&source);
}

static void test_unknown(Loop *loop)
{
    Source source;

    begin(loop, &source, -1);
    assert_polled_for(&source, true);
    /* Nor any more. */
    polling_set_waiting(20);
    many_events(&source);
    assert_polled_for(&source, false);
    polling_set_waiting(-1);
    many_events(&source);
    assert_polled_for(&source, true);
    end(&source);
}

static void test_not_watched(Loop *loop)
{
    Source source;

    polling_set_without_fd(true);
    begin(loop, &source, 20);
    assert_polled_for(&source, true);
    end(&source);
    polling_set_without_fd(false);

    begin(loop, &source, 20);
    aio_unwatch_run_delay(loop->ctx);
    many_events(&source);
    assert_polled_for(&source, true);
    end(&source);
}

/* What was waited before the loop slept says nothing of now. */
static void test_after_a_long_sleep(Loop *loop)
{
    uint64_t phases;
    Source source;

    begin(loop, &source, 20);
    polling_set_waiting(0);
    source_event(&source, 3600 * INT64_C(1000000000));
    phases = phases_of(loop);
    source_event(&source, 30000);
    g_assert_cmpuint(phases_of(loop), ==, phases + 1);
    end(&source);
}

/* How late events come to a loop that sleeps tells nothing of what polling would find. */
static void test_nothing_is_learnt(Loop *loop)
{
    AioContextStats before, after;
    Source source;

    begin(loop, &source, 20);
    for (int i = 0; i < 100; i++) {
        source_event(&source, 200000);
    }
    polling_set_waiting(0);
    source_event(&source, 1000000000);
    aio_context_get_stats(loop->ctx, &before);
    source_event(&source, 30000);
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit + 1);
    g_assert_cmpuint(after.poll_ns, ==, 32000);
    end(&source);
}

/* It includes the wait for a processor. */
static void test_no_wake_is_learnt(Loop *loop)
{
    int runs = 0;
    Source source;

    begin(loop, &source, 20);
    sim_set_wake_ns(90000);
    for (int i = 0; i < 20; i++) {
        bh_event(loop, &runs, 30000);
    }
    sim_set_wake_ns(0);
    polling_set_waiting(0);
    source_event(&source, 1000000000);
    /* Too late for polling, and no wake-up that is known explains it. */
    source_event(&source, AIO_POLL_MAX_NS_DEFAULT + 50000);
    g_assert_cmpuint(poll_ns_of(loop), ==, 0);
    end(&source);
}

static void test_timers(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
    Source source;
    uint64_t phases;

    begin(loop, &source, 20);
    phases = phases_of(loop);
    for (int i = 0; i < EVENTS; i++) {
        timer_event(loop, timer, &fires, 30000);
    }
    g_assert_cmpuint(phases_of(loop), ==, phases);
    polling_set_waiting(0);
    source_event(&source, 1000000000);
    timer_event(loop, timer, &fires, 30000);
    g_assert_cmpuint(phases_of(loop), ==, phases + 1);
    timer_free(timer);
    end(&source);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add_aio_poll("who-waits-for-a-processor-does-not-poll", test_how_much_is_too_much);
    loop_test_add_aio_poll("who-does-not-any-more-polls-again", test_polling_begins_again);
    loop_test_add_aio_poll("a-system-that-does-not-tell-changes-nothing", test_unknown);
    loop_test_add_aio_poll("a-loop-that-is-not-watched-polls", test_not_watched);
    loop_test_add_aio_poll("what-was-before-a-long-sleep-says-nothing", test_after_a_long_sleep);
    loop_test_add_aio_poll("nothing-is-learnt-meanwhile", test_nothing_is_learnt);
    loop_test_add_aio_poll("nor-is-what-it-takes-to-wake-the-loop", test_no_wake_is_learnt);
    loop_test_add_aio_poll("timers-are-not-polled-for-either", test_timers);
    return g_test_run();
}
