/*
 * Adaptive polling: handlers that are changed while they take part, and nested passes.
 */
#include "config.h"

#include "tests/unit/polling-fixture.h"

#define MAX_NS AIO_POLL_MAX_NS_DEFAULT

/* ---- changes ---- */

static bool poll_and_remove(void *opaque)
{
    Source *source = opaque;

    source->looks++;
    aio_set_fd_handler(source->loop->ctx, source->fds[0], NULL, NULL, NULL, NULL, NULL);
    return true;
}

static void test_removed_in_io_poll(Loop *loop)
{
    Source source, other;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_init(&other, loop);
    source_make_polled(&source);
    source_set_io_poll(&source, poll_and_remove);
    aio_set_fd_poll(loop->ctx, source.fds[0], source_poll_begin, source_poll_end);
    int calls = source.reads + source.poll_readys;
    int looks = source.looks;
    source_event_in_passes(&other, 10000);
    g_assert_cmpint(source.looks, ==, looks + 1);
    g_assert_cmpint(source.begins, ==, 1);
    g_assert_cmpint(source.ends, ==, 0);
    loop_passes(loop, 2);
    g_assert_cmpint(source.reads + source.poll_readys, ==, calls);
    source_cleanup(&other);
    test_close(source.fds);
    sim_end();
}

static void begin_and_remove(void *opaque)
{
    Source *source = opaque;

    source->begins++;
    aio_set_fd_handler(source->loop->ctx, source->fds[0], NULL, NULL, NULL, NULL, NULL);
}

static void test_removed_in_begin(Loop *loop)
{
    Source source, other;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_init(&other, loop);
    source_make_polled(&source);
    aio_set_fd_poll(loop->ctx, source.fds[0], begin_and_remove, source_poll_end);
    int looks = source.looks;
    source_event_in_passes(&other, 10000);
    g_assert_cmpint(source.looks, ==, looks);
    g_assert_cmpint(source.begins, ==, 1);
    g_assert_cmpint(source.ends, ==, 0);
    source_cleanup(&other);
    test_close(source.fds);
    sim_end();
}

static void test_removed(Loop *loop)
{
    AioContextStats stats;
    Source source, other;
    int runs = 0;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_init(&other, loop);
    source_make_polled(&source);
    source_cleanup(&source);
    int looks = source.looks;
    loop_passes(loop, 2);
    bh_event(loop, &runs, 2 * MAX_NS);
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.poll_ns, ==, 0);
    g_assert_cmpint(source.looks, ==, looks);
    source_cleanup(&other);
    sim_end();
}

static void test_replaced(Loop *loop)
{
    AioContextStats before, after;
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_make_polled(&source);
    aio_context_get_stats(loop->ctx, &before);
    for (int i = 0; i < 10; i++) {
        source_set_handler(&source);
        loop_passes(loop, 2);
        aio_context_get_stats(loop->ctx, &after);
        g_assert_cmpuint(after.poll_ns, ==, before.poll_ns);
        source_event(&source, 10000);
    }
    aio_context_get_stats(loop->ctx, &after);
    g_assert_cmpuint(after.waits, ==, before.waits);
    source_cleanup(&source);
    sim_end();
}

static bool poll_and_replace(void *opaque)
{
    Source *source = opaque;

    source->looks++;
    source_set_handler(source);
    return source->has_work;
}

static void test_replaced_in_io_poll(Loop *loop)
{
    Source source;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_make_polled(&source);
    source_set_io_poll(&source, poll_and_replace);
    aio_set_fd_poll(loop->ctx, source.fds[0], source_poll_begin, source_poll_end);
    source_event_in_passes(&source, 10000);
    source_event_in_passes(&source, 10000);
    g_assert_cmpint(source.begins, >, 0);
    /* The one in its place gets the end. */
    g_assert_cmpint(source.ends, ==, source.begins);
    source_cleanup(&source);
    sim_end();
}

/* ---- nested passes ---- */

static void ready_and_wait(void *opaque)
{
    Source *source = opaque;
    int runs = 0;

    source_poll_ready(source);
    aio_bh_schedule_oneshot(source->loop->ctx, test_count, &runs);
    while (runs == 0) {
        aio_poll(source->loop->ctx, true);
    }
    /* This one waits, and polls. */
    bh_event(source->loop, &runs, 3000);
}

static void test_nested_in_poll_ready(Loop *loop)
{
    Source source, other;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_init(&other, loop);
    source_make_polled(&other);
    source_make_polled(&source);
    aio_set_fd_handler(loop->ctx, source.fds[0], source_read, NULL, source_poll, ready_and_wait,
                       &source);
    loop_passes(loop, 2);
    for (int i = 0; i < 5; i++) {
        source_event(&source, 3000);
        source_event(&other, 3000);
    }
    source_cleanup(&source);
    source_cleanup(&other);
    sim_end();
}

static bool poll_nested(void *opaque)
{
    Source *source = opaque;

    aio_poll(source->loop->ctx, false);
    source_set_handler(source); /* the present node must stay nevertheless */
    aio_poll(source->loop->ctx, false);
    return source_poll(source);
}

