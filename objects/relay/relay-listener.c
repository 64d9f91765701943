/*
 * The listening socket of a relay.
 *
 * It accepts what is there, and deals the clients out to the workers in turn. When the process or
 * the system is out of descriptors, a waiting client can't be accepted and keeps the socket
 * readable; the listener then rests for a while instead of spinning.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const int64_t rest_ns = 100 * SCALE_MS;

/* As many clients are accepted before others get their turn. */
#define MAX_ACCEPTS 64

/* ---- making the socket ---- */

static bool set_error(GError **errp, const char *address, const char *what, int error)
{
    g_set_error(errp, RELAY_ERROR, RELAY_ERROR_SYSTEM, "can't listen on '%s': %s%s", address, what,
                g_strerror(error));
    return false;
}

static bool set_invalid(GError **errp, const char *address, const char *what)
{
    g_set_error(errp, RELAY_ERROR, RELAY_ERROR_INVALID, "can't listen on '%s': %s", address, what);
    return false;
}

/* Whether @address is the path of a unix socket that nobody listens on any more. */
static bool is_stale(const RelayAddress *address)
{
    struct stat st;
    bool refused;
    int fd;

    if (address->kind != RELAY_ADDRESS_UNIX || lstat(address->host, &st) != 0 ||
        !S_ISSOCK(st.st_mode)) {
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    refused = connect(fd, (const struct sockaddr *)&address->sockaddr.storage,
                      address->sockaddr.length) != 0 &&
              errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static bool bind_to(int fd, const RelayAddress *address, GError **errp)
{
    const struct sockaddr *sockaddr = (const struct sockaddr *)&address->sockaddr.storage;
    int error;

    if (bind(fd, sockaddr, address->sockaddr.length) == 0) {
        return true;
    }
    error = errno;
    if (error == EADDRINUSE && is_stale(address) && unlink(address->host) == 0 &&
        bind(fd, sockaddr, address->sockaddr.length) == 0) {
        return true;
    }
    return set_error(errp, address->text, "", error);
}

/* What "tcp::PORT" and "tcp:*:PORT" stand for: all addresses, of IPv6 too where there is that. */
static bool set_any_host(RelayAddress *address)
{
    uint16_t port = (uint16_t)atoi(address->port);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(&address->sockaddr, 0, sizeof(address->sockaddr));
    if (fd >= 0) {
        struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&address->sockaddr.storage;

        close(fd);
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(port);
        address->sockaddr.length = sizeof(*sin6);
    } else {
        struct sockaddr_in *sin = (struct sockaddr_in *)&address->sockaddr.storage;

        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
        address->sockaddr.length = sizeof(*sin);
    }
    return true;
}

static bool set_host(RelayAddress *address, GError **errp)
{
    if (address->kind != RELAY_ADDRESS_TCP || address->sockaddr.length > 0) {
        return true;
    }
    if (address->host[0] == '\0' || g_str_equal(address->host, "*")) {
        return set_any_host(address);
    }
    if (g_str_equal(address->host, "localhost")) {
        struct sockaddr_in *sin = (struct sockaddr_in *)&address->sockaddr.storage;

        sin->sin_family = AF_INET;
        sin->sin_port = htons((uint16_t)atoi(address->port));
        sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address->sockaddr.length = sizeof(*sin);
        return true;
    }
    /* A look-up would block the main loop. */
    return set_invalid(errp, address->text,
                       "the host is a name, expected an IP address, 'localhost' or '*'");
}

/* Open, bind and listen. Returns the descriptor, or -1 and @errp. */
static int open_address(const RelayAddress *address, GError **errp)
{
    static const int on = 1;
    int family = address->sockaddr.storage.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        set_error(errp, address->text, "", errno);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!bind_to(fd, address, errp)) {
        close(fd);
        return -1;
    }
    if (listen(fd, SOMAXCONN) != 0) {
        set_error(errp, address->text, "", errno);
        close(fd);
        return -1;
    }
    return fd;
}

static bool get_option(int fd, int option, int *value)
{
    socklen_t length = sizeof(*value);

    return getsockopt(fd, SOL_SOCKET, option, value, &length) == 0;
}

/* Whether @fd, which was handed to us, is a stream socket that listens. */
static bool check_fd(int fd, const char *text, GError **errp)
{
    int type;
    int listens;
    int flags;

    if (fd < 0) {
        return set_invalid(errp, text, "there is no descriptor of that name");
    }
    if (!get_option(fd, SO_TYPE, &type) || !get_option(fd, SO_ACCEPTCONN, &listens)) {
        return set_error(errp, text, "the descriptor is no socket: ", errno);
    }
    if (type != SOCK_STREAM || !listens) {
        return set_invalid(errp, text, "the descriptor is no stream socket that listens");
    }
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        return set_error(errp, text, "", errno);
    }
    return true;
}

