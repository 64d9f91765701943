/*
 * The events of the object type "socket-relay".
 */
#include "config.h"
#include "objects/socket-relay-internal.h"

typedef struct RelayConnectionEvent {
    char *id;
    int64_t connection;
    char *client;
    char *target;
    int64_t bytes_in;
    int64_t bytes_out;
    int64_t duration_ns;
    char *cause;
} RelayConnectionEvent;

static const QmpMember relay_connected_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(RelayConnectionEvent, id),
      .help = "the relay's id" },
    { .name = "connection",
      .type = &qmp_type_int,
      .offset = offsetof(RelayConnectionEvent, connection),
      .help = "the connection's number in the relay" },
    { .name = "client",
      .type = &qmp_type_str,
      .offset = offsetof(RelayConnectionEvent, client),
      .help = "the client's address" },
    { .name = "target",
      .type = &qmp_type_str,
      .offset = offsetof(RelayConnectionEvent, target),
      .help = "the target that it was connected to" },
    { 0 },
};
static const QmpType relay_connected_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "RelayConnectedEvent",
    .members = relay_connected_members,
    .size = sizeof(RelayConnectionEvent),
};

static const QmpMember relay_disconnected_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(RelayConnectionEvent, id),
      .help = "the relay's id" },
    { .name = "connection",
      .type = &qmp_type_int,
      .offset = offsetof(RelayConnectionEvent, connection),
      .help = "the connection's number in the relay" },
    { .name = "target",
      .type = &qmp_type_str,
      .offset = offsetof(RelayConnectionEvent, target),
      .help = "the target that it was connected to" },
    { .name = "bytes-in",
      .type = &qmp_type_int,
      .offset = offsetof(RelayConnectionEvent, bytes_in),
      .help = "bytes from the client to the target" },
    { .name = "bytes-out",
      .type = &qmp_type_int,
      .offset = offsetof(RelayConnectionEvent, bytes_out),
      .help = "bytes from the target to the client" },
    { .name = "duration-ns",
      .type = &qmp_type_int,
      .offset = offsetof(RelayConnectionEvent, duration_ns),
      .help = "how long it lasted, in ns" },
    { .name = "cause",
      .type = &qmp_type_str,
      .offset = offsetof(RelayConnectionEvent, cause),
      .help = "'none' when both sides were done, else one of RelayErrors" },
    { 0 },
};
static const QmpType relay_disconnected_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "RelayDisconnectedEvent",
    .members = relay_disconnected_members,
    .size = sizeof(RelayConnectionEvent),
};

typedef struct RelayTargetEvent {
    char *id;
    char *target;
    char *reason;
} RelayTargetEvent;

static const QmpMember relay_target_down_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(RelayTargetEvent, id),
      .help = "the relay's id" },
    { .name = "target",
      .type = &qmp_type_str,
      .offset = offsetof(RelayTargetEvent, target),
      .help = "the target's address" },
    { .name = "reason",
      .type = &qmp_type_str,
      .offset = offsetof(RelayTargetEvent, reason),
      .help = "why it could not be connected to" },
    { 0 },
};
static const QmpType relay_target_down_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "RelayTargetDownEvent",
    .members = relay_target_down_members,
    .size = sizeof(RelayTargetEvent),
};

static const QmpMember relay_target_up_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(RelayTargetEvent, id),
      .help = "the relay's id" },
    { .name = "target",
      .type = &qmp_type_str,
      .offset = offsetof(RelayTargetEvent, target),
      .help = "the target's address" },
    { 0 },
};
static const QmpType relay_target_up_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "RelayTargetUpEvent",
    .members = relay_target_up_members,
    .size = sizeof(RelayTargetEvent),
};

enum {
    RELAY_CONNECTED,
    RELAY_DISCONNECTED,
    RELAY_TARGET_DOWN,
    RELAY_TARGET_UP,
};

const QmpEvent socket_relay_events[] = {
    [RELAY_CONNECTED] = { .name = "RELAY_CONNECTED",
                          .data = &relay_connected_type,
                          .help = "a client of a relay has been connected to a target; sent with "
                                  "connection-events" },
    [RELAY_DISCONNECTED] = { .name = "RELAY_DISCONNECTED",
                             .data = &relay_disconnected_type,
                             .help = "a connection of a relay has ended; sent with "
                                     "connection-events" },
    [RELAY_TARGET_DOWN] = { .name = "RELAY_TARGET_DOWN",
                            .data = &relay_target_down_type,
                            .help = "a relay could not connect to a target" },
    [RELAY_TARGET_UP] = { .name = "RELAY_TARGET_UP",
                          .data = &relay_target_up_type,
                          .help = "a relay could connect again to a target that was down" },
    { 0 },
};

static void emit_connection(Object *object, int event, const RelayConnectionInfo *info)
{
    RelayConnectionEvent data = {
        .id = object->id,
        .connection = (int64_t)info->id,
        .client = (char *)info->client,
        .target = (char *)info->target,
        .bytes_in = (int64_t)info->bytes_in,
        .bytes_out = (int64_t)info->bytes_out,
        .duration_ns = info->duration_ns,
        .cause = (char *)relay_cause_name(info->cause),
    };

    object_emit(object, &socket_relay_events[event], &data);
}

static void relay_connected(void *opaque, const RelayConnectionInfo *info)
{
    emit_connection(opaque, RELAY_CONNECTED, info);
}

static void relay_disconnected(void *opaque, const RelayConnectionInfo *info)
{
    emit_connection(opaque, RELAY_DISCONNECTED, info);
}

QmpLogFields socket_relay_log_fields(const Object *object)
{
    return (QmpLogFields){ .object = object->id, .type = object->type->name };
}

static void relay_target_down(void *opaque, const char *target, const char *reason)
{
    Object *object = opaque;
    RelayTargetEvent data = {
        .id = object->id,
        .target = (char *)target,
        .reason = (char *)reason,
    };
    QmpLogFields fields = socket_relay_log_fields(object);

    fields.target = target;
    fields.reason = reason;
    qmp_log_limit_say(((SocketRelayObject *)object)->log, QMP_LOG_TARGET_DOWN, &fields,
                      "target '%s' is down: %s", target, reason);
    object_emit(object, &socket_relay_events[RELAY_TARGET_DOWN], &data);
}

static void relay_target_up(void *opaque, const char *target)
{
    Object *object = opaque;
    RelayTargetEvent data = { .id = object->id, .target = (char *)target };
    QmpLogFields fields = socket_relay_log_fields(object);

    fields.target = target;
    qmp_log_limit_say(((SocketRelayObject *)object)->log, QMP_LOG_TARGET_UP, &fields,
                      "target '%s' is up again", target);
    object_emit(object, &socket_relay_events[RELAY_TARGET_UP], &data);
}

const RelayEvents socket_relay_callbacks = {
    .connected = relay_connected,
    .disconnected = relay_disconnected,
    .target_down = relay_target_down,
    .target_up = relay_target_up,
};
