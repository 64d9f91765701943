/*
 * A relay that is frozen, and another one that goes on with its connections, whatever their state.
 */
#include "config.h"
#include "tests/unit/relay-freeze-fixture.h"
#include "tests/unit/relay-traffic.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- under traffic ---- */

static void no_byte_is_lost_in_a_hundred_restarts(Loop *loop)
{
    static const unsigned sets[] = { 1, 2, 7, 0, 3, 6, 5, 4 };
    RelayTraffic *traffic;
    RelayStats stats;
    FreezeTest self;

    freeze_test_begin(&self, loop);
    relay_test_start_one(&self.test, self.address);
    traffic = relay_traffic_start(relay_get_address(self.test.relay), self.listener, 100);
    for (int i = 0; i < test_scaled(100); i++) {
        uint64_t bytes = relay_traffic_bytes(traffic);

        freeze_test_freeze(&self);
        freeze_test_thaw(&self, self.address, sets[(size_t)i % G_N_ELEMENTS(sets)]);
        relay_test_wait_for(&self.test, relay_traffic_bytes(traffic) > bytes);
    }
    relay_test_wait_for(&self.test, relay_traffic_is_over(traffic));
    relay_test_wait_for(&self.test, relay_test_stats(&self.test).connections == 0);
    stats = relay_test_stats(&self.test);
    g_assert_cmpuint(stats.total_connections, ==, relay_traffic_ended(traffic));
    g_assert_cmpuint(stats.bytes_in, ==, relay_traffic_bytes(traffic));
    g_assert_cmpuint(stats.bytes_out, ==, relay_traffic_bytes(traffic));
    for (int i = 0; i < RELAY_CAUSE_MAX; i++) {
        g_assert_cmpuint(stats.errors[i], ==, 0);
    }
    relay_traffic_free(traffic);
    freeze_test_finish(&self);
}

/* ---- connections in their states ---- */

/* Send what fits of a stream of counted bytes. */
static void send_some(int fd, uint64_t *sent)
{
    unsigned char bytes[65521];
    ssize_t n;

    do {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (unsigned char)((*sent + i) % 251);
        }
        n = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
        *sent += n > 0 ? (uint64_t)n : 0;
    } while (n > 0);
}

static void receive_some(int fd, uint64_t *received)
{
    unsigned char bytes[65521];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    for (ssize_t i = 0; i < n; i++, (*received)++) {
        g_assert_cmpuint(bytes[i], ==, *received % 251);
    }
}

/* The receiver sleeps, so that pipes are full, or partly so. */
static void what_is_held_goes_on(Loop *loop)
{
    enum {
        N = 6
    };
    uint64_t received[2] = { 0 };
    uint64_t sent[2] = { 0 };
    bool pipe_was_full = false;
    FreezeTest self;
    int fds[2];

    freeze_test_begin(&self, loop);
    relay_test_start_one(&self.test, self.address);
    relay_test_pair(&self.test, self.listener, &fds[0], &fds[1]);
    for (unsigned i = 0; i < N; i++) {
        for (unsigned j = 0; j < 20; j++) {
            send_some(fds[0], &sent[0]);
            send_some(fds[1], &sent[1]);
            loop_passes(loop, 2);
        }
        freeze_test_freeze(&self);
        for (int side = 0; side < 2; side++) {
            RelayFrozenFlow *flow =
                &g_array_index(self.frozen->connections, RelayFrozenConnection, 0).flow[side];

            g_assert_cmpuint(flow->n_held, >, 0);
            pipe_was_full |= flow->n_held >= 65536;
        }
        freeze_test_thaw(&self, self.address, i % 8);
        /* There is room for some of it. */
        receive_some(fds[1], &received[0]);
        receive_some(fds[0], &received[1]);
    }
    g_assert_true(pipe_was_full);
    shutdown(fds[0], SHUT_WR);
    shutdown(fds[1], SHUT_WR);
    freeze_test_restart(&self);
    while (received[0] < sent[0] || received[1] < sent[1]) {
        receive_some(fds[1], &received[0]);
        receive_some(fds[0], &received[1]);
        loop_pass(loop, false);
    }
    for (int side = 0; side < 2; side++) {
        g_assert_cmpint(relay_test_end_of(&self.test, fds[side]), ==, 0);
        close(fds[side]);
    }
    g_assert_cmpuint(relay_test_stats(&self.test).bytes_in, ==, sent[0]);
    g_assert_cmpuint(relay_test_stats(&self.test).bytes_out, ==, sent[1]);
    freeze_test_finish(&self);
}

