/*
 * A relay that is short of what a connection takes: descriptors, or the user's share of epoll. That
 * is nobody's fault, least of all the target's, and passes.
 *
 * The program is linked such that the test decides whether there is a place in an epoll set.
 */
#include "config.h"
#include "tests/unit/clock-fixture.h"
#include "tests/unit/log-fixture.h"
#include "tests/unit/relay-fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_bool share_is_used_up; /* nobody more may wait for a connect */
static atomic_int n_refused;
static atomic_int n_waiting;

int __real_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    if (op == EPOLL_CTL_ADD && event->events == EPOLLOUT) {
        if (share_is_used_up) {
            n_refused++;
            errno = ENOSPC;
            return -1;
        }
        n_waiting++;
    }
    return __real_epoll_ctl(epoll, op, fd, event);
}

static void pass_a_byte(RelayTest *test, int from, int to)
{
    g_assert_cmpint(send(from, "x", 1, MSG_NOSIGNAL), ==, 1);
    relay_test_expect(test, to, "x", false);
}

/* ---- descriptors ---- */

/* So that a client can still be accepted, but not connected to a target. Returns what was before.
 */
static struct rlimit allow_one_descriptor(void)
{
    int next = dup(STDIN_FILENO);
    struct rlimit before;
    struct rlimit one;

    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    one = (struct rlimit){ .rlim_cur = (rlim_t)next + 1, .rlim_max = before.rlim_max };
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &one), ==, 0);
    return before;
}

/* Once it was the target's fault. */
static void being_short_of_descriptors_is_not_the_targets_fault(Loop *loop)
{
    g_auto(GStrv) down = NULL;
    struct rlimit before;
    RelayTest test;
    RelayStats stats;
    int listener;
    int client;

    relay_test_init(&test, loop);
    test.setup.params.connect_timeout_ms = 20;
    listener = relay_test_listen(relay_test_unix(&test, "target"), 64);
    relay_test_start_one(&test, relay_test_unix(&test, "target"));
    loop_passes(loop, 5);
    client = relay_test_client(&test);
    before = allow_one_descriptor();
    log_test_expect(QMP_LOG_ACCEPT_PAUSED, "*can't accept clients for now*");
    relay_test_wait_for(&test, (stats = relay_test_stats(&test)).total_connections == 1 &&
                                   stats.connections == 0);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    log_test_assert_all();
    g_assert_cmpuint(stats.errors[RELAY_CAUSE_SYSTEM], ==, 1);
    g_assert_cmpuint(stats.errors[RELAY_CAUSE_CONNECT_TIMEOUT], ==, 0);
    down = relay_get_targets_down(test.relay);
    g_assert_cmpuint(g_strv_length(down), ==, 0);
    loop_passes(loop, 5);
    g_assert_cmpuint(test.events->len, ==, 0);
    close(client);
    close(listener);
    unlink(relay_test_unix(&test, "target") + strlen("unix:"));
    relay_test_clear(&test);
}

/* Less than its timeout, and nobody notices. */
static void a_connection_waits_for_descriptors(Loop *loop)
{
    struct rlimit before;
    RelayTest test;
    int listener;
    int client;
    int target;

    relay_test_init(&test, loop);
    listener = relay_test_listen(relay_test_unix(&test, "target"), 64);
    relay_test_start_one(&test, relay_test_unix(&test, "target"));
    loop_passes(loop, 5);
    client = relay_test_client(&test);
    before = allow_one_descriptor();
    log_test_expect(QMP_LOG_ACCEPT_PAUSED, "*can't accept clients for now*");
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 1);
    loop_passes(loop, 5);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    log_test_assert_all();
    target = relay_test_accept(&test, listener);
    pass_a_byte(&test, client, target);
    close(client);
    close(target);
    close(listener);
    unlink(relay_test_unix(&test, "target") + strlen("unix:"));
    relay_test_clear(&test);
}

/* ---- epoll ---- */

/* A relay whose only client waits for a target that does not answer. */
static void start_with_a_full_target(RelayTest *test, Loop *loop, int fds[3])
{
    g_autofree char *address = NULL;

    fds[0] = relay_test_listen("tcp:127.0.0.1:0", 0);
    address = relay_test_address_of(fds[0]);
    fds[1] = relay_test_connect(address);
    relay_test_init(test, loop);
    test->setup.params.connect_timeout_ms = INT64_C(3600) * 1000;
    n_refused = 0;
    n_waiting = 0;
    share_is_used_up = true;
    relay_test_start_one(test, address);
    fds[2] = relay_test_client(test);
    /* It tries again. */
    relay_test_wait_for(test, n_refused > 1);
}

static void finish(RelayTest *test, const int fds[3])
{
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
    }
    relay_test_clear(test);
}

/* Once it was the target's fault, and it was down. */
static void a_full_share_of_epoll_is_not_the_targets_fault(Loop *loop)
{
    RelayTest test;
    int fds[3];

    start_with_a_full_target(&test, loop, fds);
    put_clock_forward(61);
    relay_test_end_of(&test, fds[2]);
    share_is_used_up = false;
    g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_SYSTEM], ==, 1);
    g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_CONNECT], ==, 0);
    loop_passes(loop, 5);
    g_assert_cmpuint(test.events->len, ==, 0);
    finish(&test, fds);
}

/* When the connect has its place, the target is to answer in time. */
static void a_connect_waits_for_its_share_of_epoll(Loop *loop)
{
    RelayTest test;
    int fds[3];

    start_with_a_full_target(&test, loop, fds);
    share_is_used_up = false;
    relay_test_wait_for(&test, n_waiting > 0);
    put_clock_forward(61);
    relay_test_end_of(&test, fds[2]);
    g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_CONNECT_TIMEOUT], ==, 1);
    relay_test_wait_events(&test, 1);
    g_assert_true(g_str_has_prefix(g_ptr_array_index(test.events, 0), "down "));
    finish(&test, fds);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    log_test_init();
    loop_test_add_aio_poll("being short of descriptors is not the target's fault",
                           being_short_of_descriptors_is_not_the_targets_fault);
    loop_test_add_aio_poll("a connection waits for descriptors",
                           a_connection_waits_for_descriptors);
    loop_test_add("a full share of epoll is not the target's fault",
                  a_full_share_of_epoll_is_not_the_targets_fault);
    loop_test_add("a connect waits for its share of epoll", a_connect_waits_for_its_share_of_epoll);
    return g_test_run();
}
