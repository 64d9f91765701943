/*
 * What sockets can do beside sending bytes in order, and a relay must live with.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"
#include "tests/unit/relay-fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOTAL  (8 * 1024 * 1024)
#define URGENT (TOTAL / 2)

/* Send zeros as long as they are taken, up to @end in all. */
static void send_zeros(int fd, int *sent, int end)
{
    static const char zeros[65536];
    ssize_t n = 0;

    while (*sent < end && n >= 0) {
        n = send(fd, zeros, MIN(sizeof(zeros), (size_t)(end - *sent)), MSG_NOSIGNAL);
        g_assert_true(n > 0 || errno == EAGAIN);
        *sent += n > 0 ? (int)n : 0;
    }
}

/* Receive zeros. */
static void receive_zeros(int fd, int *received)
{
    char buffer[16384];
    ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

    g_assert_true(n > 0 || (n < 0 && errno == EAGAIN));
    for (ssize_t i = 0; i < n; i++) {
        g_assert_cmpint(buffer[i], ==, 0);
    }
    *received += n > 0 ? (int)n : 0;
}

/* splice() reads up to it, and then says that there is nothing; once the loop spun from there on,
 * and nothing more arrived. The byte itself is no part of the stream. */
static void an_urgent_byte_stops_nothing(Loop *loop)
{
    int listener = relay_test_listen("tcp:127.0.0.1:0", 64);
    g_autofree char *target_address = relay_test_address_of(listener);
    bool urgent = false;
    int received = 0;
    int sent = 0;
    RelayTest test;
    int client;
    int target;

    relay_test_init(&test, loop);
    test.setup.listen = "tcp:127.0.0.1:0";
    relay_test_start_one(&test, target_address);
    relay_test_pair(&test, listener, &client, &target);
    while (received < TOTAL) {
        /* Much at a time, and received in small portions, so that the relay uses a pipe. */
        send_zeros(client, &sent, urgent ? TOTAL : URGENT);
        if (sent == URGENT && !urgent) {
            urgent = send(client, "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1;
        }
        loop_pass(loop, false);
        receive_zeros(target, &received);
    }
    loop_start(loop);
    loop_assert_asleep(loop);
    loop_stop(loop);
    g_assert_cmpuint(relay_test_stats(&test).bytes_in, ==, TOTAL);
    close(client);
    close(target);
    close(listener);
    relay_test_clear(&test);
}

/* splice() needs a pipe; without one bytes are copied, though many. */
static void without_descriptors_for_pipes_bytes_are_copied(Loop *loop)
{
    int listener = relay_test_listen("tcp:127.0.0.1:0", 64);
    g_autofree char *target_address = relay_test_address_of(listener);
    struct rlimit before;
    struct rlimit none;
    int received = 0;
    int sent = 0;
    RelayTest test;
    int client;
    int target;

    relay_test_init(&test, loop);
    test.setup.listen = "tcp:127.0.0.1:0";
    relay_test_start_one(&test, target_address);
    relay_test_pair(&test, listener, &client, &target);
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 1);
    loop_passes(loop, 5);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){ .rlim_cur = 3, .rlim_max = before.rlim_max };
    setrlimit(RLIMIT_NOFILE, &none);
    while (received < TOTAL) {
        send_zeros(client, &sent, TOTAL);
        loop_pass(loop, false);
        receive_zeros(target, &received);
    }
    setrlimit(RLIMIT_NOFILE, &before);
    g_assert_cmpuint(relay_test_stats(&test).bytes_in, ==, TOTAL);
    close(client);
    close(target);
    close(listener);
    relay_test_clear(&test);
}

/* As without a relay, where sending would fail. */
static void who_sends_learns_that_nobody_reads(Loop *loop)
{
    RelayTest test;
    int ends[2];
    int listener;

    relay_test_init(&test, loop);
    listener = relay_test_listen(relay_test_unix(&test, "target"), 64);
    relay_test_start_one(&test, relay_test_unix(&test, "target"));
    for (int first = 0; first < 2; first++) {
        ssize_t n;

        relay_test_pair(&test, listener, &ends[0], &ends[1]);
        shutdown(ends[1 - first], SHUT_RD);
        relay_test_wait_for(&test, (n = send(ends[first], "x", 1, MSG_NOSIGNAL)) < 0);
        g_assert_cmpint(errno, ==, EPIPE);
        /* The other direction goes on. */
        g_assert_cmpint(send(ends[1 - first], "y", 1, MSG_NOSIGNAL), ==, 1);
        relay_test_expect(&test, ends[first], "y", false);
        close(ends[0]);
        close(ends[1]);
    }
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
    unlink(relay_test_unix(&test, "target") + strlen("unix:"));
    close(listener);
    relay_test_clear(&test);
}

static int send_buffer_of(int fd)
{
    socklen_t length = sizeof(int);
    int size;

    g_assert_cmpint(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length), ==, 0);
    return size;
}

/* The size of a send buffer that is asked for as @size bytes, in a socket that has nothing yet. */
static int send_buffer_allowed(size_t size)
{
    int half = (int)size / 2;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int allowed;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
    allowed = send_buffer_of(fd);
    close(fd);
    return allowed;
}

