/*
 * EventNotifier alone, and attached to a context.
 */
#include "config.h"
#include "loop/event-notifier.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

static void init_notifier(EventNotifier *notifier, bool active)
{
    g_autoptr(GError) err = NULL;
    bool ok = event_notifier_init(notifier, active, &err);
    g_assert_no_error(err);
    g_assert_true(ok);
}

static void test_starts_as_asked(void)
{
    EventNotifier notifier;

    init_notifier(&notifier, false);
    g_assert_false(event_notifier_test_and_clear(&notifier));
    event_notifier_cleanup(&notifier);

    init_notifier(&notifier, true);
    g_assert_true(event_notifier_test_and_clear(&notifier));
    g_assert_false(event_notifier_test_and_clear(&notifier));
    event_notifier_cleanup(&notifier);
}

static void test_many_sets_make_one(void)
{
    EventNotifier notifier;

    init_notifier(&notifier, false);
    for (int i = 0; i < 5; i++) {
        event_notifier_set(&notifier);
    }
    g_assert_true(event_notifier_test_and_clear(&notifier));
    g_assert_false(event_notifier_test_and_clear(&notifier));
    event_notifier_cleanup(&notifier);
}

static void test_full_counter_stays_set(void)
{
    EventNotifier notifier;
    const uint64_t full = UINT64_MAX - 1;

    init_notifier(&notifier, false);
    ssize_t n = write(event_notifier_get_fd(&notifier), &full, sizeof(full));
    g_assert_cmpint(n, ==, sizeof(full));
    event_notifier_set(&notifier);
    g_assert_true(event_notifier_test_and_clear(&notifier));
    g_assert_false(event_notifier_test_and_clear(&notifier));
    event_notifier_cleanup(&notifier);
}

static void test_takes_over_a_blocking_eventfd(void)
{
    EventNotifier notifier;
    int fd = eventfd(0, 0);

    event_notifier_init_fd(&notifier, fd);
    g_assert_cmpint(event_notifier_get_fd(&notifier), ==, fd);
    /* Would hang if the descriptor still blocked. */
    g_assert_false(event_notifier_test_and_clear(&notifier));
    event_notifier_set(&notifier);
    g_assert_true(event_notifier_test_and_clear(&notifier));
    event_notifier_cleanup(&notifier);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
}

static void test_does_not_block_and_closes_on_exec(void)
{
    EventNotifier notifier;

    init_notifier(&notifier, false);
    int fd = event_notifier_get_fd(&notifier);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, ==, O_NONBLOCK);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    event_notifier_cleanup(&notifier);
}

static void test_cleanup_twice(void)
{
    EventNotifier notifier;

    init_notifier(&notifier, false);
    event_notifier_cleanup(&notifier);
    g_assert_cmpint(event_notifier_get_fd(&notifier), ==, -1);
    event_notifier_cleanup(&notifier);
}

static void test_out_of_descriptors(void)
{
    struct rlimit limit, none;
    EventNotifier notifier;
    g_autoptr(GError) err = NULL;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    bool ok = event_notifier_init(&notifier, false, &err);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);

    g_assert_false(ok);
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, g_strerror(EMFILE)));
    event_notifier_cleanup(&notifier);
    g_assert_cmpint(event_notifier_get_fd(&notifier), ==, -1);
}

static EventNotifier *signalled;

static void on_signal(int signum)
{
    event_notifier_set(signalled);
}

static void test_set_in_a_signal_handler(void)
{
    EventNotifier notifier;
    struct sigaction action = { .sa_handler = on_signal }, before;

    init_notifier(&notifier, false);
    signalled = &notifier;
    sigaction(SIGUSR1, &action, &before);
    raise(SIGUSR1);
    sigaction(SIGUSR1, &before, NULL);
    g_assert_true(event_notifier_test_and_clear(&notifier));
    event_notifier_cleanup(&notifier);
}

/* ---- on a context ---- */

typedef struct Watched {
    EventNotifier notifier;
    int calls;
    int leave_set; /* the first calls do not clear it */
} Watched;

static void watched_read(EventNotifier *notifier)
{
    Watched *watched = (Watched *)((char *)notifier - offsetof(Watched, notifier));

    watched->calls++;
    if (watched->leave_set > 0) {
        watched->leave_set--;
    } else {
        event_notifier_test_and_clear(notifier);
    }
}

