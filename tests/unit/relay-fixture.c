/*
 * The fixture of the relay's tests.
 */
#include "config.h"
#include "tests/unit/relay-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "objects/relay/relay-address.h"

/* ---- events ---- */

static void connected(void *opaque, const RelayConnectionInfo *info)
{
    RelayTest *test = opaque;

    g_assert_nonnull(info->client);
    g_ptr_array_add(test->events,
                    g_strdup_printf("connected %" G_GUINT64_FORMAT " %s", info->id, info->target));
}

static void disconnected(void *opaque, const RelayConnectionInfo *info)
{
    RelayTest *test = opaque;

    g_assert_cmpint(info->duration_ns, >, 0);
    g_ptr_array_add(test->events, g_strdup_printf("disconnected %" G_GUINT64_FORMAT
                                                  " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %s",
                                                  info->id, info->bytes_in, info->bytes_out,
                                                  relay_cause_name(info->cause)));
}

static void target_down(void *opaque, const char *target, const char *reason)
{
    RelayTest *test = opaque;

    g_assert_cmpstr(reason, !=, "");
    g_ptr_array_add(test->events, g_strdup_printf("down %s", target));
}

static void target_up(void *opaque, const char *target)
{
    RelayTest *test = opaque;

    g_ptr_array_add(test->events, g_strdup_printf("up %s", target));
}

static const RelayEvents events = { connected, disconnected, target_down, target_up };

void relay_test_wait_events(RelayTest *test, unsigned n)
{
    relay_test_wait_for(test, test->events->len >= n);
    g_assert_cmpuint(test->events->len, ==, n);
}

/* ---- life ---- */

void relay_test_init(RelayTest *test, Loop *loop)
{
    g_autoptr(GError) err = NULL;

    signal(SIGPIPE, SIG_IGN);
    *test = (RelayTest){ .loop = loop };
    test->folder = g_dir_make_tmp("relay-test-XXXXXX", &err);
    g_assert_no_error(err);
    test->events = g_ptr_array_new_with_free_func(g_free);
    test->setup = (RelaySetup){
        .owner = loop->ctx,
        .listen = relay_test_unix(test, "relay"),
        .listen_fd = -1,
        .contexts = &loop->ctx,
        .n_contexts = 1,
        .params = {
            .buffer_size = RELAY_BUFFER_SIZE_DEFAULT,
            .connect_timeout_ms = RELAY_CONNECT_TIMEOUT_MS_DEFAULT,
            .target_retry_ms = RELAY_TARGET_RETRY_MS_DEFAULT,
        },
        .events = &events,
        .opaque = test,
    };
}

void relay_test_clear(RelayTest *test)
{
    if (test->relay) {
        relay_test_delete(test, 0);
    }
    g_assert_cmpint(g_rmdir(test->folder), ==, 0);
    g_free(test->folder);
    g_ptr_array_unref(test->events);
}

void relay_test_start(RelayTest *test, const char *const *targets)
{
    g_autoptr(GError) err = NULL;

    test->setup.targets = targets;
    test->relay = relay_new(&test->setup, &err);
    g_assert_no_error(err);
    g_assert_nonnull(test->relay);
}

void relay_test_start_one(RelayTest *test, const char *target)
{
    const char *const targets[] = { target, NULL };

    relay_test_start(test, targets);
}

static void deleted(void *opaque)
{
    RelayTest *test = opaque;

    test->deleted = true;
    test->relay = NULL;
}

void relay_test_delete(RelayTest *test, int64_t drain_timeout_ms)
{
    test->deleted = false;
    relay_delete(test->relay, drain_timeout_ms, deleted, test);
    relay_test_wait_for(test, test->deleted);
}

RelayStats relay_test_stats(RelayTest *test)
{
    RelayStats stats;

    relay_get_stats(test->relay, &stats);
    return stats;
}

/* ---- sockets ---- */

const char *relay_test_unix(RelayTest *test, const char *name)
{
    g_autofree char *text = g_strdup_printf("unix:%s/%s", test->folder, name);

    return g_intern_string(text);
}

static int test_socket(const char *address, RelaySockaddr *sockaddr)
{
    g_autoptr(GError) err = NULL;
    RelayAddress parsed;
    int fd;

    g_assert_true(relay_address_parse(&parsed, address, RELAY_ADDRESS_LISTEN, &err));
    *sockaddr = parsed.sockaddr;
    relay_address_clear(&parsed);
    fd = socket(sockaddr->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

int relay_test_listen(const char *address, int backlog)
{
    RelaySockaddr sockaddr;
    int fd = test_socket(address, &sockaddr);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&sockaddr.storage, sockaddr.length), ==, 0);
    g_assert_cmpint(listen(fd, backlog), ==, 0);
    return fd;
}

char *relay_test_address_of(int fd)
{
    RelaySockaddr sockaddr = { .length = sizeof(sockaddr.storage) };

    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&sockaddr.storage, &sockaddr.length), ==, 0);
    return relay_sockaddr_to_text(&sockaddr);
}

int relay_test_connect(const char *address)
{
    RelaySockaddr sockaddr;
    int fd = test_socket(address, &sockaddr);

    if (connect(fd, (struct sockaddr *)&sockaddr.storage, sockaddr.length) != 0) {
        g_assert_cmpint(errno, ==, EINPROGRESS);
    }
    return fd;
}

int relay_test_client(RelayTest *test)
{
    return relay_test_connect(relay_get_address(test->relay));
}

int relay_test_accept(RelayTest *test, int listener)
{
    int fd;

    relay_test_wait_for(test, (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    return fd;
}

void relay_test_pair(RelayTest *test, int listener, int *client, int *target)
{
    *client = relay_test_client(test);
    *target = relay_test_accept(test, listener);
}

void relay_test_expect(RelayTest *test, int fd, const char *text, bool end)
{
    char buffer[256];
    size_t length = 0;

    while (length < strlen(text)) {
        ssize_t n = recv(fd, buffer + length, sizeof(buffer) - length, 0);

        if (n < 0) {
            g_assert_cmpint(errno, ==, EAGAIN);
            loop_pass(test->loop, false);
            continue;
        }
        g_assert_cmpint(n, >, 0);
        length += (size_t)n;
    }
    g_assert_cmpmem(buffer, length, text, strlen(text));
    if (end) {
        g_assert_cmpint(relay_test_end_of(test, fd), ==, 0);
    }
}

int relay_test_end_of(RelayTest *test, int fd)
{
    char byte;
    ssize_t n;

    relay_test_wait_for(test, (n = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
    g_assert_cmpint(n, <=, 0);
    return n < 0 ? errno : 0;
}