/* Send until the relay holds some of it, in a pipe that is not full; how much that is in all. */
static uint64_t have_some_held(FreezeTest *self, int client, int target)
{
    static const char bytes[32768];
    uint64_t sent = 0;
    uint64_t end = 131072; /* enough for a pipe to be used */
    int waiting = 0;

    while (sent < (uint64_t)waiting + 65536) {
        while (sent < end) {
            ssize_t n = send(client, bytes, MIN(sizeof(bytes), end - sent), MSG_NOSIGNAL);

            sent += n > 0 ? (uint64_t)n : 0;
        }
        relay_test_wait_for(&self->test, relay_test_stats(&self->test).bytes_in == sent);
        g_assert_cmpint(ioctl(target, FIONREAD, &waiting), ==, 0);
        end += sizeof(bytes);
    }
    return sent;
}

/* Of a client that has broken off, the target gets all that came before. */
static void what_came_before_a_break_goes_on(Loop *loop)
{
    const RelayFrozenFlow *flow;
    uint64_t received = 0;
    FreezeTest self;
    uint64_t sent;
    int client;
    int target;

    freeze_test_begin(&self, loop);
    relay_test_start_one(&self.test, self.address);
    relay_test_pair(&self.test, self.listener, &client, &target);
    sent = have_some_held(&self, client, target);
    /* To leave something unread is to break off. */
    g_assert_cmpint(send(target, "x", 1, 0), ==, 1);
    relay_test_wait_for(&self.test, relay_test_stats(&self.test).bytes_out == 1);
    close(client);
    loop_passes(loop, 5);
    freeze_test_freeze(&self);
    g_assert_cmpuint(self.frozen->connections->len, ==, 1);
    flow = &g_array_index(self.frozen->connections, RelayFrozenConnection, 0).flow[0];
    g_assert_true(flow->broken);
    g_assert_cmpuint(flow->n_held, >, 0);
    freeze_test_thaw(&self, self.address, 1);
    while (received < sent) {
        char bytes[65536];
        ssize_t n = recv(target, bytes, sizeof(bytes), 0);

        g_assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        received += n > 0 ? (uint64_t)n : 0;
        loop_pass(loop, false);
    }
    relay_test_end_of(&self.test, target);
    relay_test_wait_for(&self.test, relay_test_stats(&self.test).connections == 0);
    g_assert_cmpuint(relay_test_stats(&self.test).errors[RELAY_CAUSE_RESET], ==, 1);
    close(target);
    freeze_test_finish(&self);
}

static void a_half_closed_connection_goes_on(Loop *loop)
{
    for (int ended = 0; ended < 2; ended++) {
        FreezeTest self;
        int fds[2];

        freeze_test_begin(&self, loop);
        relay_test_start_one(&self.test, self.address);
        relay_test_pair(&self.test, self.listener, &fds[0], &fds[1]);
        freeze_test_pass(&self, fds[ended], fds[1 - ended], "the last");
        shutdown(fds[ended], SHUT_WR);
        g_assert_cmpint(relay_test_end_of(&self.test, fds[1 - ended]), ==, 0);
        freeze_test_restart(&self);
        freeze_test_pass(&self, fds[1 - ended], fds[ended], "one more");
        freeze_test_restart(&self);
        freeze_test_pass(&self, fds[1 - ended], fds[ended], "and one");
        g_assert_cmpuint(relay_test_stats(&self.test).connections, ==, 1);
        close(fds[1 - ended]);
        g_assert_cmpint(relay_test_end_of(&self.test, fds[ended]), ==, 0);
        relay_test_wait_for(&self.test, relay_test_stats(&self.test).connections == 0);
        close(fds[ended]);
        freeze_test_finish(&self);
    }
}

