/*
 * A relay on one loop: what it copies, how connections end, and what it refuses.
 */
#include "config.h"
#include "tests/unit/relay-fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_ANY "tcp:127.0.0.1:0"

static void send_text(int fd, const char *text)
{
    g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
}

/* A relay from unix to unix; the target's listening socket. */
static int start_unix(RelayTest *test, Loop *loop)
{
    int listener;

    relay_test_init(test, loop);
    listener = relay_test_listen(relay_test_unix(test, "target"), 64);
    relay_test_start_one(test, relay_test_unix(test, "target"));
    return listener;
}

/* A relay from TCP to TCP; the target's listening socket. */
static int start_tcp(RelayTest *test, Loop *loop)
{
    int listener = relay_test_listen(TCP_ANY, 64);
    g_autofree char *target = relay_test_address_of(listener);

    relay_test_init(test, loop);
    test->setup.listen = TCP_ANY;
    relay_test_start_one(test, target);
    return listener;
}

static void finish(RelayTest *test, int listener)
{
    close(listener);
    relay_test_clear(test);
}

/* As finish(), for a test that made the unix socket "target". */
static void finish_unix(RelayTest *test, int listener)
{
    unlink(relay_test_unix(test, "target") + strlen("unix:"));
    finish(test, listener);
}

static void bytes_go_both_ways(Loop *loop)
{
    int (*const starts[])(RelayTest * test, Loop * loop) = { start_unix, start_tcp };

    for (size_t i = 0; i < G_N_ELEMENTS(starts); i++) {
        RelayTest test;
        int listener = starts[i](&test, loop);
        RelayStats stats;
        int client;
        int target;

        relay_test_pair(&test, listener, &client, &target);
        send_text(client, "to the target");
        relay_test_expect(&test, target, "to the target", false);
        send_text(target, "and back");
        relay_test_expect(&test, client, "and back", false);
        stats = relay_test_stats(&test);
        g_assert_cmpuint(stats.connections, ==, 1);
        g_assert_cmpuint(stats.total_connections, ==, 1);
        g_assert_cmpuint(stats.bytes_in, ==, strlen("to the target"));
        g_assert_cmpuint(stats.bytes_out, ==, strlen("and back"));
        close(client);
        g_assert_cmpint(relay_test_end_of(&test, target), ==, 0);
        close(target);
        relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
        if (starts[i] == start_unix) {
            finish_unix(&test, listener);
        } else {
            finish(&test, listener);
        }
    }
}

static void a_half_close_is_passed_on(Loop *loop)
{
    RelayTest test;
    int listener = start_tcp(&test, loop);
    int ends[2];

    for (int first = 0; first < 2; first++) {
        relay_test_pair(&test, listener, &ends[0], &ends[1]);
        send_text(ends[first], "last words");
        shutdown(ends[first], SHUT_WR);
        relay_test_expect(&test, ends[1 - first], "last words", true);
        send_text(ends[1 - first], "still here");
        relay_test_expect(&test, ends[first], "still here", false);
        g_assert_cmpuint(relay_test_stats(&test).connections, ==, 1);
        shutdown(ends[1 - first], SHUT_WR);
        g_assert_cmpint(relay_test_end_of(&test, ends[first]), ==, 0);
        relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
        close(ends[0]);
        close(ends[1]);
    }
    finish(&test, listener);
}

static void a_reset_is_passed_on(Loop *loop)
{
    static const struct linger at_once = { .l_onoff = 1 };
    RelayTest test;
    int listener = start_tcp(&test, loop);
    int ends[2];

    for (int first = 0; first < 2; first++) {
        relay_test_pair(&test, listener, &ends[0], &ends[1]);
        send_text(ends[first], "x");
        relay_test_expect(&test, ends[1 - first], "x", false);
        setsockopt(ends[first], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        close(ends[first]);
        g_assert_cmpint(relay_test_end_of(&test, ends[1 - first]), ==, ECONNRESET);
        close(ends[1 - first]);
        g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_RESET], ==,
                         (unsigned)first + 1);
    }
    finish(&test, listener);
}

static void what_was_sent_before_a_receiver_gave_up_arrives(Loop *loop)
{
    RelayTest test;
    int listener = start_unix(&test, loop);
    int client;
    int target;

    relay_test_pair(&test, listener, &client, &target);
    send_text(target, "too much");
    close(target);
    send_text(client, "more");
    relay_test_expect(&test, client, "too much", true);
    close(client);
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
    finish_unix(&test, listener);
}

