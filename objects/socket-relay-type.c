/*
 * The object type "socket-relay": the relay of objects/relay/relay.h as an object.
 *
 * It can be on several loops at once, so it goes to its places by itself, not by
 * objects/placement.h, and uses the IOThreads that it is on, leaves or goes to.
 */
#include "config.h"
#include "objects/relay/relay.h"

#include <string.h>

#include "iothreads/iothread.h"
#include "loop/main-loop.h"
#include "objects/object-fd.h"
#include "objects/object-types.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-log-limit.h"

typedef struct SocketRelayProperties {
    char *iothread;
    json_object *iothreads;
    char *listen;
    json_object *target;
    RelayParams params;
    int64_t drain_timeout_ms;
    bool connection_events;
    char *address;
    int64_t connections;
    int64_t total_connections;
    int64_t refused;
    int64_t bytes_in;
    int64_t bytes_out;
    json_object *errors;
    json_object *targets_down;
} SocketRelayProperties;

typedef struct SocketRelayObject {
    Object parent;
    Relay *relay;
    GPtrArray *iothreads;        /* of Object: those that it is on, or goes to */
    GPtrArray *former_iothreads; /* those that it leaves; NULL: it does not move */
    char *log_subject;
    QmpLogLimit *log; /* of its targets, which may go up and down as often as they like */
} SocketRelayObject;

/* ---- properties ---- */

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
      .help = "the relay was deleted" },
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
static const QmpType socket_relay_properties_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "SocketRelayProperties",
    .members = socket_relay_properties,
    .size = sizeof(SocketRelayProperties),
};

/* ---- events ---- */

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

static const QmpEvent socket_relay_events[] = {
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

static QmpLogFields log_fields(const Object *object)
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
    QmpLogFields fields = log_fields(object);

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
    QmpLogFields fields = log_fields(object);

    fields.target = target;
    qmp_log_limit_say(((SocketRelayObject *)object)->log, QMP_LOG_TARGET_UP, &fields,
                      "target '%s' is up again", target);
    object_emit(object, &socket_relay_events[RELAY_TARGET_UP], &data);
}

static const RelayEvents relay_events = {
    .connected = relay_connected,
    .disconnected = relay_disconnected,
    .target_down = relay_target_down,
    .target_up = relay_target_up,
};

/* ---- places ---- */

static bool add_iothread(Object *object, const char *property, const char *id, GPtrArray *iothreads,
                         GError **errp)
{
    Object *iothread = object_find(object->tree, id);

    if (!iothread || iothread->type != &iothread_type) {
        return qmp_error_set(errp, "Parameter '%s' expects %s; there is no IOThread '%s'", property,
                             g_str_equal(property, "iothread")
                                 ? "the id of an IOThread, or null for the main loop"
                                 : "ids of IOThreads",
                             id);
    }
    if (iothread->deleting) {
        return qmp_error_set(errp, "Parameter '%s': IOThread '%s' is being deleted", property, id);
    }
    if (g_ptr_array_find(iothreads, iothread, NULL)) {
        return qmp_error_set(errp, "Parameter '%s' names IOThread '%s' twice", property, id);
    }
    g_ptr_array_add(iothreads, iothread);
    return true;
}

static bool check_places(const SocketRelayProperties *p, GError **errp)
{
    if (p->iothread && p->iothreads && json_object_array_length(p->iothreads) > 0) {
        return qmp_error_set(errp, "Parameters 'iothread' and 'iothreads' can't both be set");
    }
    return true;
}

/* The IOThreads that @p names, none for the main loop; or NULL and @errp. */
static GPtrArray *find_iothreads(Object *object, const SocketRelayProperties *p, GError **errp)
{
    g_autoptr(GPtrArray) iothreads = g_ptr_array_new();
    size_t n = p->iothreads ? json_object_array_length(p->iothreads) : 0;

    if (!check_places(p, errp)) {
        return NULL;
    }
    if (p->iothread && !add_iothread(object, "iothread", p->iothread, iothreads, errp)) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        const char *id = json_object_get_string(json_object_array_get_idx(p->iothreads, i));

        if (!add_iothread(object, "iothreads", id, iothreads, errp)) {
            return NULL;
        }
    }
    return g_steal_pointer(&iothreads);
}

