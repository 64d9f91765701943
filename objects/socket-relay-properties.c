/*
 * The properties of the object type "socket-relay".
 */
#include "config.h"
#include "objects/socket-relay-internal.h"

typedef struct RelayErrors {
    int64_t count[RELAY_CAUSE_MAX];
} RelayErrors;

static const QmpMember relay_errors_members[] = {
    { .name = "reset",
      .type = &qmp_type_int,
      .offset = offsetof(RelayErrors, count[RELAY_CAUSE_RESET]),
      .help = "a side broke the connection off" },
    { .name = "idle-timeout",
      .type = &qmp_type_int,
      .offset = offsetof(RelayErrors, count[RELAY_CAUSE_IDLE_TIMEOUT]),
      .help = "nothing was sent for too long" },
    { .name = "limit",
      .type = &qmp_type_int,
      .offset = offsetof(RelayErrors, count[RELAY_CAUSE_LIMIT]),
      .help = "there were too many connections" },
    { .name = "accept",
      .type = &qmp_type_int,
      .offset = offsetof(RelayErrors, count[RELAY_CAUSE_ACCEPT]),
      .help = "accepting a client failed" },
    { .name = "resolve",
      .type = &qmp_type_int,
      .offset = offsetof(RelayErrors, count[RELAY_CAUSE_RESOLVE]),
      .help = "a target's name could not be looked up" },
    { .name = "refused",
      .type = &qmp_type_int,
      .offset = offsetof(RelayErrors, count[RELAY_CAUSE_REFUSED]),
      .help = "the target refused, or there was none" },
    { .name = "connect-timeout",
      .type = &qmp_type_int,
      .offset = offsetof(RelayErrors, count[RELAY_CAUSE_CONNECT_TIMEOUT]),
      .help = "the target did not answer in time" },
    { .name = "connect",
      .type = &qmp_type_int,
      .offset = offsetof(RelayErrors, count[RELAY_CAUSE_CONNECT]),
      .help = "connecting to the target failed otherwise" },
    { .name = "system",
      .type = &qmp_type_int,
      .offset = offsetof(RelayErrors, count[RELAY_CAUSE_SYSTEM]),
      .help = "the system was out of descriptors or memory" },
    { .name = "stopped",
      .type = &qmp_type_int,
      .offset = offsetof(RelayErrors, count[RELAY_CAUSE_STOPPED]),
      .help = "the relay or the daemon ended" },
    { 0 },
};
static const QmpType relay_errors_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "RelayErrors",
    .members = relay_errors_members,
    .size = sizeof(RelayErrors),
};

