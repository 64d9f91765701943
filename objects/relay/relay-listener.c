/*
 * The listening socket of a relay.
 *
 * It accepts what is there, and deals the clients out to the workers in turn.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qmp/qmp-log-limit.h"
#include "sockets/listening-socket.h"

/* ---- making the socket ---- */

static bool set_invalid(GError **errp, const char *what)
{
    g_set_error_literal(errp, RELAY_ERROR, RELAY_ERROR_INVALID, what);
    return false;
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
    return set_invalid(errp, "the host is a name, expected an IP address, 'localhost' or '*'");
}

/* Listen at a path, which may hold the main loop for a while: see unix_socket_listen(). */
static bool open_path(RelayListener *listener, const char *path, GError **errp)
{
    listener->file = unix_socket_listen(path, UNIX_SOCKET_ANY_MODE, UNIX_SOCKET_ANY_GROUP, errp);
    if (!listener->file) {
        return false;
    }
    listener->fd = unix_socket_take_fd(listener->file);
    return true;
}

static bool open_address(RelayListener *listener, const RelayAddress *address, GError **errp)
{
    RelayAddress own = *address;

    if (address->kind == RELAY_ADDRESS_UNIX && address->host[0] != '@') {
        return open_path(listener, address->host, errp);
    }
    if (!set_host(&own, errp)) {
        return false;
    }
    listener->fd = listening_socket_open((const struct sockaddr *)&own.sockaddr.storage,
                                         own.sockaddr.length, errp);
    return listener->fd >= 0;
}

/* The socket of a relay that was frozen. A unix socket's file has to be there still; @frozen keeps
 * all until relay_listener_own(). */
static bool take_frozen(RelayListener *listener, const RelayAddress *address,
                        const RelayFrozen *frozen)
{
    bool has_path = address->kind == RELAY_ADDRESS_UNIX && address->host[0] != '@';

    if (!frozen || frozen->listen_fd < 0 || (has_path && !frozen->file) ||
        !listening_socket_adopt(frozen->listen_fd, NULL)) {
        return false;
    }
    if (address->kind != RELAY_ADDRESS_FD) {
        /* Who asks a unix socket which process listens on it is to be told of this one. */
        listen(frozen->listen_fd, SOMAXCONN);
    }
    listener->fd = frozen->listen_fd;
    return true;
}

/* The socket that was handed to us. */
static bool take_fd(RelayListener *listener, int fd, GError **errp)
{
    listener->fd = fd;
    return fd >= 0 ? listening_socket_adopt(fd, errp)
                   : set_invalid(errp, "there is no descriptor of that name");
}

static void accepted(void *opaque, int fd);
static void failed(void *opaque, int error, bool begins_to_rest);
static void shut_down(void *opaque);

static const AcceptorOps acceptor_ops = {
    .name = "relay_accept",
    .max_accepts = 64,
    .accepted = accepted,
    .failed = failed,
    .shut_down = shut_down,
};

static bool get_socket(RelayListener *listener, const RelayAddress *address, int fd,
                       const RelayFrozen *frozen, GError **errp)
{
    if (take_frozen(listener, address, frozen)) {
        listener->is_borrowed = true;
        return true;
    }
    if (address->kind == RELAY_ADDRESS_FD) {
        listener->is_borrowed = true;
        return take_fd(listener, fd, errp);
    }
    return open_address(listener, address, errp);
}

