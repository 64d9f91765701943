/*
 * Adaptive polling: the callbacks of handlers that take part.
 */
#include "config.h"

#include "loop/aio-trace.h"
#include "tests/unit/polling-fixture.h"

#define MAX_NS AIO_POLL_MAX_NS_DEFAULT

/* ---- which callback is called ---- */

static void find_source(const AioSourceInfo *info, void *opaque)
{
    AioSourceInfo *found = opaque;

    if (info->kind == AIO_SOURCE_FD && info->fd == found->fd) {
        *found = *info;
    }
}

static void test_poll_ready(Loop *loop)
{
    AioSourceInfo info = { 0 };
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_make_polled(&source);
    int reads = source.reads, poll_readys = source.poll_readys;
    source_event(&source, 10000);
    g_assert_cmpint(source.poll_readys, ==, poll_readys + 1);
    source_event(&source, 2 * MAX_NS);
    g_assert_cmpint(source.reads, ==, reads + 1);
    info.fd = source.fds[0];
    aio_context_foreach_source(loop->ctx, find_source, &info);
    g_assert_cmpuint(info.calls, ==, source.reads + source.poll_readys);
    source_cleanup(&source);
    sim_end();
}

static void test_without_poll_ready(Loop *loop)
{
    AioContextStats stats;
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    aio_set_fd_handler(loop->ctx, source.fds[0], source_read, NULL, source_poll, NULL, &source);
    loop_passes(loop, 2);
    source_make_polled(&source);
    source_event(&source, 10000);
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.polls_hit, >, 0);
    g_assert_cmpint(source.poll_readys, ==, 0);
    source_cleanup(&source);
    sim_end();
}

static void test_polling_in_a_trace(Loop *loop)
{
    g_autoptr(AioTrace) trace = aio_trace_new(1000);
    g_autofree AioTraceRecord *records = NULL;
    Source source;
    size_t n, phases = 0;
    uint64_t n_lost;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_make_polled(&source);
    aio_context_set_trace(loop->ctx, trace);
    source_event(&source, 10000);
    loop_passes(loop, 1);
    records = aio_trace_copy(trace, &n, &n_lost);
    for (size_t i = 0; i < n; i++) {
        if (records[i].kind == AIO_TRACE_POLL) {
            g_assert_cmpint(records[i].duration_ns, >=, 10000);
            phases++;
        }
    }
    g_assert_cmpuint(phases, ==, 1);
    source_cleanup(&source);
    sim_end();
}

static bool poll_in_state(void *opaque)
{
    Source *source = opaque;
    AioActivity activity;

    aio_context_get_activity(source->loop->ctx, &activity);
    g_assert_cmpint(activity.state, ==, AIO_STATE_POLLING);
    g_assert_null(activity.source);
    return source_poll(source);
}

static void test_state(Loop *loop)
{
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_set_io_poll(&source, poll_in_state);
    source_make_polled(&source);
    g_assert_cmpint(source.looks, >, 0);
    source_cleanup(&source);
    sim_end();
}

static void test_idle_handlers(Loop *loop)
{
    Source idle[50], source;

    sim_begin(loop->ctx);
    for (int i = 0; i < 50; i++) {
        source_init(&idle[i], loop);
    }
    source_init(&source, loop);
    source_make_polled(&source);
    g_assert_cmpint(source.looks, >, 0);
    for (int i = 0; i < 50; i++) {
        g_assert_cmpint(idle[i].looks, ==, 0);
        source_cleanup(&idle[i]);
    }
    source_cleanup(&source);
    sim_end();
}

/* ---- io_poll_begin and io_poll_end ---- */

static void test_begin_and_end(Loop *loop)
{
    AioContextStats stats;
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    aio_set_fd_poll(loop->ctx, source.fds[0], source_poll_begin, source_poll_end);
    source_make_polled(&source);
    aio_context_get_stats(loop->ctx, &stats);
    /* In the first wait there was no polling; in the others it took part. */
    g_assert_cmpint(source.begins, ==, 3);
    g_assert_cmpint(source.ends, ==, 3);
    g_assert_cmpuint(stats.polls_hit + stats.polls_missed, ==, 3);

    aio_set_fd_poll(loop->ctx, source.fds[0], NULL, NULL);
    source_event(&source, 10000);
    g_assert_cmpint(source.begins, ==, 3);
    source_cleanup(&source);
    sim_end();
}

