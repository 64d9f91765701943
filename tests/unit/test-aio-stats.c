/*
 * Watching a loop from another thread: its activity, its counters and its sources.
 */
#include "config.h"

#include <semaphore.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

#define HOUR_NS (3600 * INT64_C(1000000000))

/* A callback that says it is running, and goes on only when it is told to. */
typedef struct Blocked {
    sem_t inside;
    sem_t go_on;
} Blocked;

static void blocked_init(Blocked *blocked)
{
    sem_init(&blocked->inside, 0, 0);
    sem_init(&blocked->go_on, 0, 0);
}

static void blocked_cleanup(Blocked *blocked)
{
    sem_destroy(&blocked->inside);
    sem_destroy(&blocked->go_on);
}

static void block_here(void *opaque)
{
    Blocked *blocked = opaque;

    sem_post(&blocked->inside);
    sem_wait(&blocked->go_on);
}

static void nothing(void *opaque)
{
}

/* While @blocked is inside, the loop is seen stuck in the callback called @name. */
static void assert_stuck_in(Loop *loop, Blocked *blocked, const char *name, int64_t not_before)
{
    AioActivity first, second;

    sem_wait(&blocked->inside);
    aio_context_get_activity(loop->ctx, &first);
    g_assert_cmpint(first.state, ==, AIO_STATE_CALLBACK);
    g_assert_cmpstr(first.source, ==, name);
    g_assert_cmpint(first.since_ns, >=, not_before);
    g_assert_cmpint(first.since_ns, <=, qemu_clock_get_ns(QEMU_CLOCK_REALTIME));
    /* It is the same call all along. */
    aio_context_get_activity(loop->ctx, &second);
    g_assert_cmpint(second.since_ns, ==, first.since_ns);
    sem_post(&blocked->go_on);
    loop_wait_until_idle(loop);
}

static void drain_and_block(void *opaque)
{
    /* The descriptor is removed by the test; being called once is enough. */
    block_here(opaque);
}

static void test_stuck_callback(Loop *loop)
{
    Blocked blocked;
    int fds[2];
    QEMUTimer *timer =
        aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, block_here, &blocked);
    QEMUBH *bh = aio_bh_new(loop->ctx, block_here, &blocked);

    blocked_init(&blocked);
    loop_start(loop);
    loop_wait_until_idle(loop);
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);

    aio_bh_schedule_oneshot(loop->ctx, block_here, &blocked);
    assert_stuck_in(loop, &blocked, "block_here", start);
    qemu_bh_schedule(bh);
    assert_stuck_in(loop, &blocked, "block_here", start);
    timer_mod(timer, 0);
    assert_stuck_in(loop, &blocked, "block_here", start);

    test_pipe(fds);
    aio_set_fd_handler(loop->ctx, fds[1], NULL, drain_and_block, NULL, NULL, &blocked);
    sem_wait(&blocked.inside);
    AioActivity activity;
    aio_context_get_activity(loop->ctx, &activity);
    g_assert_cmpint(activity.state, ==, AIO_STATE_CALLBACK);
    g_assert_cmpstr(activity.source, ==, "drain_and_block");
    aio_set_fd_handler(loop->ctx, fds[1], NULL, NULL, NULL, NULL, NULL);
    sem_post(&blocked.go_on);
    loop_wait_until_idle(loop);

    loop_stop(loop);
    test_close(fds);
    timer_free(timer);
    qemu_bh_delete(bh);
    blocked_cleanup(&blocked);
}

static void poll_inside(void *opaque)
{
    AioContext *ctx = opaque;
    AioActivity activity;

    aio_poll(ctx, false);
    aio_context_get_activity(ctx, &activity);
    g_assert_cmpint(activity.state, ==, AIO_STATE_CALLBACK);
    g_assert_cmpstr(activity.source, ==, "poll_inside");
}