RelayListener *relay_listener_new(Relay *relay, const RelayAddress *address, int fd, GError **errp)
{
    static const int on = 1;
    RelayAddress own = *address;
    RelayListener *listener;

    if (address->kind == RELAY_ADDRESS_FD) {
        if (!check_fd(fd, address->text, errp)) {
            return NULL;
        }
    } else {
        if (!set_host(&own, errp)) {
            return NULL;
        }
        fd = open_address(&own, errp);
        if (fd < 0) {
            return NULL;
        }
    }
    /* Those that are accepted inherit it; on other sockets it does nothing. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    listener = g_new0(RelayListener, 1);
    listener->relay = relay;
    listener->fd = fd;
    if (address->kind == RELAY_ADDRESS_UNIX && address->host[0] != '@') {
        listener->path = g_strdup(address->host);
    }
    return listener;
}

void relay_listener_free(RelayListener *listener, bool close_fd)
{
    if (listener->path) {
        unlink(listener->path);
    }
    if (close_fd) {
        close(listener->fd);
    }
    g_free(listener->path);
    g_free(listener);
}

/* ---- accepting ---- */

static void listener_watch(RelayListener *listener);

static void rest_is_over(void *opaque)
{
    listener_watch(opaque);
}

static void rest(RelayListener *listener, int error)
{
    relay_count(&listener->counters.errors[RELAY_CAUSE_ACCEPT], 1);
    if (!listener->resting) {
        g_warning("%s: can't accept clients for now: %s", listener->relay->address,
                  g_strerror(error));
        listener->resting = true;
    }
    aio_set_fd_handler(listener->workers[0]->ctx, listener->fd, NULL, NULL, NULL, NULL, NULL);
    timer_mod_ns(&listener->timer, relay_now_ns() + rest_ns);
}

static void turn_away(RelayListener *listener, int fd)
{
    static const struct linger at_once = { .l_onoff = 1 };

    relay_count(&listener->counters.refused, 1);
    relay_count(&listener->counters.errors[RELAY_CAUSE_LIMIT], 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
}

static void welcome(RelayListener *listener, int fd)
{
    RelayWorker *worker = listener->workers[listener->next_worker];
    int64_t limit = relay_param(&listener->relay->max_connections);

    /* Relaxed: only the listener adds. */
    if (limit > 0 && atomic_load_explicit(&listener->relay->n_connections, memory_order_relaxed) >=
                         (uint64_t)limit) {
        turn_away(listener, fd);
        return;
    }
    listener->next_worker = (listener->next_worker + 1) % listener->n_workers;
    relay_count(&listener->counters.total_connections, 1);
    if (worker == listener->workers[0]) {
        relay_worker_adopt(relay_connection_new(worker, fd));
    } else {
        aio_bh_schedule_oneshot(worker->ctx, relay_worker_adopt, relay_connection_new(worker, fd));
    }
}

static void relay_accept(void *opaque)
{
    RelayListener *listener = opaque;

    for (int i = 0; i < MAX_ACCEPTS; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            listener->resting = false;
            welcome(listener, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) {
            /* That client has gone again. */
            relay_count(&listener->counters.errors[RELAY_CAUSE_ACCEPT], 1);
        } else {
            rest(listener, errno);
            return;
        }
    }
}

static void listener_watch(RelayListener *listener)
{
    const char *name = listener->relay->names.accept;

    aio_set_fd_handler_full(listener->workers[0]->ctx, listener->fd, relay_accept, NULL, NULL, NULL,
                            listener, name, NULL);
}

void relay_listener_attach(RelayListener *listener, RelayWorker *const *workers, size_t n)
{
    listener->workers = workers;
    listener->n_workers = n;
    listener->next_worker = 0;
    aio_timer_init_full(workers[0]->ctx, &listener->timer, QEMU_CLOCK_REALTIME, SCALE_NS,
                        rest_is_over, listener, listener->relay->names.rest);
    /* A rest ends with a move. */
    listener_watch(listener);
}

void relay_listener_detach(RelayListener *listener)
{
    aio_set_fd_handler(listener->workers[0]->ctx, listener->fd, NULL, NULL, NULL, NULL, NULL);
    timer_deinit(&listener->timer);
}