static const QmpMember socket_relay_properties[] = {
    { .name = "iothread",
      .type = &qmp_type_str_or_null,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(SocketRelayProperties, iothread),
      .refers_to = "iothread",
      .help = "the id of the IOThread to work on; null: the main loop, or iothreads" },
    { .name = "iothreads",
      .type = &qmp_type_str_list,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(SocketRelayProperties, iothreads),
      .refers_to = "iothread",
      .help = "the ids of IOThreads to spread connections over; the first accepts them" },
    { .name = "listen",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_CREATE_ONLY,
      .offset = offsetof(SocketRelayProperties, listen),
      .help = "where to listen: unix:PATH, tcp:HOST:PORT, vsock:CID:PORT or fd:NAME" },
    { .name = "target",
      .type = &qmp_type_any,
      .offset = offsetof(SocketRelayProperties, target),
      .help = "where to connect to: an address like that of listen, or a list to take turns" },
    { .name = "buffer-size",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .min = RELAY_BUFFER_SIZE_MIN,
      .max = RELAY_BUFFER_SIZE_MAX,
      .default_int = RELAY_BUFFER_SIZE_DEFAULT,
      .offset = offsetof(SocketRelayProperties, params.buffer_size),
      .help = "bytes that each direction of a connection holds at the most" },
    { .name = "max-connections",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = INT64_MAX,
      .offset = offsetof(SocketRelayProperties, params.max_connections),
      .help = "connections at a time, beyond which clients are turned away; 0: no limit" },
    { .name = "idle-timeout-ms",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = RELAY_TIMEOUT_MS_MAX,
      .offset = offsetof(SocketRelayProperties, params.idle_timeout_ms),
      .help = "end a connection on which nothing is sent for so long, in ms; 0: never" },
    { .name = "connect-timeout-ms",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = RELAY_TIMEOUT_MS_MAX,
      .default_int = RELAY_CONNECT_TIMEOUT_MS_DEFAULT,
      .offset = offsetof(SocketRelayProperties, params.connect_timeout_ms),
      .help =
          "how long each address of a target may take to answer, in ms; 0: as long as the system "
          "lets it" },
    { .name = "target-retry-ms",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = RELAY_TIMEOUT_MS_MAX,
      .default_int = RELAY_TARGET_RETRY_MS_DEFAULT,
      .offset = offsetof(SocketRelayProperties, params.target_retry_ms),
      .help = "how long a target that failed is passed over while there are others, in ms" },
    { .name = "drain-timeout-ms",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL | QMP_MEMBER_SET_LATE,
      .max = RELAY_TIMEOUT_MS_MAX,
      .offset = offsetof(SocketRelayProperties, drain_timeout_ms),
      .help = "how long connections may go on when the relay is deleted, in ms" },
    { .name = "connection-events",
      .type = &qmp_type_bool,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(SocketRelayProperties, connection_events),
      .help = "whether to send RELAY_CONNECTED and RELAY_DISCONNECTED" },
    { .name = "address",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(SocketRelayProperties, address),
      .help = "where it listens, with the port that the system chose for a port 0" },
    { .name = "connections",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(SocketRelayProperties, connections),
      .help = "connections now" },
    { .name = "total-connections",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(SocketRelayProperties, total_connections),
      .help = "connections in all" },
    { .name = "refused",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(SocketRelayProperties, refused),
      .help = "clients that were turned away because of max-connections" },
    { .name = "bytes-in",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(SocketRelayProperties, bytes_in),
      .help = "bytes from clients to targets" },
    { .name = "bytes-out",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(SocketRelayProperties, bytes_out),
      .help = "bytes from targets to clients" },
    { .name = "errors",
      .type = &relay_errors_type,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(SocketRelayProperties, errors),
      .help = "how many connections went wrong, by cause" },
    { .name = "targets-down",
      .type = &qmp_type_str_list,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(SocketRelayProperties, targets_down),
      .help = "the targets that failed when they were last tried" },
    { 0 },
};
const QmpType socket_relay_properties_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "SocketRelayProperties",
    .members = socket_relay_properties,
    .size = sizeof(SocketRelayProperties),
};
/* ---- statistics ---- */

void socket_relay_refresh(Object *object)
{
    SocketRelayObject *self = (SocketRelayObject *)object;
    SocketRelayProperties *p = object->properties;
    RelayErrors errors;
    RelayStats stats;
    g_auto(GStrv) down = relay_get_targets_down(self->relay);

    relay_get_stats(self->relay, &stats);
    p->connections = (int64_t)stats.connections;
    p->total_connections = (int64_t)stats.total_connections;
    p->refused = (int64_t)stats.refused;
    p->bytes_in = (int64_t)stats.bytes_in;
    p->bytes_out = (int64_t)stats.bytes_out;
    for (int i = 0; i < RELAY_CAUSE_MAX; i++) {
        errors.count[i] = (int64_t)stats.errors[i];
    }
    json_object_put(p->errors);
    p->errors = qmp_marshal(&relay_errors_type, &errors);
    json_object_put(p->targets_down);
    p->targets_down = json_object_new_array();
    for (char **target = down; *target; target++) {
        json_object_array_add(p->targets_down, json_object_new_string(*target));
    }
}