static void test_back_in_the_callback_after_a_nested_pass(Loop *loop)
{
    int runs = 0;

    aio_bh_schedule_oneshot(loop->ctx, poll_inside, loop->ctx);
    aio_bh_schedule_oneshot(loop->ctx, test_count, &runs);
    while (runs == 0) {
        loop_pass(loop, true);
    }
}

static void test_life_of_the_activity(Loop *loop)
{
    AioActivity activity;

    aio_context_get_activity(loop->ctx, &activity);
    g_assert_cmpint(activity.state, ==, AIO_STATE_UNUSED);
    g_assert_null(activity.source);
    loop_start(loop);
    loop_wait_until_idle(loop);
    int64_t before = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    aio_context_get_activity(loop->ctx, &activity);
    g_assert_null(activity.source);
    g_assert_cmpint(activity.since_ns, <=, before);
    loop_stop(loop);
}

/* ---- counters ---- */

static void test_counters(Loop *loop)
{
    AioContextStats stats;
    int fds[2], reads = 0, fires = 0, runs = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
    QEMUBH *bh = aio_bh_new(loop->ctx, test_count, &runs);

    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.passes, ==, 0);
    g_assert_cmpuint(stats.fd_callbacks + stats.bh_callbacks + stats.timer_callbacks, ==, 0);
    g_assert_cmpuint(stats.busy_ns + stats.polling_ns + stats.blocked_ns, ==, 0);

    test_pipe(fds);
    test_write_byte(fds[1]);
    aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
    while (reads < 7 || fires < 5 || runs < 12) {
        timer_mod(timer, 0);
        qemu_bh_schedule(bh);
        aio_bh_schedule_oneshot(loop->ctx, test_count, &runs);
        loop_pass(loop, true);
    }
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.fd_callbacks, ==, reads);
    g_assert_cmpuint(stats.bh_callbacks, ==, runs);
    g_assert_cmpuint(stats.timer_callbacks, ==, fires);
    g_assert_cmpuint(stats.passes, >=, 7);
    g_assert_cmpuint(stats.waits, <=, stats.passes);
    g_assert_cmpuint(stats.busy_ns, >, 0);
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
    timer_free(timer);
    qemu_bh_delete(bh);
}

static void test_times_add_up(Loop *loop)
{
    AioContextStats stats;
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);

    loop_start(loop);
    for (int i = 0; i < 50; i++) {
        loop_wait_until_idle(loop);
        aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    }
    loop_stop(loop);
    aio_context_get_stats(loop->ctx, &stats);
    int64_t passed = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) - start;
    g_assert_cmpuint(stats.blocked_ns, >, 0);
    g_assert_cmpuint(stats.busy_ns, >, 0);
    g_assert_cmpuint(stats.busy_ns + stats.polling_ns + stats.blocked_ns, <=, passed);
    g_assert_cmpuint(stats.waits, >, 0);
}

/* ---- sources ---- */

typedef struct Wanted {
    AioSourceKind kind;
    const char *name;
    int count;
    AioSourceInfo info;
} Wanted;

static void find_source(const AioSourceInfo *info, void *opaque)
{
    Wanted *wanted = opaque;

    if (info->kind == wanted->kind && (!wanted->name || g_str_equal(info->name, wanted->name))) {
        wanted->count++;
        wanted->info = *info;
    }
}

/* The one source of this kind and name; none when @count is 0. */
static AioSourceInfo only_source(Loop *loop, AioSourceKind kind, const char *name, int count)
{
    Wanted wanted = { .kind = kind, .name = name };

    aio_context_foreach_source(loop->ctx, find_source, &wanted);
    g_assert_cmpint(wanted.count, ==, count);
    return wanted.info;
}

static void test_new_context_has_none(Loop *loop)
{
    only_source(loop, AIO_SOURCE_FD, NULL, 0);
    only_source(loop, AIO_SOURCE_BH, NULL, 0);
    only_source(loop, AIO_SOURCE_TIMER, NULL, 0);
    loop_passes(loop, 2);
    only_source(loop, AIO_SOURCE_FD, NULL, 0);
}

