/*
 * Relays that go on in the next daemon: what a frozen one has, as a state and descriptors, and
 * back. The state is
 *
 *   { "connections": [ { "id", "began-ns", "client", "target", "address", "reset",
 *                        "in":  { "bytes", "held", "at", "eof", "broken", "bulk" },
 *                        "out": the same } ],
 *     "down": [ { "address", "until-ns" } ],
 *     "last-id", "total-connections", "refused", "bytes-in", "bytes-out",
 *     "errors": { by RelayErrors } }
 *
 * "client" and "target" are keys of descriptors, the second and "address" are missing while there
 * is no target; "at" is where the "held" bytes are. What is 0 or false may be missing.
 */
#include "config.h"
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "objects/keep.h"
#include "objects/passed-fds.h"
#include "objects/relay/relay-frozen.h"
#include "objects/socket-relay-internal.h"
#include "qmp/qmp-log.h"
#include "sockets/listening-socket.h"

/* ---- names of listening sockets ---- */

const char *socket_relay_fd_name(const char *listen)
{
    size_t length = strlen("fd:");

    return g_str_has_prefix(listen, "fd:") && listen[length] ? listen + length : NULL;
}

/* The name by which the socket is kept. It is the address, so that a relay with another id may have
 * it; but an address that stands for another socket each time needs the id too. */
static char *listener_name(const Object *object)
{
    const SocketRelayProperties *p = object->properties;
    bool is_unique = !socket_relay_fd_name(p->listen) && !g_str_has_suffix(p->listen, ":0");

    return is_unique ? g_strdup(p->listen) : g_strdup_printf("%s of %s", p->listen, object->id);
}

/* ---- keeping ---- */

static int steal_fd(int *fd)
{
    int stolen = *fd;

    *fd = -1;
    return stolen;
}

static void add_int(json_object *state, const char *name, int64_t value)
{
    if (value != 0) {
        json_object_object_add(state, name, json_object_new_int64(value));
    }
}

static void add_bool(json_object *state, const char *name, bool value)
{
    if (value) {
        json_object_object_add(state, name, json_object_new_boolean(true));
    }
}

static json_object *flow_to_json(const RelayFrozenFlow *flow, int64_t at)
{
    json_object *state = json_object_new_object();

    add_int(state, "bytes", (int64_t)flow->bytes);
    add_int(state, "held", flow->n_held);
    add_int(state, "at", at);
    add_bool(state, "eof", flow->eof);
    add_bool(state, "broken", flow->broken);
    add_bool(state, "bulk", flow->bulk);
    return state;
}

/* Have what @flow holds survive; false and errno. */
static bool keep_held(Keep *keep, const RelayFrozenFlow *flow, int64_t *at)
{
    *at = flow->n_held > 0 ? keep_bytes(keep, flow->held, flow->n_held) : 0;
    return *at >= 0;
}

/* Have @connection survive. Its state, or NULL and errno, and then it is for the caller to clear.
 */
static json_object *keep_connection(Keep *keep, RelayFrozenConnection *connection)
{
    bool has_target = connection->fd[1] >= 0;
    json_object *state;
    int64_t at[2];

    if (keep_room(keep) < (has_target ? 2 : 1)) {
        errno = EMFILE;
        return NULL;
    }
    if (!keep_held(keep, &connection->flow[0], &at[0]) ||
        !keep_held(keep, &connection->flow[1], &at[1])) {
        return NULL;
    }
    state = json_object_new_object();
    add_int(state, "id", (int64_t)connection->id);
    add_int(state, "began-ns", connection->began_ns);
    add_bool(state, "reset", connection->reset);
    json_object_object_add(state, "in", flow_to_json(&connection->flow[0], at[0]));
    json_object_object_add(state, "out", flow_to_json(&connection->flow[1], at[1]));
    json_object_object_add(state, "client",
                           json_object_new_int64(keep_fd(keep, steal_fd(&connection->fd[0]))));
    if (has_target) {
        json_object_object_add(state, "target",
                               json_object_new_int64(keep_fd(keep, steal_fd(&connection->fd[1]))));
        json_object_object_add(state, "address", json_object_new_string(connection->target));
    }
    return state;
}