/* The contexts of @iothreads, *@n of them, to be freed. */
static AioContext **contexts_of(const GPtrArray *iothreads, size_t *n)
{
    AioContext **contexts = g_new(AioContext *, MAX(iothreads->len, 1));

    for (guint i = 0; i < iothreads->len; i++) {
        const Object *iothread = g_ptr_array_index(iothreads, i);

        contexts[i] = iothread_get_aio_context(iothread_by_id(iothread->id));
    }
    if (iothreads->len == 0) {
        contexts[0] = qemu_get_aio_context();
    }
    *n = MAX(iothreads->len, 1);
    return contexts;
}

static void use_iothreads(Object *object, GPtrArray *iothreads)
{
    for (guint i = 0; i < iothreads->len; i++) {
        object_add_user(g_ptr_array_index(iothreads, i), object);
    }
}

static void leave_iothreads(Object *object, GPtrArray *iothreads)
{
    for (guint i = 0; i < iothreads->len; i++) {
        object_remove_user(g_ptr_array_index(iothreads, i), object);
    }
    g_ptr_array_unref(iothreads);
}

static void relay_has_moved(void *opaque)
{
    SocketRelayObject *self = opaque;

    leave_iothreads(&self->parent, g_steal_pointer(&self->former_iothreads));
    object_tell_settled(&self->parent);
}

static bool move(Object *object, const SocketRelayProperties *p, GError **errp)
{
    SocketRelayObject *self = (SocketRelayObject *)object;
    GPtrArray *iothreads = find_iothreads(object, p, errp);
    g_autofree AioContext **contexts = NULL;
    size_t n;

    if (!iothreads) {
        return false;
    }
    contexts = contexts_of(iothreads, &n);
    if (!relay_set_contexts(self->relay, contexts, n, relay_has_moved, self, errp)) {
        g_ptr_array_unref(iothreads);
        return false;
    }
    use_iothreads(object, iothreads);
    self->former_iothreads = self->iothreads;
    self->iothreads = iothreads;
    return true;
}

static bool socket_relay_is_settled(const Object *object)
{
    return !((const SocketRelayObject *)object)->former_iothreads;
}

/* ---- targets and descriptors ---- */

/* The addresses in @value, a string or a list of strings, ended by NULL; or NULL and @errp. */
static const char **targets_of(json_object *value, GError **errp)
{
    bool is_list = json_object_is_type(value, json_type_array);
    size_t n = is_list ? json_object_array_length(value) : 1;
    g_autofree const char **targets = g_new0(const char *, n + 1);

    for (size_t i = 0; i < n; i++) {
        json_object *target = is_list ? json_object_array_get_idx(value, i) : value;

        if (!json_object_is_type(target, json_type_string)) {
            qmp_error_set(errp, "Parameter 'target' expects an address, or a list of addresses");
            return NULL;
        }
        targets[i] = json_object_get_string(target);
        /* The property is of any type, so nobody has looked for that yet. */
        if (strlen(targets[i]) != (size_t)json_object_get_string_len(target)) {
            qmp_error_set(errp,
                          "Parameter 'target' expects a string without the character \\u0000");
            return NULL;
        }
    }
    return g_steal_pointer(&targets);
}

/* The name in the address @listen when that is "fd:NAME", else NULL. */
static const char *fd_name(const char *listen)
{
    size_t length = strlen("fd:");

    return g_str_has_prefix(listen, "fd:") && listen[length] ? listen + length : NULL;
}

/* ---- life ---- */

static void bring_up_to_date(Object *object)
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

static bool socket_relay_check(const void *properties, GError **errp)
{
    const SocketRelayProperties *p = properties;
    g_autofree const char **targets = targets_of(p->target, errp);

    return targets && check_places(p, errp) && relay_check_addresses(p->listen, targets, errp);
}