/* Copy @length bytes through a flow between two pairs of unix sockets, at once as many as fit into
 * the buffer that recv() fills. Returns the size of the sink's send buffer then. */
static int send_buffer_after(Loop *loop, size_t length, int size_before, size_t limit)
{
    RelayLoop *relay_loop = relay_loop_get(loop->ctx);
    RelayFlow flow = { 0 };
    int source[2];
    int sink[2];
    int sent = 0;
    int size;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, source), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sink), ==, 0);
    if (size_before > 0) {
        size_before /= 2;
        setsockopt(sink[0], SOL_SOCKET, SO_SNDBUF, &size_before, sizeof(size_before));
    }
    send_zeros(source[0], &sent, (int)length);
    g_assert_cmpuint((size_t)sent, ==, length);
    g_assert_cmpint(relay_flow_pump(&flow, relay_loop, source[1], sink[0], limit), ==,
                    FLOW_GOES_ON);
    g_assert_cmpuint(flow.bytes, >, 0);
    size = send_buffer_of(sink[0]);
    relay_flow_drop(&flow);
    relay_loop_put(relay_loop);
    for (int i = 0; i < 2; i++) {
        close(source[i]);
        close(sink[i]);
    }
    return size;
}

/* As many bytes lead to splice(). */
#define MUCH sizeof(((RelayLoop *)NULL)->buffer)

static void much_enlarges_a_unix_socket_s_buffer(Loop *loop)
{
    int least = send_buffer_allowed(0);

    if (send_buffer_allowed(3 * MUCH) < (int)(3 * MUCH)) {
        g_test_skip("the system allows no large buffers");
        return;
    }
    /* As large as what a direction may hold. */
    g_assert_cmpint(send_buffer_after(loop, MUCH, least, 2 * MUCH), ==, 2 * MUCH);
    g_assert_cmpint(send_buffer_after(loop, MUCH, least, 3 * MUCH), ==, 3 * MUCH);
    /* Never smaller than it was, and not for a little. */
    g_assert_cmpint(send_buffer_after(loop, MUCH, 3 * MUCH, 2 * MUCH), ==, 3 * MUCH);
    g_assert_cmpint(send_buffer_after(loop, MUCH - 1, least, 2 * MUCH), ==, least);
}

static void the_system_s_limit_makes_none_smaller(Loop *loop)
{
    const size_t limit = 1 << 28;
    int allowed = send_buffer_allowed(limit);
    int more = allowed + 65536;
    int fds[2];
    RelayLoop *relay_loop = relay_loop_get(loop->ctx);
    RelayFlow flow = { 0 };
    int source[2];
    int sent = 0;
    int size;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, source), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), ==, 0);
    more /= 2;
    if (setsockopt(fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &more, sizeof(more)) != 0 ||
        allowed >= (int)limit) {
        g_test_skip("there is no buffer beyond the system's limit");
    } else {
        size = send_buffer_of(fds[0]);
        g_assert_cmpint(size, >, allowed);
        send_zeros(source[0], &sent, (int)MUCH);
        relay_flow_pump(&flow, relay_loop, source[1], fds[0], limit);
        g_assert_true(flow.bulk);
        g_assert_cmpint(send_buffer_of(fds[0]), ==, size);
    }
    relay_flow_drop(&flow);
    relay_loop_put(relay_loop);
    for (int i = 0; i < 2; i++) {
        close(source[i]);
        close(fds[i]);
    }
}

static void tcp_keeps_its_own_measure(Loop *loop)
{
    int listener = relay_test_listen("tcp:127.0.0.1:0", 64);
    g_autofree char *target_address = relay_test_address_of(listener);
    RelayLoop *relay_loop = relay_loop_get(loop->ctx);
    RelayFlow flow = { 0 };
    const int little = 8192;
    int sink = relay_test_connect(target_address);
    int source[2];
    int before;
    int sent = 0;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, source), ==, 0);
    /* The kernel does not change it either from then on. */
    setsockopt(sink, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
    before = send_buffer_of(sink);
    g_assert_cmpint(before, <, send_buffer_allowed(RELAY_BUFFER_SIZE_MAX));
    send_zeros(source[0], &sent, (int)MUCH);
    relay_flow_pump(&flow, relay_loop, source[1], sink, RELAY_BUFFER_SIZE_MAX);
    g_assert_cmpuint(flow.bytes, ==, MUCH);
    g_assert_true(flow.bulk);
    g_assert_cmpint(send_buffer_of(sink), ==, before);
    relay_flow_drop(&flow);
    relay_loop_put(relay_loop);
    close(sink);
    close(source[0]);
    close(source[1]);
    close(listener);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("an urgent byte stops nothing", an_urgent_byte_stops_nothing);
    loop_test_add_aio_poll("without descriptors for pipes bytes are copied",
                           without_descriptors_for_pipes_bytes_are_copied);
    loop_test_add("who sends learns that nobody reads", who_sends_learns_that_nobody_reads);
    loop_test_add_aio_poll("much enlarges a unix socket's buffer",
                           much_enlarges_a_unix_socket_s_buffer);
    loop_test_add_aio_poll("the system's limit makes none smaller",
                           the_system_s_limit_makes_none_smaller);
    loop_test_add_aio_poll("tcp keeps its own measure", tcp_keeps_its_own_measure);
    return g_test_run();
}