/* Have the connections survive, those first that have a target. What can't is broken off. */
static json_object *keep_connections(const Object *object, Keep *keep, RelayFrozen *frozen)
{
    json_object *array = json_object_new_array();
    GArray *connections = frozen->connections;
    unsigned lost = 0;
    int error = 0;

    for (int connecting = 0; connecting < 2; connecting++) {
        for (guint i = 0; i < connections->len; i++) {
            RelayFrozenConnection *connection =
                &g_array_index(connections, RelayFrozenConnection, i);
            json_object *state;

            if ((connection->target == NULL) != connecting) {
                continue;
            }
            state = keep_connection(keep, connection);
            if (state) {
                json_object_array_add(array, state);
            } else {
                error = errno;
                lost++;
            }
        }
    }
    frozen->stats.errors[RELAY_CAUSE_STOPPED] += lost;
    if (lost > 0) {
        qmp_log(QMP_LOG_RESTART_CONNECTIONS_LOST,
                &(QmpLogFields){ .object = object->id,
                                 .type = object->type->name,
                                 .count = lost,
                                 .reason = g_strerror(error) },
                "relay '%s': %u of %u connections end with the daemon: %s", object->id, lost,
                connections->len, g_strerror(error));
    }
    return array;
}

static json_object *down_to_json(const GArray *down)
{
    json_object *array = json_object_new_array();

    for (guint i = 0; i < down->len; i++) {
        const RelayFrozenTarget *target = &g_array_index(down, RelayFrozenTarget, i);
        json_object *state = json_object_new_object();

        json_object_object_add(state, "address", json_object_new_string(target->address));
        add_int(state, "until-ns", target->down_until_ns);
        json_object_array_add(array, state);
    }
    return array;
}

static void stats_to_json(const RelayStats *stats, json_object *state)
{
    json_object *errors = json_object_new_object();

    for (int i = 0; i < RELAY_CAUSE_MAX; i++) {
        add_int(errors, relay_cause_name((RelayCause)i), (int64_t)stats->errors[i]);
    }
    add_int(state, "total-connections", (int64_t)stats->total_connections);
    add_int(state, "refused", (int64_t)stats->refused);
    add_int(state, "bytes-in", (int64_t)stats->bytes_in);
    add_int(state, "bytes-out", (int64_t)stats->bytes_out);
    json_object_object_add(state, "errors", errors);
}

static void keep_socket(const Object *object, Keep *keep, RelayFrozen *frozen)
{
    const SocketRelayProperties *p = object->properties;
    const PassedFds *passed = object_tree_get_passed_fds(object->tree);
    const char *fd_name = socket_relay_fd_name(p->listen);
    g_autofree char *name = listener_name(object);

    if (fd_name && passed && passed_fds_is_claimed(passed, fd_name, object)) {
        /* The next daemon is passed it too. */
        return;
    }
    if (!keep_listener(keep, name, steal_fd(&frozen->listen_fd), g_steal_pointer(&frozen->file))) {
        qmp_log(QMP_LOG_RESTART_SOCKET_CLOSED,
                &(QmpLogFields){
                    .object = object->id, .type = object->type->name, .socket = p->listen },
                "relay '%s': '%s' is not listened on until the next start, for there is no room "
                "for its socket",
                object->id, p->listen);
    }
}

void socket_relay_write_state(const Object *object, RelayFrozen *frozen, Keep *keep,
                              json_object *state)
{
    keep_socket(object, keep, frozen);
    json_object_object_add(state, "connections", keep_connections(object, keep, frozen));
    json_object_object_add(state, "down", down_to_json(frozen->down));
    add_int(state, "last-id", (int64_t)frozen->last_id);
    stats_to_json(&frozen->stats, state);
}

/* ---- going on ---- */

/* A number that is 0 when it is missing. */
static uint64_t get_number(json_object *state, const char *name)
{
    int64_t value = kept_get_int(state, name);

    return value > 0 ? (uint64_t)value : 0;
}

static bool flow_from_json(Kept *kept, json_object *state, RelayFrozenFlow *flow)
{
    uint64_t held = get_number(state, "held");

    flow->broken = kept_get_bool(state, "broken");
    if (held > RELAY_BUFFER_SIZE_MAX || (flow->broken && held == 0)) {
        return false;
    }
    flow->bytes = get_number(state, "bytes");
    flow->eof = kept_get_bool(state, "eof");
    flow->bulk = kept_get_bool(state, "bulk");
    if (held > 0) {
        const void *bytes = kept_bytes(kept, (int64_t)get_number(state, "at"), held);

        if (!bytes) {
            return false;
        }
        flow->held = g_memdup2(bytes, held);
        flow->n_held = (uint32_t)held;
    }
    return true;
}