static void test_nested_in_io_poll(Loop *loop)
{
    Source source, other;

    sim_begin(loop->ctx);
    source_init(&source, loop);
    source_init(&other, loop);
    source_make_polled(&source);
    source_make_polled(&other);
    source_set_io_poll(&source, poll_nested);
    source_event_in_passes(&other, 3000);
    source_event_in_passes(&other, 3000);
    source_cleanup(&source);
    source_cleanup(&other);
    sim_end();
}

/* ---- from other threads, at the real time ---- */

#define N_CHANGED 8

typedef struct Changed {
    AioContext *ctx;
    EventNotifier notifiers[N_CHANGED];
    atomic_int polls;
    atomic_int ends;
} Changed;

static Changed *changed; /* the test's that runs */

static bool changed_poll(void *opaque)
{
    atomic_fetch_add(&changed->polls, 1);
    return false;
}

static void changed_read(EventNotifier *notifier)
{
    event_notifier_test_and_clear(notifier);
}

static void changed_begin(EventNotifier *notifier)
{
}

static void changed_end(EventNotifier *notifier)
{
    atomic_fetch_add(&changed->ends, 1);
}

static void *change_thread(void *opaque)
{
    int rounds = test_scaled(20000);
    uint32_t random = (uint32_t)GPOINTER_TO_UINT(opaque);

    for (int i = 0; i < rounds; i++) {
        EventNotifier *notifier = &changed->notifiers[test_random(&random) % N_CHANGED];

        switch (test_random(&random) % 4) {
        case 0:
            aio_set_event_notifier(changed->ctx, notifier, NULL, NULL, NULL);
            break;
        case 1:
            aio_set_event_notifier(changed->ctx, notifier, changed_read, changed_poll, NULL);
            break;
        case 2:
            aio_set_event_notifier(changed->ctx, notifier, changed_read, changed_poll,
                                   changed_read);
            aio_set_event_notifier_poll(changed->ctx, notifier, changed_begin, changed_end);
            break;
        default:
            event_notifier_set(notifier);
            break;
        }
    }
    return NULL;
}

static void nothing(void *opaque)
{
}

static void test_changed_by_threads(Loop *loop)
{
    GError *err = NULL;
    Changed self = { .ctx = loop->ctx };
    pthread_t threads[2];

    changed = &self;
    for (int i = 0; i < N_CHANGED; i++) {
        event_notifier_init(&self.notifiers[i], false, &err);
        g_assert_no_error(err);
    }
    /* Late enough for every wait to be polled for. */
    aio_context_set_poll_params(loop->ctx, 10 * SCALE_MS, 0, 1, &err);
    g_assert_no_error(err);
    loop_start(loop);
    for (guint i = 0; i < 2; i++) {
        threads[i] = test_thread_start(change_thread, GUINT_TO_POINTER(i + 1));
    }
    for (int i = 0; i < 1000; i++) {
        aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    }
    for (int i = 0; i < 2; i++) {
        test_thread_join(threads[i]);
    }
    for (int i = 0; i < N_CHANGED; i++) {
        aio_set_event_notifier(loop->ctx, &self.notifiers[i], NULL, NULL, NULL);
    }
    aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    int polls = atomic_load(&self.polls);
    aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    g_assert_cmpint(atomic_load(&self.polls), ==, polls);
    loop_stop(loop);
    for (int i = 0; i < N_CHANGED; i++) {
        event_notifier_cleanup(&self.notifiers[i]);
    }
}

static void *parameters_thread(void *opaque)
{
    Loop *loop = opaque;
    int rounds = test_scaled(5000);

    for (int i = 0; i < rounds; i++) {
        GError *err = NULL;

        aio_context_set_poll_params(loop->ctx, i % 3 * 10000, i % 4, i % 5, &err);
        g_assert_no_error(err);
        aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    }
    return NULL;
}

static void test_parameters_set_by_threads(Loop *loop)
{
    pthread_t threads[2];

    loop_start(loop);
    for (int i = 0; i < 2; i++) {
        threads[i] = test_thread_start(parameters_thread, loop);
    }
    for (int i = 0; i < 2; i++) {
        test_thread_join(threads[i]);
    }
    loop_assert_asleep(loop);
    loop_stop(loop);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add_aio_poll("removed-in-its-io-poll", test_removed_in_io_poll);
    loop_test_add_aio_poll("removed-in-its-io-poll-begin", test_removed_in_begin);
    loop_test_add_aio_poll("removed-handlers-are-not-polled-for", test_removed);
    loop_test_add_aio_poll("what-replaces-a-handler-has-learnt-its-time", test_replaced);
    loop_test_add_aio_poll("replaced-in-its-io-poll", test_replaced_in_io_poll);
    loop_test_add_aio_poll("nested-pass-in-io-poll-ready", test_nested_in_poll_ready);
    loop_test_add_aio_poll("nested-pass-in-io-poll", test_nested_in_io_poll);
    loop_test_add_aio_poll("handlers-changed-by-other-threads", test_changed_by_threads);
    loop_test_add_aio_poll("parameters-set-by-other-threads", test_parameters_set_by_threads);
    return g_test_run();
}