static char byte_at(uint64_t position)
{
    return (char)(position * 2654435761u >> 13);
}

/* Send what fits, beginning with the @position-th byte. Returns how much that was. */
static uint64_t send_some(int fd, uint64_t position, uint64_t end)
{
    char buffer[40000];
    size_t length = (size_t)MIN(sizeof(buffer), end - position);
    ssize_t n;

    for (size_t i = 0; i < length; i++) {
        buffer[i] = byte_at(position + i);
    }
    n = send(fd, buffer, length, MSG_NOSIGNAL);
    g_assert_true(n >= 0 || errno == EAGAIN);
    return n > 0 ? (uint64_t)n : 0;
}

static uint64_t receive_some(int fd, uint64_t position)
{
    char buffer[50000];
    ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

    g_assert_true(n > 0 || (n < 0 && errno == EAGAIN));
    for (ssize_t i = 0; i < n; i++) {
        g_assert_cmpint(buffer[i], ==, byte_at(position + (uint64_t)i));
    }
    return n > 0 ? (uint64_t)n : 0;
}

/* Send @total bytes, which all arrive in order. */
static void transfer(RelayTest *test, int from, int to, uint64_t total)
{
    uint64_t sent = 0;
    uint64_t received = 0;

    while (received < total) {
        sent += sent < total ? send_some(from, sent, total) : 0;
        loop_pass(test->loop, false);
        received += receive_some(to, received);
    }
}

static void many_bytes_arrive_in_order(Loop *loop)
{
    RelayTest test;
    int listener = start_tcp(&test, loop);
    int client;
    int target;

    relay_test_pair(&test, listener, &client, &target);
    transfer(&test, client, target, 20000000);
    transfer(&test, target, client, 20000000);
    g_assert_cmpuint(relay_test_stats(&test).bytes_in, ==, 20000000);
    g_assert_cmpuint(relay_test_stats(&test).bytes_out, ==, 20000000);
    close(client);
    close(target);
    finish(&test, listener);
}

/* Send until nothing more is taken. Returns how much was. */
static uint64_t fill(RelayTest *test, int fd)
{
    uint64_t sent = 0;
    int still = 0;

    while (still < 20) {
        uint64_t n = send_some(fd, sent, UINT64_MAX);

        sent += n;
        still = n > 0 ? 0 : still + 1;
        loop_pass(test->loop, false);
    }
    return sent;
}

static void a_slow_receiver_bounds_what_is_held(Loop *loop)
{
    static const int64_t sizes[] = { RELAY_BUFFER_SIZE_MIN, 100000, RELAY_BUFFER_SIZE_MAX };

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        RelayTest test;
        uint64_t received = 0;
        uint64_t sent;
        int listener;
        int waiting;
        int client;
        int target;

        relay_test_init(&test, loop);
        test.setup.params.buffer_size = sizes[i];
        listener = relay_test_listen(relay_test_unix(&test, "target"), 64);
        relay_test_start_one(&test, relay_test_unix(&test, "target"));
        relay_test_pair(&test, listener, &client, &target);
        sent = fill(&test, client);
        g_assert_cmpint(ioctl(target, FIONREAD, &waiting), ==, 0);
        g_assert_cmpuint(relay_test_stats(&test).bytes_in, >, (uint64_t)waiting);
        g_assert_cmpuint(relay_test_stats(&test).bytes_in - (uint64_t)waiting, <=,
                         (uint64_t)sizes[i]);
        shutdown(client, SHUT_WR);
        while (received < sent) {
            received += receive_some(target, received);
            loop_pass(loop, false);
        }
        g_assert_cmpint(relay_test_end_of(&test, target), ==, 0);
        close(client);
        close(target);
        finish_unix(&test, listener);
    }
}

/* The sender need not wait for the receiver as long as the relay may hold more. */
static void what_comes_while_the_receiver_is_slow_is_read(Loop *loop)
{
    enum {
        FIRST = 131072, /* enough for a pipe to be used */
        PIECE = 32768,
        HELD = 150000,
    };
    RelayTest test;
    uint64_t received = 0;
    uint64_t sent = 0;
    uint64_t end = FIRST;
    int listener = start_unix(&test, loop);
    int waiting = 0;
    int client;
    int target;

    relay_test_pair(&test, listener, &client, &target);
    while (sent - (uint64_t)waiting < HELD) {
        while (sent < end) {
            sent += send_some(client, sent, end);
        }
        relay_test_wait_for(&test, relay_test_stats(&test).bytes_in == sent);
        g_assert_cmpint(ioctl(target, FIONREAD, &waiting), ==, 0);
        end += PIECE;
    }
    while (received < sent) {
        received += receive_some(target, received);
        loop_pass(loop, false);
    }
    close(client);
    close(target);
    finish_unix(&test, listener);
}

