/*
 * Adaptive polling where it takes long to wake a thread, as on virtual processors: the loop sees an
 * event much later than it came, and has to tell it from one that came late.
 */
#include "config.h"

#include "tests/unit/polling-fixture.h"

#define MAX_NS  AIO_POLL_MAX_NS_DEFAULT
#define WAKE_NS 35000

static void test_notifications(Loop *loop)
{
    AioContextStats before, after;
    int runs = 0;

    sim_begin(loop->ctx);
    sim_set_wake_ns(WAKE_NS);
    loop_passes(loop, 2);
    for (int i = 0; i < 10; i++) {
        bh_event(loop, &runs, 20000);
    }
    aio_context_get_stats(loop->ctx, &before);
    g_assert_cmpuint(before.poll_ns, ==, 32000);
    for (int i = 0; i < 100; i++) {
        bh_event(loop, &runs, 20000);
    }
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit + 100);
    g_assert_cmpuint(after.waits, ==, before.waits);
    sim_end();
}

/* What a descriptor brings does not say when it came. */
static void test_descriptors(Loop *loop)
{
    AioContextStats before, after;
    Source source;
    int runs = 0;

    sim_begin(loop->ctx);
    sim_set_wake_ns(WAKE_NS);
    source_init(&source, loop);
    loop_passes(loop, 2);
    bh_event(loop, &runs, 20000);
    bh_event(loop, &runs, 20000);
    for (int i = 0; i < 10; i++) {
        source_event(&source, 20000);
    }
    aio_context_get_stats(loop->ctx, &before);
    for (int i = 0; i < 100; i++) {
        source_event(&source, 20000);
    }
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit + 100);
    source_cleanup(&source);
    sim_end();
}

static void test_rare_events(Loop *loop)
{
    AioContextStats before, after;
    uint32_t random = 1;
    Source source;
    int runs = 0;
    int64_t start;

    sim_begin(loop->ctx);
    sim_set_wake_ns(WAKE_NS);
    source_init(&source, loop);
    loop_passes(loop, 2);
    for (int i = 0; i < 10; i++) {
        bh_event(loop, &runs, 20000);
    }
    aio_context_get_stats(loop->ctx, &before);
    start = sim_now();
    /* All are late, and most of them by so little that they may have come in time. */
    for (int i = 0; i < 1000; i++) {
        source_event(&source, MAX_NS + 2000 + test_random(&random) % 40000);
    }
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint((after.polling_ns - before.polling_ns) * 20, <, (uint64_t)(sim_now() - start));
    g_assert_cmpuint(after.polls_hit, ==, before.polls_hit);
    g_assert_cmpuint(after.polls_missed, >, before.polls_missed);
    source_cleanup(&source);
    sim_end();
}

static void test_events_become_rare(Loop *loop)
{
    AioContextStats stats;
    Source source;
    int runs = 0;

    sim_begin(loop->ctx);
    sim_set_wake_ns(WAKE_NS);
    source_init(&source, loop);
    loop_passes(loop, 2);
    bh_event(loop, &runs, 20000);
    bh_event(loop, &runs, 20000);
    for (int i = 0; i < 10; i++) {
        source_event(&source, 20000);
    }
    source_event(&source, 10 * MAX_NS);
    bh_event(loop, &runs, 10 * MAX_NS);
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 0);
    source_cleanup(&source);
    sim_end();
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add_aio_poll("notifications-that-come-in-time-are-polled-for", test_notifications);
    loop_test_add_aio_poll("descriptors-that-are-ready-in-time-are-polled-for", test_descriptors);
    loop_test_add_aio_poll("rare-events-are-not-polled-for", test_rare_events);
    loop_test_add_aio_poll("when-events-become-rare-polling-ends", test_events_become_rare);
    return g_test_run();
}