static void watch(Loop *loop, Watched *watched)
{
    *watched = (Watched){ 0 };
    init_notifier(&watched->notifier, false);
    aio_set_event_notifier(loop->ctx, &watched->notifier, watched_read, NULL, NULL);
}

static void unwatch(Loop *loop, Watched *watched)
{
    aio_set_event_notifier(loop->ctx, &watched->notifier, NULL, NULL, NULL);
    event_notifier_cleanup(&watched->notifier);
}

static void test_handler_runs_once_a_set(Loop *loop)
{
    Watched watched;

    watch(loop, &watched);
    loop_passes(loop, 3);
    g_assert_cmpint(watched.calls, ==, 0);

    event_notifier_set(&watched.notifier);
    event_notifier_set(&watched.notifier);
    while (watched.calls == 0) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(watched.calls, ==, 1);
    unwatch(loop, &watched);
}

static void test_handler_that_does_not_clear(Loop *loop)
{
    Watched watched;

    watch(loop, &watched);
    watched.leave_set = 2;
    event_notifier_set(&watched.notifier);
    while (watched.calls < 3) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(watched.calls, ==, 3);
    unwatch(loop, &watched);
}

static void test_removed_handler(Loop *loop)
{
    Watched watched;

    watch(loop, &watched);
    loop_passes(loop, 1);
    event_notifier_set(&watched.notifier);
    aio_set_event_notifier(loop->ctx, &watched.notifier, NULL, NULL, NULL);
    loop_passes(loop, 3);
    g_assert_cmpint(watched.calls, ==, 0);
    event_notifier_cleanup(&watched.notifier);
}

static void *set_from_thread(void *opaque)
{
    event_notifier_set(opaque);
    return NULL;
}

static void test_set_by_another_thread(Loop *loop)
{
    Watched watched;

    watch(loop, &watched);
    pthread_t thread = test_thread_start(set_from_thread, &watched.notifier);
    while (watched.calls == 0) {
        loop_pass(loop, true);
    }
    test_thread_join(thread);
    g_assert_cmpint(watched.calls, ==, 1);
    unwatch(loop, &watched);
}

static void clear_and_remove(EventNotifier *notifier)
{
    Watched *watched = (Watched *)((char *)notifier - offsetof(Watched, notifier));

    watched->calls++;
    aio_set_event_notifier(qemu_get_current_aio_context(), notifier, NULL, NULL, NULL);
    event_notifier_cleanup(notifier);
}

static void test_removed_and_closed_in_own_callback(Loop *loop)
{
    Watched watched;

    qemu_set_current_aio_context(loop->ctx);
    watch(loop, &watched);
    aio_set_event_notifier(loop->ctx, &watched.notifier, clear_and_remove, NULL, NULL);
    event_notifier_set(&watched.notifier);
    while (watched.calls == 0) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(watched.calls, ==, 1);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    test_add("/event-notifier/starts-as-asked", test_starts_as_asked);
    test_add("/event-notifier/many-sets-make-one", test_many_sets_make_one);
    test_add("/event-notifier/full-counter-stays-set", test_full_counter_stays_set);
    test_add("/event-notifier/takes-over-a-blocking-eventfd", test_takes_over_a_blocking_eventfd);
    test_add("/event-notifier/does-not-block-and-closes-on-exec",
             test_does_not_block_and_closes_on_exec);
    test_add("/event-notifier/cleanup-twice", test_cleanup_twice);
    test_add("/event-notifier/out-of-descriptors", test_out_of_descriptors);
    test_add("/event-notifier/set-in-a-signal-handler", test_set_in_a_signal_handler);
    loop_test_add("handler-runs-once-a-set", test_handler_runs_once_a_set);
    loop_test_add("handler-that-does-not-clear-is-called-again", test_handler_that_does_not_clear);
    loop_test_add("removed-handler-is-not-called", test_removed_handler);
    loop_test_add("set-by-another-thread-wakes-the-loop", test_set_by_another_thread);
    loop_test_add("removed-and-closed-in-own-callback", test_removed_and_closed_in_own_callback);
    return g_test_run();
}
