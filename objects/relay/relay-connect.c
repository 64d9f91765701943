/*
 * Connecting to a target: the one whose turn it is, else the next, those that are down last.
 *
 * Most connects succeed or fail at once. What does not is watched for writing; what the kernel will
 * not announce (a unix socket whose backlog is full, a shortage of descriptors) is tried again
 * after a while. The worker's connect timeout ends both, and a look-up.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const int64_t first_retry_ns = 1 * SCALE_MS;
static const int64_t longest_retry_ns = 100 * SCALE_MS;

typedef enum {
    TRY_CONNECTED,
    TRY_PENDING,
    TRY_FAILED,
} TryResult;

static void advance(RelayConnection *connection);

/* ---- one target's health ---- */

static void target_answered(Relay *relay, RelayTarget *target)
{
    /* Relaxed: a target that is up is up, whoever found out. */
    if (atomic_load_explicit(&target->down_until_ns, memory_order_relaxed) != 0 &&
        atomic_exchange_explicit(&target->down_until_ns, 0, memory_order_relaxed) != 0) {
        relay_tell_target(relay, target, NULL);
    }
}

/* Go on to the next target, for this one failed. */
static void target_failed(RelayConnection *connection, RelayCause cause, const char *reason)
{
    RelayConnect *connect = connection->connect;
    RelayTarget *target = g_steal_pointer(&connection->target);
    Relay *relay = connection->worker->relay;
    int64_t until = relay_now_ns() + relay_param(&relay->target_retry_ms) * SCALE_MS;

    connect->cause = cause;
    connect->n_addresses = 0;
    g_clear_pointer(&connect->addresses, g_free);
    if (cause != RELAY_CAUSE_SYSTEM &&
        atomic_exchange_explicit(&target->down_until_ns, until, memory_order_relaxed) == 0) {
        relay_tell_target(relay, target, reason);
    }
}

/* ---- one address ---- */

static RelayCause cause_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ENOENT:
        return RELAY_CAUSE_REFUSED;
    case ETIMEDOUT:
        return RELAY_CAUSE_CONNECT_TIMEOUT;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return RELAY_CAUSE_SYSTEM;
    default:
        return RELAY_CAUSE_CONNECT;
    }
}

static void drop_socket(RelayConnection *connection)
{
    if (connection->fd[RELAY_TARGET] >= 0) {
        relay_connection_set_events(connection, RELAY_TARGET, 0);
        close(connection->fd[RELAY_TARGET]);
        connection->fd[RELAY_TARGET] = -1;
    }
}

static void retry(void *opaque)
{
    RelayConnection *connection = opaque;

    connection->connect->retrying = false;
    advance(connection);
}

static TryResult retry_later(RelayConnection *connection)
{
    RelayConnect *connect = connection->connect;

    if (!connect->has_timer) {
        aio_timer_init_full(connection->worker->ctx, &connect->timer, QEMU_CLOCK_REALTIME, SCALE_NS,
                            retry, connection, connection->worker->relay->names.retry);
        connect->has_timer = true;
    }
    connect->retrying = true;
    connect->retry_ns = CLAMP(connect->retry_ns * 2, first_retry_ns, longest_retry_ns);
    timer_mod_ns(&connect->timer, relay_now_ns() + connect->retry_ns);
    return TRY_PENDING;
}

static TryResult address_failed(RelayConnection *connection, int error)
{
    RelayConnect *connect = connection->connect;

    drop_socket(connection);
    if (++connect->next_address < connect->n_addresses) {
        return TRY_FAILED;
    }
    target_failed(connection, cause_of(error), g_strerror(error));
    return TRY_FAILED;
}

static const RelaySockaddr *present_address(RelayConnection *connection)
{
    RelayConnect *connect = connection->connect;

    return connect->addresses ? &connect->addresses[connect->next_address]
                              : &connection->target->address.sockaddr;
}

static TryResult open_socket(RelayConnection *connection, int family)
{
    static const int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    connection->connect->is_short = fd < 0 && cause_of(errno) == RELAY_CAUSE_SYSTEM;
    if (fd < 0) {
        return connection->connect->is_short ? retry_later(connection)
                                             : address_failed(connection, errno);
    }
    if (family == AF_INET || family == AF_INET6) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    connection->fd[RELAY_TARGET] = fd;
    return TRY_CONNECTED;
}

/* Have it told when the socket has been connected. That can fail only because the user's share of
 * epoll is used up, or memory is, so it is tried again. */
static TryResult wait_for_answer(RelayConnection *connection)
{
    connection->connect->is_short =
        !relay_connection_set_events(connection, RELAY_TARGET, EPOLLOUT);
    return connection->connect->is_short ? retry_later(connection) : TRY_PENDING;
}

static TryResult try_address(RelayConnection *connection)
{
    const RelaySockaddr *address = present_address(connection);
    const struct sockaddr *sockaddr = (const struct sockaddr *)&address->storage;
    int fd;
    int r;

    if (connection->fd[RELAY_TARGET] < 0) {
        TryResult result = open_socket(connection, sockaddr->sa_family);

        if (result != TRY_CONNECTED) {
            return result;
        }
    }
    fd = connection->fd[RELAY_TARGET];
    r = connect(fd, sockaddr, address->length);
    if (r != 0 && errno == EINPROGRESS) {
        /* Over the loopback device the answer is here already. */
        r = connect(fd, sockaddr, address->length);
    }
    if (r == 0 || errno == EISCONN) {
        return TRY_CONNECTED;
    }
    if (errno == EALREADY || errno == EINPROGRESS || errno == EINTR) {
        return wait_for_answer(connection);
    }
    return errno == EAGAIN ? retry_later(connection) : address_failed(connection, errno);
}