static void end_with_work(void *opaque)
{
    Source *source = opaque;

    source_poll_end(source);
    if (!source->has_work) {
        source_fire(source);
    }
}

static void test_work_at_the_end(Loop *loop)
{
    AioContextStats before, after;
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_make_polled(&source);
    aio_set_fd_poll(loop->ctx, source.fds[0], source_poll_begin, end_with_work);
    aio_context_get_stats(loop->ctx, &before);
    int poll_readys = source.poll_readys;
    loop_pass(loop, true);
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpint(source.poll_readys, ==, poll_readys + 1);
    g_assert_cmpuint(after.waits, ==, before.waits);
    source_cleanup(&source);
    sim_end();
}

/* ---- event notifiers ---- */

typedef struct Notified {
    EventNotifier notifier;
    bool has_work;
    int reads, poll_readys, begins, ends;
} Notified;

static Notified *notified_of(EventNotifier *notifier)
{
    return (Notified *)((char *)notifier - offsetof(Notified, notifier));
}

static void notifier_read(EventNotifier *notifier)
{
    notified_of(notifier)->reads++;
    event_notifier_test_and_clear(notifier);
    notified_of(notifier)->has_work = false;
}

static bool notifier_poll(void *opaque)
{
    return notified_of(opaque)->has_work;
}

static void notifier_poll_ready(EventNotifier *notifier)
{
    notified_of(notifier)->poll_readys++;
    event_notifier_test_and_clear(notifier);
    notified_of(notifier)->has_work = false;
}

static void notifier_begin(EventNotifier *notifier)
{
    notified_of(notifier)->begins++;
}

static void notifier_end(EventNotifier *notifier)
{
    notified_of(notifier)->ends++;
}

static void notifier_fire(void *opaque)
{
    Notified *notified = opaque;

    notified->has_work = true;
    event_notifier_set(&notified->notifier);
}

static void test_event_notifier(Loop *loop)
{
    GError *err = NULL;
    Notified notified = { 0 };

    sim_begin(loop->ctx);
    event_notifier_init(&notified.notifier, false, &err);
    g_assert_no_error(err);
    aio_set_event_notifier(loop->ctx, &notified.notifier, notifier_read, notifier_poll,
                           notifier_poll_ready);
    aio_set_event_notifier_poll(loop->ctx, &notified.notifier, notifier_begin, notifier_end);
    loop_passes(loop, 2);
    for (int i = 0; i < 5; i++) {
        sim_event_in(3000, notifier_fire, &notified);
        g_assert_true(loop_pass(loop, true));
    }
    g_assert_cmpint(notified.reads, ==, 1);
    g_assert_cmpint(notified.poll_readys, ==, 4);
    g_assert_cmpint(notified.begins, ==, 4);
    g_assert_cmpint(notified.ends, ==, 4);
    aio_set_event_notifier(loop->ctx, &notified.notifier, NULL, NULL, NULL);
    event_notifier_cleanup(&notified.notifier);
    sim_end();
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add_aio_poll("what-polling-finds-goes-to-io-poll-ready", test_poll_ready);
    loop_test_add_aio_poll("or-to-io-read", test_without_poll_ready);
    loop_test_add_aio_poll("the-loop-says-that-it-polls", test_state);
    loop_test_add_aio_poll("in-a-trace", test_polling_in_a_trace);
    loop_test_add_aio_poll("handlers-without-events-are-not-looked-at", test_idle_handlers);
    loop_test_add_aio_poll("io-poll-begin-and-end-enclose-a-phase", test_begin_and_end);
    loop_test_add_aio_poll("work-that-comes-before-io-poll-end-is-found", test_work_at_the_end);
    loop_test_add_aio_poll("event-notifiers-too", test_event_notifier);
    return g_test_run();
}