static void test_descriptors_listed(Loop *loop)
{
    int fds[2], calls = 0;

    test_socketpair(fds);
    test_write_byte(fds[1]);
    aio_set_fd_handler(loop->ctx, fds[0], test_count, nothing, NULL, NULL, &calls);
    g_assert_cmpint(only_source(loop, AIO_SOURCE_FD, "test_count", 1).fd, ==, fds[0]);
    aio_set_fd_handler(loop->ctx, fds[0], NULL, test_count, NULL, NULL, &calls);
    g_assert_cmpint(only_source(loop, AIO_SOURCE_FD, "test_count", 1).fd, ==, fds[0]);
    aio_set_fd_handler_full(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &calls, "a-name",
                            NULL);
    while (calls < 5) {
        loop_pass(loop, true);
    }
    AioSourceInfo info = only_source(loop, AIO_SOURCE_FD, "a-name", 1);
    g_assert_cmpint(info.fd, ==, fds[0]);
    g_assert_cmpint(info.deadline_ns, ==, -1);
    g_assert_cmpuint(info.calls, ==, calls);
    g_assert_cmpuint(info.max_ns, <=, info.total_ns);
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    only_source(loop, AIO_SOURCE_FD, NULL, 0);
    test_close(fds);
}

static void notifier_read(EventNotifier *notifier)
{
    event_notifier_test_and_clear(notifier);
}

static void test_event_notifier_listed(Loop *loop)
{
    EventNotifier notifier;

    g_assert_true(event_notifier_init(&notifier, false, NULL));
    aio_set_event_notifier(loop->ctx, &notifier, notifier_read, NULL, NULL);
    AioSourceInfo info = only_source(loop, AIO_SOURCE_FD, "notifier_read", 1);
    g_assert_cmpint(info.fd, ==, event_notifier_get_fd(&notifier));
    aio_set_event_notifier(loop->ctx, &notifier, NULL, NULL, NULL);
    event_notifier_cleanup(&notifier);
}

static void test_bottom_halves_listed(Loop *loop)
{
    int runs = 0;
    QEMUBH *bh = aio_bh_new_full(loop->ctx, test_count, &runs, "worker");

    g_assert_cmpuint(only_source(loop, AIO_SOURCE_BH, "worker", 1).calls, ==, 0);
    for (int i = 1; i <= 3; i++) {
        qemu_bh_schedule(bh);
        aio_bh_schedule_oneshot(loop->ctx, nothing, NULL);
        while (runs < i) {
            loop_pass(loop, true);
        }
    }
    loop_passes(loop, 1);
    AioSourceInfo info = only_source(loop, AIO_SOURCE_BH, "worker", 1);
    g_assert_cmpuint(info.calls, ==, 3);
    g_assert_cmpint(info.fd, ==, -1);
    g_assert_cmpint(info.deadline_ns, ==, -1);
    g_assert_cmpuint(only_source(loop, AIO_SOURCE_ONESHOT_BH, NULL, 1).calls, ==, 3);
    qemu_bh_delete(bh);
    loop_passes(loop, 1);
    only_source(loop, AIO_SOURCE_BH, NULL, 0);
}

static void test_timers_listed(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer =
        aio_timer_new_full(loop->ctx, QEMU_CLOCK_VIRTUAL, SCALE_NS, test_count, &fires, "alarm");
    int64_t deadline = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + HOUR_NS;

    only_source(loop, AIO_SOURCE_TIMER, NULL, 0);
    timer_mod(timer, 0);
    while (fires == 0) {
        loop_pass(loop, true);
    }
    only_source(loop, AIO_SOURCE_TIMER, NULL, 0);
    timer_mod(timer, deadline);
    AioSourceInfo info = only_source(loop, AIO_SOURCE_TIMER, "alarm", 1);
    g_assert_cmpint(info.deadline_ns, ==, deadline);
    g_assert_cmpint(info.fd, ==, -1);
    g_assert_cmpuint(info.calls, ==, 1);
    timer_free(timer);
    only_source(loop, AIO_SOURCE_TIMER, NULL, 0);
}