/* ---- in turn ---- */

/* The next target to try, or NULL when all failed. */
static RelayTarget *choose_target(RelayConnection *connection)
{
    RelayConnect *connect = connection->connect;
    RelayTargets *targets = connection->targets;
    int64_t now = relay_now_ns();

    for (;;) {
        for (unsigned i = 0; i < targets->n; i++) {
            unsigned index = (connect->first + i) % targets->n;
            RelayTarget *target = &targets->target[index];

            if (!connect->tried[index] &&
                (connect->desperate || !relay_target_is_down(target, now))) {
                connect->tried[index] = true;
                return target;
            }
        }
        if (connect->desperate) {
            return NULL;
        }
        connect->desperate = true;
    }
}

/* The time for an answer begins. */
static void begin_time(RelayConnection *connection)
{
    connection->connect->retry_ns = 0;
    relay_worker_remove(connection->worker, connection);
    relay_worker_add(connection->worker, connection);
}

/* Begin with the next target. False when there is none, and the connection is closed. */
static bool next_target(RelayConnection *connection)
{
    RelayConnect *connect = connection->connect;

    connection->target = choose_target(connection);
    if (!connection->target) {
        relay_connection_close(connection, connect->cause);
        return false;
    }
    connect->next_address = 0;
    begin_time(connection);
    if (connection->target->address.is_name) {
        connect->resolve = relay_resolve_start(connection, &connection->target->address);
    } else {
        connect->n_addresses = 1;
    }
    return true;
}

static void advance(RelayConnection *connection)
{
    RelayConnect *connect = connection->connect;

    for (;;) {
        if (!connection->target && !next_target(connection)) {
            return;
        }
        if (connect->resolve) {
            return;
        }
        switch (try_address(connection)) {
        case TRY_CONNECTED:
            target_answered(connection->worker->relay, connection->target);
            relay_connection_established(connection);
            return;
        case TRY_PENDING:
            return;
        case TRY_FAILED:
            break;
        }
    }
}

void relay_connect_begin(RelayConnection *connection)
{
    Relay *relay = connection->worker->relay;
    RelayTargets *targets;

    pthread_mutex_lock(&relay->lock);
    targets = relay_targets_ref(relay->targets);
    pthread_mutex_unlock(&relay->lock);
    connection->targets = targets;
    connection->connect = g_malloc0(sizeof(RelayConnect) + targets->n * sizeof(bool));
    /* Relaxed: only whose turn it is. */
    connection->connect->first =
        atomic_fetch_add_explicit(&targets->next, 1, memory_order_relaxed) % targets->n;
    relay_worker_add(connection->worker, connection);
    advance(connection);
}

void relay_connect_timed_out(RelayConnection *connection)
{
    RelayConnect *connect = connection->connect;

    if (connect->is_short) {
        /* Another target would not help, and this one is not to blame. */
        relay_connection_close(connection, RELAY_CAUSE_SYSTEM);
        return;
    }
    relay_connect_unwatch(connection);
    drop_socket(connection);
    connect->retrying = false;
    if (connect->resolve) {
        relay_resolve_abandon(connection->worker->relay, g_steal_pointer(&connect->resolve));
    }
    if (connect->next_address + 1 < connect->n_addresses) {
        connect->next_address++;
        begin_time(connection);
    } else {
        target_failed(connection, RELAY_CAUSE_CONNECT_TIMEOUT, "it did not answer in time");
    }
    advance(connection);
}

void relay_connect_resolved(RelayConnection *connection, RelaySockaddr *addresses, unsigned n,
                            RelayCause cause, const char *reason)
{
    RelayConnect *connect = connection->connect;

    connect->resolve = NULL;
    if (n == 0) {
        target_failed(connection, cause, reason);
    } else {
        connect->addresses = addresses;
        connect->n_addresses = n;
    }
    advance(connection);
}

/* Something may have happened: the socket is writable, or was while nobody looked. */
void relay_connect_watch(RelayConnection *connection)
{
    RelayConnect *connect = connection->connect;
    socklen_t length = sizeof(int);
    int error = 0;

    if (connect->resolve) {
        return;
    }
    if (connect->retrying) {
        retry_later(connection);
        return;
    }
    if (connection->fd[RELAY_TARGET] >= 0 &&
        getsockopt(connection->fd[RELAY_TARGET], SOL_SOCKET, SO_ERROR, &error, &length) == 0 &&
        error != 0) {
        address_failed(connection, error);
    }
    advance(connection);
}

void relay_connect_unwatch(RelayConnection *connection)
{
    RelayConnect *connect = connection->connect;

    if (connect->has_timer) {
        timer_deinit(&connect->timer);
        connect->has_timer = false;
    }
}

void relay_connect_free(RelayConnection *connection)
{
    RelayConnect *connect = g_steal_pointer(&connection->connect);

    if (!connect) {
        return;
    }
    if (connect->resolve) {
        relay_resolve_abandon(connection->worker->relay, connect->resolve);
    }
    if (connect->has_timer) {
        timer_deinit(&connect->timer);
    }
    g_free(connect->addresses);
    g_free(connect);
}
