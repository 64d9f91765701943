/*
 * Checksummed traffic through a relay. All descriptors are polled by one thread.
 */
#include "config.h"
#include "tests/unit/relay-traffic.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/relay-fixture.h"

/* What a connection may have under way, and what it carries before it ends. */
#define WINDOW 300000
#define SHARE  700000

typedef struct Client {
    int fd;
    uint64_t sent;
    uint64_t received;
    uint64_t share;
    bool shut;
} Client;

/* The target's end: what was read and not sent back yet. */
typedef struct Echo {
    int fd;
    char data[65536];
    size_t begin, end;
    bool eof;
} Echo;

struct RelayTraffic {
    char *address;
    int listener;
    unsigned n;
    Client *clients;
    GPtrArray *echoes;
    char *pattern;
    uint32_t random;
    pthread_t thread;
    atomic_bool stop;
    atomic_bool over;
    _Atomic uint64_t bytes;
    _Atomic uint64_t ended;
};

/* The stream repeats itself after a length that nothing else has. */
#define PERIOD 65521

/* ---- clients ---- */

static void client_begin(RelayTraffic *traffic, Client *client)
{
    *client = (Client){ .fd = relay_test_connect(traffic->address) };
    client->share = 1 + test_random(&traffic->random) % SHARE;
}

static void client_send(RelayTraffic *traffic, Client *client)
{
    uint64_t offset = client->sent % PERIOD;
    uint64_t length = MIN(client->share - client->sent, PERIOD);
    ssize_t n;

    length = MIN(length, WINDOW - (client->sent - client->received));
    length = MIN(length, 1 + test_random(&traffic->random) % PERIOD);
    if (length > 0) {
        n = send(client->fd, traffic->pattern + offset, length, MSG_NOSIGNAL);
        g_assert_true(n > 0 || errno == EAGAIN);
        client->sent += n > 0 ? (uint64_t)n : 0;
    }
    if (client->sent == client->share && !client->shut) {
        g_assert_cmpint(shutdown(client->fd, SHUT_WR), ==, 0);
        client->shut = true;
    }
}

/* Returns whether the connection has ended. */
static bool client_receive(RelayTraffic *traffic, Client *client)
{
    char buffer[PERIOD];
    ssize_t n = recv(client->fd, buffer, sizeof(buffer), 0);

    if (n < 0) {
        g_assert_cmpint(errno, ==, EAGAIN);
        return false;
    }
    if (n == 0) {
        g_assert_true(client->shut);
        g_assert_cmpuint(client->received, ==, client->share);
        close(client->fd);
        client->fd = -1;
        atomic_fetch_add(&traffic->ended, 1);
        return true;
    }
    g_assert_cmpuint(client->received + (uint64_t)n, <=, client->sent);
    g_assert_true(memcmp(buffer, traffic->pattern + client->received % PERIOD, (size_t)n) == 0);
    client->received += (uint64_t)n;
    atomic_fetch_add(&traffic->bytes, (uint64_t)n);
    return false;
}

static void serve_client(RelayTraffic *traffic, Client *client, short revents)
{
    bool stop = atomic_load(&traffic->stop);

    if (stop && !client->shut) {
        client->share = MAX(client->sent, 1);
    }
    if (revents & POLLOUT || (stop && !client->shut)) {
        client_send(traffic, client);
    }
    if (revents & (POLLIN | POLLHUP | POLLERR) && client_receive(traffic, client) && !stop) {
        client_begin(traffic, client);
    }
}

static short client_events(const Client *client)
{
    bool may_send = !client->shut && client->sent - client->received < WINDOW;

    return (short)(POLLIN | (may_send ? POLLOUT : 0));
}

/* ---- the target ---- */