typedef struct Firing {
    Loop *loop;
    bool fired;
} Firing;

static void look_at_itself(void *opaque)
{
    Firing *firing = opaque;

    only_source(firing->loop, AIO_SOURCE_TIMER, "look_at_itself", 1);
    firing->fired = true;
}

static void test_firing_timer_listed(Loop *loop)
{
    Firing firing = { .loop = loop };
    QEMUTimer *timer =
        aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, look_at_itself, &firing);

    timer_mod(timer, 0);
    while (!firing.fired) {
        loop_pass(loop, true);
    }
    timer_free(timer);
}

static void test_longest_call(Loop *loop)
{
    Blocked blocked;
    QEMUBH *bh = aio_bh_new(loop->ctx, block_here, &blocked);

    blocked_init(&blocked);
    loop_start(loop);
    qemu_bh_schedule(bh);
    sem_wait(&blocked.inside);
    /* Between these two readings the callback did not return. */
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    while (qemu_clock_get_ns(QEMU_CLOCK_REALTIME) < start + 1000000) {
    }
    sem_post(&blocked.go_on);
    loop_wait_until_idle(loop);
    AioSourceInfo info = only_source(loop, AIO_SOURCE_BH, "block_here", 1);
    loop_stop(loop);
    g_assert_cmpuint(info.calls, ==, 1);
    g_assert_cmpuint(info.max_ns, >=, 1000000);
    g_assert_cmpuint(info.total_ns, ==, info.max_ns);
    qemu_bh_delete(bh);
    blocked_cleanup(&blocked);
}

typedef struct Replacing {
    Loop *loop;
    int fd;
    int calls;
} Replacing;

/* As a writer does that has nothing more to write, or something again. */
static void replace_itself(void *opaque)
{
    Replacing *replacing = opaque;

    replacing->calls++;
    aio_set_fd_handler(replacing->loop->ctx, replacing->fd, replace_itself,
                       replacing->calls % 2 ? nothing : NULL, NULL, NULL, replacing);
}

static void test_replacing_itself_is_counted(Loop *loop)
{
    int fds[2];

    test_socketpair(fds);
    test_write_byte(fds[1]);
    Replacing replacing = { .loop = loop, .fd = fds[0] };
    aio_set_fd_handler(loop->ctx, fds[0], replace_itself, NULL, NULL, NULL, &replacing);
    while (replacing.calls < 5) {
        loop_pass(loop, true);
    }
    AioSourceInfo info = only_source(loop, AIO_SOURCE_FD, "replace_itself", 1);
    g_assert_cmpuint(info.calls, ==, replacing.calls);
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("stuck-callback-is-seen", test_stuck_callback);
    loop_test_add("back-in-the-callback-after-a-nested-pass",
                  test_back_in_the_callback_after_a_nested_pass);
    loop_test_add("unused-then-idle", test_life_of_the_activity);
    loop_test_add("callbacks-are-counted", test_counters);
    loop_test_add("times-add-up", test_times_add_up);
    loop_test_add("new-context-has-no-sources", test_new_context_has_none);
    loop_test_add("descriptors-are-listed", test_descriptors_listed);
    loop_test_add("event-notifiers-are-listed", test_event_notifier_listed);
    loop_test_add("bottom-halves-are-listed", test_bottom_halves_listed);
    loop_test_add("timers-are-listed", test_timers_listed);
    loop_test_add("firing-timer-is-listed", test_firing_timer_listed);
    loop_test_add("longest-call-is-measured", test_longest_call);
    loop_test_add("handler-that-replaces-itself-is-counted", test_replacing_itself_is_counted);
    return g_test_run();
}
