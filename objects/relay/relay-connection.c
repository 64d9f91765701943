/*
 * A connection: two descriptors, a flow each way, and what their readiness leads to.
 *
 * A descriptor is watched for reading while its flow has room, and for writing while the other flow
 * holds something, so that handlers change only when a receiver is slower than its sender.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- watching ---- */

bool relay_connection_set_events(RelayConnection *connection, int side, uint8_t events)
{
    if (connection->watched[side] != events) {
        if (!relay_worker_set_events(connection->worker, connection, side, events)) {
            return false;
        }
        connection->watched[side] = events;
    }
    return true;
}

/* False, and the connection is closed, when the system refuses. */
static bool update_events(RelayConnection *connection)
{
    size_t limit = (size_t)relay_param(&connection->worker->relay->buffer_size);

    for (int side = 0; side < 2; side++) {
        const RelayFlow *from = &connection->flow[side];
        const RelayFlow *to = &connection->flow[1 - side];
        uint8_t events = (uint8_t)((relay_flow_wants(from, limit) ? EPOLLIN : 0) |
                                   (to->held > 0 ? EPOLLOUT : 0));

        if (!relay_connection_set_events(connection, side, events)) {
            relay_connection_close(connection, RELAY_CAUSE_SYSTEM);
            return false;
        }
    }
    return true;
}

void relay_connection_watch(RelayConnection *connection)
{
    if (connection->connect) {
        relay_connect_watch(connection);
    } else {
        update_events(connection);
    }
}

void relay_connection_unwatch(RelayConnection *connection)
{
    if (connection->connect) {
        relay_connect_unwatch(connection);
    }
    for (int side = 0; side < 2; side++) {
        if (connection->fd[side] >= 0) {
            relay_connection_set_events(connection, side, 0);
        }
    }
}

/* ---- copying ---- */

/* Pass the end of @direction on, when all that came before it is written. */
static void pass_end_on(RelayConnection *connection, int direction)
{
    RelayFlow *flow = &connection->flow[direction];

    if (!flow->eof || flow->held > 0 || flow->done) {
        return;
    }
    flow->done = true;
    /* When this is the second end, closing says the same. */
    if (!connection->flow[1 - direction].done) {
        shutdown(connection->fd[1 - direction], SHUT_WR);
    }
}

/* The receiver takes no more. What it has sent before is passed on still. */
static void give_up(RelayConnection *connection, int direction)
{
    RelayFlow *flow = &connection->flow[direction];

    /* Who sends to a unix socket then learns it too, as without a relay. */
    shutdown(connection->fd[direction], SHUT_RD);
    relay_flow_drop(flow);
    flow->eof = true;
    flow->done = true;
    connection->reset = true;
}

/* Returns false when the connection is closed. */
static bool pump(RelayConnection *connection, int direction)
{
    RelayWorker *worker = connection->worker;
    RelayFlow *flow = &connection->flow[direction];
    uint64_t bytes = flow->bytes;
    uint32_t held = flow->held;

    switch (relay_flow_pump(flow, worker->loop, connection->fd[direction],
                            connection->fd[1 - direction],
                            (size_t)relay_param(&worker->relay->buffer_size))) {
    case FLOW_SOURCE_FAILED:
        relay_count(&worker->counters.bytes[direction], flow->bytes - bytes);
        relay_connection_close(connection, RELAY_CAUSE_RESET);
        return false;
    case FLOW_SINK_FAILED:
        give_up(connection, direction);
        break;
    case FLOW_GOES_ON:
        pass_end_on(connection, direction);
        break;
    }
    if (flow->bytes != bytes || flow->held != held) {
        relay_count(&worker->counters.bytes[direction], flow->bytes - bytes);
        relay_worker_touch(worker, connection);
    }
    if (connection->flow[0].done && connection->flow[1].done) {
        relay_connection_close(connection,
                               connection->reset ? RELAY_CAUSE_RESET : RELAY_CAUSE_NONE);
        return false;
    }
    return update_events(connection);
}

void relay_connection_ready(RelayConnection *connection, int side, uint32_t events)
{
    uint8_t watched = connection->watched[side];

    if (connection->connect) {
        relay_connect_watch(connection);
        return;
    }
    /* Hang-ups and errors concern both directions: each finds out by itself what happened. */
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && watched & EPOLLIN && !pump(connection, side)) {
        return;
    }
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR) && watched & EPOLLOUT) {
        pump(connection, 1 - side);
    }
}

/* ---- life ---- */

RelayConnection *relay_connection_new(RelayWorker *worker, int fd)
{
    RelayConnection *connection = g_new0(RelayConnection, 1);
    Relay *relay = worker->relay;

    connection->worker = worker;
    connection->fd[RELAY_CLIENT] = fd;
    connection->fd[RELAY_TARGET] = -1;
    connection->began_ns = relay_now_ns();
    /* Relaxed: only the numbers matter. */
    connection->id = 1 + atomic_fetch_add_explicit(&relay->next_id, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&relay->n_connections, 1, memory_order_relaxed);
    return connection;
}

void relay_connection_free(RelayConnection *connection)
{
    if (connection->targets) {
        relay_targets_unref(connection->targets);
    }
    /* Relaxed: only the number matters. */
    atomic_fetch_sub_explicit(&connection->worker->relay->n_connections, 1, memory_order_relaxed);
    g_free(connection);
}

void relay_connection_established(RelayConnection *connection)
{
    RelayWorker *worker = connection->worker;

    relay_worker_remove(worker, connection);
    relay_connect_free(connection);
    relay_worker_add(worker, connection);
    if (atomic_load_explicit(&worker->relay->verbose, memory_order_relaxed)) {
        relay_tell_connected(connection);
    }
    update_events(connection);
}

/* Whether the client is to notice that something went wrong. */
static bool is_failure(RelayCause cause)
{
    return cause != RELAY_CAUSE_NONE && cause != RELAY_CAUSE_STOPPED &&
           cause != RELAY_CAUSE_IDLE_TIMEOUT;
}

static void close_side(RelayConnection *connection, int side, bool reset)
{
    /* Closing then discards what is unsent and sends RST; unix sockets don't know that. */
    static const struct linger at_once = { .l_onoff = 1 };

    if (connection->fd[side] < 0) {
        return;
    }
    if (reset) {
        setsockopt(connection->fd[side], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    close(connection->fd[side]);
}

void relay_connection_close(RelayConnection *connection, RelayCause cause)
{
    RelayWorker *worker = connection->worker;
    bool was_connected = !connection->connect && connection->target;
    bool reset = is_failure(cause);

    /* Closing its descriptors takes them out of the epoll set: its sockets have no others. */
    relay_worker_forget(worker, connection);
    relay_worker_remove(worker, connection);
    relay_connect_free(connection);
    if (cause != RELAY_CAUSE_NONE) {
        relay_count(&worker->counters.errors[cause], 1);
    }
    if (was_connected && atomic_load_explicit(&worker->relay->verbose, memory_order_relaxed)) {
        relay_tell_disconnected(connection, cause);
    }
    for (int i = 0; i < 2; i++) {
        relay_flow_drop(&connection->flow[i]);
        close_side(connection, i, reset);
    }
    relay_connection_free(connection);
    relay_worker_check_drained(worker);
}