static void accept_all(RelayTraffic *traffic)
{
    int fd;

    while ((fd = accept4(traffic->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        Echo *echo = g_new(Echo, 1);

        echo->fd = fd;
        echo->begin = echo->end = 0;
        echo->eof = false;
        g_ptr_array_add(traffic->echoes, echo);
    }
}

/* Returns false when it has ended. */
static bool serve_echo(Echo *echo)
{
    ssize_t n;

    if (echo->begin == echo->end && !echo->eof) {
        n = recv(echo->fd, echo->data, sizeof(echo->data), 0);
        g_assert_true(n >= 0 || errno == EAGAIN);
        echo->eof = n == 0;
        echo->begin = 0;
        echo->end = n > 0 ? (size_t)n : 0;
    }
    if (echo->begin < echo->end) {
        n = send(echo->fd, echo->data + echo->begin, echo->end - echo->begin, MSG_NOSIGNAL);
        g_assert_true(n > 0 || errno == EAGAIN);
        echo->begin += n > 0 ? (size_t)n : 0;
    }
    if (echo->eof) {
        close(echo->fd);
        g_free(echo);
        return false;
    }
    return true;
}

/* ---- the thread ---- */

static size_t fill_poll_set(RelayTraffic *traffic, struct pollfd *fds)
{
    size_t n = 0;

    fds[n++] = (struct pollfd){ .fd = traffic->listener, .events = POLLIN };
    for (unsigned i = 0; i < traffic->n; i++) {
        fds[n++] = (struct pollfd){ .fd = traffic->clients[i].fd,
                                    .events = client_events(&traffic->clients[i]) };
    }
    for (unsigned i = 0; i < traffic->echoes->len; i++) {
        Echo *echo = g_ptr_array_index(traffic->echoes, i);

        fds[n++] =
            (struct pollfd){ .fd = echo->fd, .events = echo->begin < echo->end ? POLLOUT : POLLIN };
    }
    return n;
}

static bool is_over(RelayTraffic *traffic)
{
    if (!atomic_load(&traffic->stop)) {
        return false;
    }
    for (unsigned i = 0; i < traffic->n; i++) {
        if (traffic->clients[i].fd >= 0) {
            return false;
        }
    }
    return traffic->echoes->len == 0;
}

static void *traffic_thread(void *opaque)
{
    RelayTraffic *traffic = opaque;

    for (unsigned i = 0; i < traffic->n; i++) {
        client_begin(traffic, &traffic->clients[i]);
    }
    while (!is_over(traffic)) {
        g_autofree struct pollfd *fds = g_new(struct pollfd, 1 + traffic->n + traffic->echoes->len);
        size_t n_fds = fill_poll_set(traffic, fds);
        size_t n_echoes = n_fds - 1 - traffic->n;

        /* A stop is noticed at the next turn. */
        poll(fds, n_fds, 10);
        for (size_t i = n_echoes; i-- > 0;) {
            if (fds[1 + traffic->n + i].revents &&
                !serve_echo(g_ptr_array_index(traffic->echoes, (guint)i))) {
                g_ptr_array_remove_index_fast(traffic->echoes, (guint)i);
            }
        }
        for (unsigned i = 0; i < traffic->n; i++) {
            if (traffic->clients[i].fd >= 0) {
                serve_client(traffic, &traffic->clients[i], fds[1 + i].revents);
            }
        }
        accept_all(traffic);
    }
    atomic_store(&traffic->over, true);
    return NULL;
}

RelayTraffic *relay_traffic_start(const char *address, int listener, unsigned n)
{
    RelayTraffic *traffic = g_new0(RelayTraffic, 1);

    traffic->address = g_strdup(address);
    traffic->listener = listener;
    traffic->n = n;
    traffic->clients = g_new0(Client, n);
    traffic->echoes = g_ptr_array_new();
    traffic->random = 1;
    /* Twice, so that a period can be sent from any offset. */
    traffic->pattern = g_malloc(2 * PERIOD);
    for (size_t i = 0; i < PERIOD; i++) {
        traffic->pattern[i] = traffic->pattern[i + PERIOD] = (char)test_random(&traffic->random);
    }
    traffic->thread = test_thread_start(traffic_thread, traffic);
    return traffic;
}

uint64_t relay_traffic_bytes(RelayTraffic *traffic)
{
    return atomic_load(&traffic->bytes);
}

uint64_t relay_traffic_ended(RelayTraffic *traffic)
{
    return atomic_load(&traffic->ended);
}

int relay_traffic_is_over(RelayTraffic *traffic)
{
    atomic_store(&traffic->stop, true);
    return atomic_load(&traffic->over);
}

void relay_traffic_free(RelayTraffic *traffic)
{
    test_thread_join(traffic->thread);
    g_ptr_array_unref(traffic->echoes);
    g_free(traffic->clients);
    g_free(traffic->pattern);
    g_free(traffic->address);
    g_free(traffic);
}