/* What a client does while nobody looks is found when somebody does. */
static void a_connection_that_ends_meanwhile_ends(Loop *loop)
{
    FreezeTest self;
    int client;
    int target;

    freeze_test_begin(&self, loop);
    self.test.setup.verbose = true;
    relay_test_start_one(&self.test, self.address);
    relay_test_pair(&self.test, self.listener, &client, &target);
    relay_test_wait_events(&self.test, 1);
    freeze_test_freeze(&self);
    g_assert_cmpint(send(client, "bye", 3, 0), ==, 3);
    close(client);
    freeze_test_thaw(&self, self.address, 0);
    relay_test_expect(&self.test, target, "bye", true);
    close(target);
    relay_test_wait_events(&self.test, 2);
    g_assert_cmpstr(g_ptr_array_index(self.test.events, 1), ==, "disconnected 1 3 0 none");
    freeze_test_finish(&self);
}

/* A target that has no room in its backlog lets connects wait. */
static void a_connect_under_way_begins_again(Loop *loop)
{
    FreezeTest self;
    const char *full;
    int listener;
    int filler;
    int client;
    int target;

    freeze_test_begin(&self, loop);
    full = relay_test_unix(&self.test, "full");
    listener = relay_test_listen(full, 0);
    filler = relay_test_connect(full);
    relay_test_start_one(&self.test, full);
    client = relay_test_client(&self.test);
    relay_test_wait_for(&self.test, relay_test_stats(&self.test).connections == 1);
    freeze_test_freeze(&self);
    g_assert_cmpuint(self.frozen->connections->len, ==, 1);
    g_assert_cmpint(g_array_index(self.frozen->connections, RelayFrozenConnection, 0).fd[1], ==,
                    -1);
    freeze_test_thaw(&self, full, 1);
    g_assert_cmpuint(relay_test_stats(&self.test).connections, ==, 1);
    freeze_test_freeze(&self);
    /* The target that is new takes it. */
    freeze_test_thaw(&self, self.address, 2);
    target = relay_test_accept(&self.test, self.listener);
    freeze_test_pass(&self, client, target, "x");
    g_assert_cmpuint(relay_test_stats(&self.test).total_connections, ==, 1);
    close(client);
    close(target);
    close(filler);
    close(listener);
    unlink(full + strlen("unix:"));
    freeze_test_finish(&self);
}

static void a_look_up_under_way_begins_again(Loop *loop)
{
    FreezeTest self;
    int listener = relay_test_listen("tcp:127.0.0.1:0", 64);
    g_autofree char *address = relay_test_address_of(listener);
    g_autofree char *name = g_strdup_printf("tcp:localhost%s", strrchr(address, ':'));

    freeze_test_begin(&self, loop);
    relay_test_start_one(&self.test, name);
    for (int i = 0; i < test_scaled(50); i++) {
        int client = relay_test_client(&self.test);
        int target;

        freeze_test_freeze(&self);
        freeze_test_thaw(&self, name, (unsigned)i % 8);
        /* What the given up try has left behind may come first. */
        g_assert_cmpint(send(client, "x", 1, 0), ==, 1);
        for (;;) {
            char byte;
            ssize_t n;

            target = relay_test_accept(&self.test, listener);
            relay_test_wait_for(&self.test, (n = recv(target, &byte, 1, 0)) >= 0);
            if (n == 1) {
                break;
            }
            close(target);
        }
        close(client);
        close(target);
    }
    relay_test_wait_for(&self.test, relay_test_stats(&self.test).connections == 0);
    close(listener);
    freeze_test_finish(&self);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("no byte is lost in a hundred restarts", no_byte_is_lost_in_a_hundred_restarts);
    loop_test_add("what is held goes on", what_is_held_goes_on);
    loop_test_add("what came before a break goes on", what_came_before_a_break_goes_on);
    loop_test_add("a half-closed connection goes on", a_half_closed_connection_goes_on);
    loop_test_add("a connection that ends meanwhile ends", a_connection_that_ends_meanwhile_ends);
    loop_test_add("a connect under way begins again", a_connect_under_way_begins_again);
    loop_test_add("a look-up under way begins again", a_look_up_under_way_begins_again);
    return g_test_run();
}