static void the_loop_sleeps_while_nobody_reads(Loop *loop)
{
    RelayTest test;
    int listener = start_unix(&test, loop);
    int client;
    int target;

    relay_test_pair(&test, listener, &client, &target);
    fill(&test, client);
    shutdown(client, SHUT_WR);
    loop_passes(loop, 20);
    loop_start(loop);
    loop_assert_asleep(loop);
    loop_stop(loop);
    close(client);
    close(target);
    finish_unix(&test, listener);
}

static void an_idle_connection_has_two_descriptors(Loop *loop)
{
    enum {
        N = 50
    };
    RelayTest test;
    int listener = start_unix(&test, loop);
    int clients[N];
    int targets[N];
    int before = 0;

    for (int i = 0; i < N; i++) {
        relay_test_pair(&test, listener, &clients[i], &targets[i]);
        if (i == 0) {
            transfer(&test, clients[0], targets[0], 1000000);
            before = test_count_fds();
        }
    }
    for (int i = 0; i < N; i++) {
        transfer(&test, clients[i], targets[i], 1000000);
    }
    g_assert_cmpint(test_count_fds() - before, ==, 4 * (N - 1));
    for (int i = 0; i < N; i++) {
        close(clients[i]);
        close(targets[i]);
    }
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
    finish_unix(&test, listener);
}

static void no_delay_is_set_on_both_sides(Loop *loop)
{
    RelayTest test;
    int listener = start_tcp(&test, loop);
    int before = test_count_fds();
    int client;
    int target;
    int delayed = 0;

    relay_test_pair(&test, listener, &client, &target);
    /* The relay's own two are those that the test did not make. */
    for (int fd = 3; fd < before + 8; fd++) {
        socklen_t length = sizeof(int);
        int no_delay;

        if (fd != client && fd != target && fd != listener &&
            getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &length) == 0) {
            delayed += !no_delay;
        }
    }
    g_assert_cmpint(delayed, ==, 0);
    close(client);
    close(target);
    finish(&test, listener);
}

static void beyond_the_limit_clients_are_turned_away(Loop *loop)
{
    RelayTest test;
    int listener;
    int client;
    int target;
    int third;

    relay_test_init(&test, loop);
    test.setup.params.max_connections = 1;
    listener = relay_test_listen(relay_test_unix(&test, "target"), 64);
    relay_test_start_one(&test, relay_test_unix(&test, "target"));
    relay_test_pair(&test, listener, &client, &target);
    third = relay_test_client(&test);
    g_assert_cmpint(relay_test_end_of(&test, third), ==, 0);
    close(third);
    g_assert_cmpuint(relay_test_stats(&test).refused, ==, 1);
    g_assert_cmpuint(relay_test_stats(&test).total_connections, ==, 1);
    close(client);
    close(target);
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
    relay_test_pair(&test, listener, &client, &target);
    close(client);
    close(target);
    finish_unix(&test, listener);
}

static void an_idle_connection_is_ended(Loop *loop)
{
    RelayTest test;
    int listener = start_unix(&test, loop);
    g_autoptr(GError) err = NULL;
    RelayParams params = test.setup.params;
    int client;
    int target;

    relay_test_pair(&test, listener, &client, &target);
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 1);
    /* For connections that are there, too. */
    params.idle_timeout_ms = 1;
    g_assert_true(relay_set_params(test.relay, &params, &err));
    g_assert_cmpint(relay_test_end_of(&test, client), ==, 0);
    g_assert_cmpint(relay_test_end_of(&test, target), ==, 0);
    g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_IDLE_TIMEOUT], ==, 1);
    close(client);
    close(target);
    finish_unix(&test, listener);
}