RelayListener *relay_listener_new(Relay *relay, const RelayAddress *address, int fd,
                                  const RelayFrozen *frozen, GError **errp)
{
    static const int on = 1;
    RelayListener *listener = g_new0(RelayListener, 1);

    if (!get_socket(listener, address, fd, frozen, errp)) {
        g_prefix_error(errp, "can't listen on '%s': ", address->text);
        g_free(listener);
        return NULL;
    }
    /* Those that are accepted inherit it; on other sockets it does nothing. */
    setsockopt(listener->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    listener->relay = relay;
    acceptor_init(&listener->acceptor, listener->fd, &acceptor_ops, listener);
    listener->acceptor.name = relay->names.accept;
    return listener;
}

void relay_listener_own(RelayListener *listener, RelayFrozen *frozen)
{
    listener->is_borrowed = false;
    if (frozen && frozen->listen_fd == listener->fd) {
        listener->file = g_steal_pointer(&frozen->file);
        frozen->listen_fd = -1;
    }
}

void relay_listener_freeze(RelayListener *listener, RelayFrozen *frozen)
{
    frozen->listen_fd = listener->fd;
    frozen->file = listener->file;
    g_free(listener);
}

void relay_listener_free(RelayListener *listener)
{
    g_clear_pointer(&listener->file, unix_socket_remove);
    if (!listener->is_borrowed) {
        close(listener->fd);
    }
    g_free(listener);
}

/* ---- accepting ---- */

/* A line at first, and then one in a while for all that there were. */
static void log_turned_away(RelayListener *listener, int fd, int64_t limit)
{
    int64_t now = relay_now_ns();
    QmpPeer peer;
    const QmpLogFields fields = {
        .object = listener->relay->id,
        .socket = listener->relay->address,
        .peer = &peer,
        .count = ++listener->turned_away,
    };

    if (now >= listener->next_log_ns) {
        qmp_peer_read(&peer, fd);
        qmp_log(QMP_LOG_CLIENT_TURNED_AWAY, &fields,
                "%s: clients turned away: %u, for there are %" G_GINT64_FORMAT
                " connections already",
                listener->relay->address, listener->turned_away, limit);
        listener->next_log_ns = now + QMP_LOG_PERIOD_NS;
        listener->turned_away = 0;
    }
}

static void turn_away(RelayListener *listener, int fd, int64_t limit)
{
    static const struct linger at_once = { .l_onoff = 1 };

    log_turned_away(listener, fd, limit);
    relay_count(&listener->counters.refused, 1);
    relay_count(&listener->counters.errors[RELAY_CAUSE_LIMIT], 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
}

static void accepted(void *opaque, int fd)
{
    RelayListener *listener = opaque;
    RelayWorker *worker = listener->workers[listener->next_worker];
    int64_t limit = relay_param(&listener->relay->max_connections);

    /* Relaxed: only the listener adds. */
    if (limit > 0 && atomic_load_explicit(&listener->relay->n_connections, memory_order_relaxed) >=
                         (uint64_t)limit) {
        turn_away(listener, fd, limit);
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

static void failed(void *opaque, int error, bool begins_to_rest)
{
    RelayListener *listener = opaque;

    relay_count(&listener->counters.errors[RELAY_CAUSE_ACCEPT], 1);
    if (begins_to_rest) {
        const QmpLogFields fields = {
            .object = listener->relay->id,
            .socket = listener->relay->address,
            .reason = g_strerror(error),
        };

        qmp_log(QMP_LOG_ACCEPT_PAUSED, &fields, "%s: can't accept clients for now: %s",
                listener->relay->address, fields.reason);
    }
}

static void shut_down(void *opaque)
{
    RelayListener *listener = opaque;
    const QmpLogFields fields = {
        .object = listener->relay->id,
        .socket = listener->relay->address,
    };

    qmp_log(QMP_LOG_SOCKET_SHUT_DOWN, &fields,
            "%s: no client can connect any more, for it has been shut down",
            listener->relay->address);
}

void relay_listener_attach(RelayListener *listener, RelayWorker *const *workers, size_t n)
{
    listener->workers = workers;
    listener->n_workers = n;
    listener->next_worker = 0;
    /* A rest ends with a move. */
    acceptor_start(&listener->acceptor, workers[0]->ctx);
}

void relay_listener_detach(RelayListener *listener)
{
    acceptor_stop(&listener->acceptor);
}
