/*
 * Adaptive polling where processors are scarce: a loop whose thread has to wait for one sleeps
 * instead. The time is simulated, and so is how long the thread waits.
 */
#include "config.h"

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
    source_init(source, loop);
    many_events(source);
}

static void end(Source *source)
{
    source_cleanup(source);
    polling_set_waiting(0);
    sim_end();
}

static void test_nothing_is_polled_for(Loop *loop)
{
    uint64_t phases;
    Source source;

    begin(loop, &source, 20);
    g_assert_cmpuint(poll_ns_of(loop), ==, 0);
    phases = phases_of(loop);
    many_events(&source);
    g_assert_cmpuint(phases_of(loop), ==, phases);
    end(&source);
}

static void test_polling_begins_again(Loop *loop)
{
    uint64_t phases;
    Source source;

    begin(loop, &source, 20);
    polling_set_waiting(0);
    many_events(&source);
    phases = phases_of(loop);
    many_events(&source);
    g_assert_cmpuint(phases_of(loop), ==, phases + EVENTS);
    g_assert_cmpuint(poll_ns_of(loop), ==, 32000);
    end(&source);
}

static void test_a_little(Loop *loop)
{
    uint64_t phases;
    Source source;

    begin(loop, &source, 9);
    phases = phases_of(loop);
    many_events(&source);
    g_assert_cmpuint(phases_of(loop), ==, phases + EVENTS);
    end(&source);
}

static void test_unknown(Loop *loop)
{
    uint64_t phases;
    Source source;

    begin(loop, &source, -1);
    phases = phases_of(loop);
    many_events(&source);
    g_assert_cmpuint(phases_of(loop), ==, phases + EVENTS);
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
    for (int i = 0; i < 4; i++) {
        source_event(&source, 30000);
    }
    phases = phases_of(loop);
    source_event(&source, 30000);
    g_assert_cmpuint(phases_of(loop), ==, phases + 1);
    end(&source);
}

static void test_timers(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
    uint64_t phases;

    sim_begin(loop->ctx);
    polling_set_waiting(20);
    loop_passes(loop, 2);
    for (int i = 0; i < EVENTS; i++) {
        timer_event(loop, timer, &fires, 30000);
    }
    phases = phases_of(loop);
    g_assert_cmpuint(phases, >, 0);
    for (int i = 0; i < EVENTS; i++) {
        timer_event(loop, timer, &fires, 30000);
    }
    g_assert_cmpuint(phases_of(loop), ==, phases);
    timer_free(timer);
    polling_set_waiting(0);
    sim_end();
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add_aio_poll("while-processors-are-scarce-nothing-is-polled-for",
                           test_nothing_is_polled_for);
    loop_test_add_aio_poll("when-they-are-not-any-more-polling-begins-again",
                           test_polling_begins_again);
    loop_test_add_aio_poll("to-wait-a-little-changes-nothing", test_a_little);
    loop_test_add_aio_poll("a-system-that-does-not-tell-changes-nothing", test_unknown);
    loop_test_add_aio_poll("what-was-before-a-long-sleep-says-nothing", test_after_a_long_sleep);
    loop_test_add_aio_poll("timers-are-not-polled-for-either", test_timers);
    return g_test_run();
}