static bool create_relay(Object *object, GPtrArray *iothreads, const char *const *targets,
                         GError **errp)
{
    SocketRelayObject *self = (SocketRelayObject *)object;
    SocketRelayProperties *p = object->properties;
    RelaySetup setup = {
        .id = object->id,
        .owner = qemu_get_aio_context(),
        .listen = p->listen,
        .listen_fd = -1,
        .targets = targets,
        .params = p->params,
        .verbose = p->connection_events,
        .events = &relay_events,
        .opaque = object,
    };
    g_autofree AioContext **contexts = contexts_of(iothreads, &setup.n_contexts);
    const char *name = fd_name(p->listen);

    setup.contexts = contexts;
    if (name) {
        setup.listen_fd = object_take_fd(object, "listen", name, errp);
        if (setup.listen_fd < 0) {
            return false;
        }
    }
    self->relay = relay_new(&setup, errp);
    if (!self->relay && name) {
        object_give_fd_back(object, name, setup.listen_fd);
    }
    return self->relay != NULL;
}

static bool socket_relay_create(Object *object, GError **errp)
{
    SocketRelayObject *self = (SocketRelayObject *)object;
    SocketRelayProperties *p = object->properties;
    g_autofree const char **targets = targets_of(p->target, errp);
    GPtrArray *iothreads = targets ? find_iothreads(object, p, errp) : NULL;
    const QmpLogFields about = log_fields(object);

    if (!iothreads) {
        return false;
    }
    if (!create_relay(object, iothreads, targets, errp)) {
        g_ptr_array_unref(iothreads);
        return false;
    }
    use_iothreads(object, iothreads);
    self->iothreads = iothreads;
    self->log_subject = g_strdup_printf("relay '%s'", object->id);
    self->log = qmp_log_limit_new(qemu_get_aio_context(), QMP_LOG_PERIOD_NS, QMP_LOG_TARGET_DOWN,
                                  &about, self->log_subject, "changes of targets");
    p->address = g_strdup(relay_get_address(self->relay));
    if (!p->iothreads) {
        p->iothreads = json_object_new_array();
    }
    return true;
}

/* Whether socket_relay_delete() has been called, which waits for moves that are under way. */
static bool is_draining(const Object *object)
{
    return object->deleting && socket_relay_is_settled(object);
}

static bool socket_relay_apply(Object *object, const QmpMember *changed, const void *properties,
                               GError **errp)
{
    Relay *relay = ((SocketRelayObject *)object)->relay;
    const SocketRelayProperties *p = properties;

    switch (changed->offset) {
    case offsetof(SocketRelayProperties, iothread):
    case offsetof(SocketRelayProperties, iothreads):
        return move(object, p, errp);
    case offsetof(SocketRelayProperties, target): {
        g_autofree const char **targets = targets_of(p->target, errp);

        return targets && relay_set_targets(relay, targets, errp);
    }
    case offsetof(SocketRelayProperties, connection_events):
        relay_set_verbose(relay, p->connection_events);
        return true;
    case offsetof(SocketRelayProperties, drain_timeout_ms):
        if (is_draining(object)) {
            relay_set_drain_timeout(relay, p->drain_timeout_ms);
        }
        return true;
    default:
        return relay_set_params(relay, &p->params, errp);
    }
}

static void relay_is_gone(void *opaque)
{
    SocketRelayObject *self = opaque;

    leave_iothreads(&self->parent, self->iothreads);
    qmp_log_limit_free(self->log);
    g_free(self->log_subject);
    object_finish_delete(&self->parent);
}

static void socket_relay_delete(Object *object)
{
    const SocketRelayProperties *p = object->properties;

    relay_delete(((SocketRelayObject *)object)->relay, p->drain_timeout_ms, relay_is_gone, object);
}

static void socket_relay_hurry(Object *object)
{
    SocketRelayProperties *p = object->properties;

    p->drain_timeout_ms = 0;
    if (is_draining(object)) {
        relay_set_drain_timeout(((SocketRelayObject *)object)->relay, 0);
    }
}

const ObjectType socket_relay_type = {
    .name = "socket-relay",
    .help = "connects each client of a socket to a target, and copies both ways",
    .properties = &socket_relay_properties_type,
    .size = sizeof(SocketRelayObject),
    .events = socket_relay_events,
    .check = socket_relay_check,
    .create = socket_relay_create,
    .apply = socket_relay_apply,
    .delete = socket_relay_delete,
    .refresh = bring_up_to_date,
    .is_settled = socket_relay_is_settled,
    .hurry = socket_relay_hurry,
};
