/*
 * The inside of the object type "socket-relay": the map of its files.
 *
 *   socket-relay-type.c        life, and its places
 *   socket-relay-properties.c  its properties, and bringing the statistics up to date
 *   socket-relay-events.c      what it tells of connections and targets
 *   socket-relay-keep.c        what it leaves to the next daemon
 */
#ifndef OBJECTS_SOCKET_RELAY_INTERNAL_H
#define OBJECTS_SOCKET_RELAY_INTERNAL_H

#include "objects/object.h"
#include "objects/relay/relay-frozen.h"
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
    Keep *keep;                  /* while it is kept: where to */
    json_object *state;
    char *log_subject;
    QmpLogLimit *log; /* of its targets, which may go up and down as often as they like */
} SocketRelayObject;

/* ---- properties (socket-relay-properties.c) ---- */

extern const QmpType socket_relay_properties_type;

/* Bring the properties that can only be read up to date. */
void socket_relay_refresh(Object *object);

/* ---- events (socket-relay-events.c) ---- */

extern const QmpEvent socket_relay_events[];

/* They send these; their opaque is the object. */
extern const RelayEvents socket_relay_callbacks;

/* What its lines in the log are about. */
QmpLogFields socket_relay_log_fields(const Object *object);

/* ---- keeping (socket-relay-keep.c) ---- */

/* The name in the address @listen when that is "fd:NAME", else NULL. */
const char *socket_relay_fd_name(const char *listen);

/* Have what @frozen has survive, with @state. What does not is left in @frozen. */
void socket_relay_write_state(const Object *object, RelayFrozen *frozen, Keep *keep,
                              json_object *state);

/* What @object, which is being created, goes on with; or NULL. */
RelayFrozen *socket_relay_read_state(const Object *object);

/* It can't be created: give back what @frozen has, for the next daemon to try. */
void socket_relay_give_back(const Object *object, RelayFrozen *frozen);

#endif