/* A connected socket; -1 when there is none such. */
static int take_socket(Kept *kept, int64_t key)
{
    int fd = key >= 0 ? kept_take_fd(kept, key) : -1;

    if (fd >= 0 &&
        (socket_option(fd, SO_TYPE) != SOCK_STREAM || socket_option(fd, SO_ACCEPTCONN) != 0 ||
         !g_unix_set_fd_nonblocking(fd, TRUE, NULL))) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool is_over(const RelayFrozenFlow *flow)
{
    return flow->eof && flow->n_held == 0;
}

/* False when the state is wrong, or does not fit what there is; @connection is for the caller to
 * clear in any case. */
static bool connection_from_json(Kept *kept, json_object *state, RelayFrozenConnection *connection)
{
    const char *target = kept_get_str(state, "address");

    connection->id = get_number(state, "id");
    connection->began_ns = (int64_t)get_number(state, "began-ns");
    connection->reset = kept_get_bool(state, "reset");
    connection->key[0] = kept_get_int(state, "client");
    connection->key[1] = kept_get_int(state, "target");
    connection->fd[0] = take_socket(kept, connection->key[0]);
    if (connection->fd[0] < 0 || !target) {
        return connection->fd[0] >= 0;
    }
    connection->target = g_strdup(target);
    connection->fd[1] = take_socket(kept, connection->key[1]);
    return connection->fd[1] >= 0 && relay_check_target(target) &&
           flow_from_json(kept, kept_get_object(state, "in"), &connection->flow[0]) &&
           flow_from_json(kept, kept_get_object(state, "out"), &connection->flow[1]) &&
           !(is_over(&connection->flow[0]) && is_over(&connection->flow[1]));
}

static void take_connections(const Object *object, json_object *array, RelayFrozen *frozen)
{
    size_t n = array ? json_object_array_length(array) : 0;
    size_t lost = 0;

    for (size_t i = 0; i < n; i++) {
        RelayFrozenConnection connection = { .fd = { -1, -1 } };

        if (connection_from_json(object->kept, json_object_array_get_idx(array, i), &connection)) {
            g_array_append_val(frozen->connections, connection);
        } else {
            relay_frozen_connection_clear(&connection);
            lost++;
        }
    }
    frozen->stats.errors[RELAY_CAUSE_STOPPED] += lost;
    if (lost > 0) {
        qmp_log(QMP_LOG_RESTART_CONNECTIONS_LOST,
                &(QmpLogFields){ .object = object->id, .type = object->type->name, .count = lost },
                "relay '%s': %zu of %zu connections were kept, but can't go on", object->id, lost,
                n);
    }
}

static void down_from_json(json_object *array, GArray *down)
{
    size_t n = array ? json_object_array_length(array) : 0;

    for (size_t i = 0; i < n; i++) {
        json_object *state = json_object_array_get_idx(array, i);
        const char *address = kept_get_str(state, "address");
        RelayFrozenTarget target = { .down_until_ns = (int64_t)get_number(state, "until-ns") };

        if (address) {
            target.address = g_strdup(address);
            g_array_append_val(down, target);
        }
    }
}

static void stats_from_json(json_object *state, RelayStats *stats)
{
    json_object *errors = kept_get_object(state, "errors");

    for (int i = 0; i < RELAY_CAUSE_MAX; i++) {
        stats->errors[i] = get_number(errors, relay_cause_name((RelayCause)i));
    }
    stats->total_connections = get_number(state, "total-connections");
    stats->refused = get_number(state, "refused");
    stats->bytes_in = get_number(state, "bytes-in");
    stats->bytes_out = get_number(state, "bytes-out");
}

RelayFrozen *socket_relay_read_state(const Object *object)
{
    g_autofree char *name = listener_name(object);
    RelayFrozen *frozen;

    if (!object->kept) {
        return NULL;
    }
    frozen = relay_frozen_new();
    frozen->listen_fd = kept_take_listener(object->kept, name, &frozen->file);
    if (object->kept_state) {
        stats_from_json(object->kept_state, &frozen->stats);
        frozen->last_id = get_number(object->kept_state, "last-id");
        down_from_json(kept_get_array(object->kept_state, "down"), frozen->down);
        take_connections(object, kept_get_array(object->kept_state, "connections"), frozen);
    }
    return frozen;
}

static void give_connection_back(Kept *kept, RelayFrozenConnection *connection)
{
    for (int side = 0; side < 2; side++) {
        if (connection->fd[side] >= 0) {
            kept_give_fd_back(kept, connection->key[side], steal_fd(&connection->fd[side]));
        }
    }
}

void socket_relay_give_back(const Object *object, RelayFrozen *frozen)
{
    g_autofree char *name = listener_name(object);

    if (frozen->listen_fd >= 0) {
        kept_give_listener_back(object->kept, name, steal_fd(&frozen->listen_fd),
                                g_steal_pointer(&frozen->file));
    }
    for (guint i = 0; i < frozen->connections->len; i++) {
        give_connection_back(object->kept,
                             &g_array_index(frozen->connections, RelayFrozenConnection, i));
    }
}