static void running_out_of_descriptors_is_a_rest(Loop *loop)
{
    RelayTest test;
    int listener = start_unix(&test, loop);
    struct rlimit before;
    struct rlimit none;
    int client;
    int target;

    loop_passes(loop, 5);
    client = relay_test_client(&test);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){ .rlim_cur = 3, .rlim_max = before.rlim_max };
    setrlimit(RLIMIT_NOFILE, &none);
    g_test_expect_message("evloopd", G_LOG_LEVEL_WARNING, "*can't accept clients for now*");
    relay_test_wait_for(&test, relay_test_stats(&test).errors[RELAY_CAUSE_ACCEPT] > 1);
    g_test_assert_expected_messages();
    setrlimit(RLIMIT_NOFILE, &before);
    target = relay_test_accept(&test, listener);
    send_text(client, "x");
    relay_test_expect(&test, target, "x", false);
    close(client);
    close(target);
    finish_unix(&test, listener);
}

static void connections_are_told_of_when_asked_for(Loop *loop)
{
    RelayTest test;
    int listener = start_unix(&test, loop);
    g_autofree char *up = g_strdup_printf("connected 2 %s", relay_test_unix(&test, "target"));
    int client;
    int target;

    relay_test_pair(&test, listener, &client, &target);
    close(client);
    close(target);
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
    relay_set_verbose(test.relay, true);
    relay_test_pair(&test, listener, &client, &target);
    send_text(client, "four");
    relay_test_expect(&test, target, "four", false);
    send_text(target, "sixsix");
    relay_test_expect(&test, client, "sixsix", false);
    close(client);
    close(target);
    relay_test_wait_events(&test, 2);
    g_assert_cmpstr(g_ptr_array_index(test.events, 0), ==, up);
    g_assert_cmpstr(g_ptr_array_index(test.events, 1), ==, "disconnected 2 4 6 none");
    finish_unix(&test, listener);
}

static void parameters_out_of_bounds_are_refused(Loop *loop)
{
    static const struct {
        size_t offset;
        int64_t value;
        const char *message;
    } cases[] = {
        { offsetof(RelayParams, buffer_size), 4095,
          "buffer-size is 4095, expected 4096 to 1048576" },
        { offsetof(RelayParams, buffer_size), 1048577,
          "buffer-size is 1048577, expected 4096 to 1048576" },
        { offsetof(RelayParams, max_connections), -1, "max-connections is -1, *" },
        { offsetof(RelayParams, idle_timeout_ms), -1, "idle-timeout-ms is -1, *" },
        { offsetof(RelayParams, connect_timeout_ms), -1, "connect-timeout-ms is -1, *" },
        { offsetof(RelayParams, target_retry_ms), INT64_MAX, "target-retry-ms is *" },
    };
    RelayTest test;
    int listener = start_unix(&test, loop);

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        RelayParams params = test.setup.params;

        *(int64_t *)((char *)&params + cases[i].offset) = cases[i].value;
        g_assert_false(relay_set_params(test.relay, &params, &err));
        g_assert_true(g_pattern_match_simple(cases[i].message, err->message));
    }
    finish_unix(&test, listener);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("bytes go both ways", bytes_go_both_ways);
    loop_test_add("a half-close is passed on", a_half_close_is_passed_on);
    loop_test_add("a reset is passed on", a_reset_is_passed_on);
    loop_test_add("what was sent before a receiver gave up arrives",
                  what_was_sent_before_a_receiver_gave_up_arrives);
    loop_test_add("many bytes arrive in order", many_bytes_arrive_in_order);
    loop_test_add("a slow receiver bounds what is held", a_slow_receiver_bounds_what_is_held);
    loop_test_add("what comes while the receiver is slow is read",
                  what_comes_while_the_receiver_is_slow_is_read);
    loop_test_add("the loop sleeps while nobody reads", the_loop_sleeps_while_nobody_reads);
    loop_test_add("an idle connection has two descriptors", an_idle_connection_has_two_descriptors);
    loop_test_add("no delay is set on both sides", no_delay_is_set_on_both_sides);
    loop_test_add("beyond the limit clients are turned away",
                  beyond_the_limit_clients_are_turned_away);
    loop_test_add("an idle connection is ended", an_idle_connection_is_ended);
    loop_test_add_aio_poll("running out of descriptors is a rest",
                           running_out_of_descriptors_is_a_rest);
    loop_test_add("connections are told of when asked for", connections_are_told_of_when_asked_for);
    loop_test_add_aio_poll("parameters out of bounds are refused",
                           parameters_out_of_bounds_are_refused);
    return g_test_run();
}
