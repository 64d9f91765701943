/*
 * A relay: it listens on one address, connects each client to a target, and copies both ways.
 *
 * This is the engine of the object type "socket-relay"; it knows contexts, but no objects. A relay
 * runs on one context or several: the first accepts, and the connections are spread over all of
 * them in turn. A connection then lives on its context alone, and moves to another one when
 * relay_set_contexts() says so.
 *
 * How bytes are copied. A few bytes are read into a buffer that all connections of a context share
 * and written at once: two system calls, and nothing kept. A direction in which a whole buffer was
 * read is a bulk transfer, and goes on with splice(2) through a pipe, which hands over the pages
 * without a copy, until it slows down again. What the receiver does not take stays in the pipe, or
 * in memory of the connection's own, and until it is gone nothing more is read: each direction
 * holds at most RelayParams.buffer_size bytes. Pipes and memory are there only while they hold
 * something, so an idle connection is two descriptors and a small struct. bench/relay-bulk.c and
 * bench/relay-roundtrip.c measure it; docs/benchmarks.md has the figures.
 *
 * Threads: the functions here are called in the home thread of the owner's context, where all
 * callbacks are called too. The engine writes to sockets that may have been closed by the other
 * side with splice(2), which can't be told not to raise SIGPIPE: the process must ignore that.
 */
#ifndef OBJECTS_RELAY_RELAY_H
#define OBJECTS_RELAY_RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "loop/aio.h"

G_BEGIN_DECLS

typedef struct Relay Relay;
typedef struct RelayFrozen RelayFrozen; /* objects/relay/relay-frozen.h */

#define RELAY_ERROR relay_error_quark()
GQuark relay_error_quark(void);

typedef enum {
    RELAY_ERROR_INVALID, /* an address or a value is wrong */
    RELAY_ERROR_SYSTEM,  /* the system refused */
} RelayError;

/* Why connections were ended, or never begun, other than by both sides closing them. */
typedef enum {
    RELAY_CAUSE_NONE,            /* both sides were done */
    RELAY_CAUSE_RESET,           /* a side broke it off */
    RELAY_CAUSE_IDLE_TIMEOUT,    /* nothing was sent for too long */
    RELAY_CAUSE_LIMIT,           /* there were max_connections already */
    RELAY_CAUSE_ACCEPT,          /* accepting failed */
    RELAY_CAUSE_RESOLVE,         /* a target's name could not be looked up */
    RELAY_CAUSE_REFUSED,         /* a target refused, or there was no such target */
    RELAY_CAUSE_CONNECT_TIMEOUT, /* a target did not answer in time */
    RELAY_CAUSE_CONNECT,         /* connecting failed otherwise */
    RELAY_CAUSE_SYSTEM,          /* out of descriptors or memory, or an unexpected error */
    RELAY_CAUSE_STOPPED,         /* the relay was deleted, or did not go on after a restart */
} RelayCause;
#define RELAY_CAUSE_MAX 11

/* The name of @cause, such as "idle-timeout". Any thread. */
const char *relay_cause_name(RelayCause cause);

typedef struct RelayParams {
    int64_t buffer_size;        /* bytes that a direction of a connection holds at the most */
    int64_t max_connections;    /* at a time; 0: no limit */
    int64_t idle_timeout_ms;    /* for a connection on which nothing is sent; 0: none */
    int64_t connect_timeout_ms; /* for each address that is tried; 0: the system's */
    int64_t target_retry_ms;    /* how long a target that failed is passed over */
} RelayParams;

/* The bounds and defaults of these. */
#define RELAY_BUFFER_SIZE_MIN            4096
#define RELAY_BUFFER_SIZE_MAX            1048576
#define RELAY_BUFFER_SIZE_DEFAULT        524288
#define RELAY_TIMEOUT_MS_MAX             (INT64_C(1) << 40)
#define RELAY_CONNECT_TIMEOUT_MS_DEFAULT 10000
#define RELAY_TARGET_RETRY_MS_DEFAULT    5000

/* A connection, as events tell of it. */
typedef struct RelayConnectionInfo {
    uint64_t id;         /* counts from 1 in each relay */
    const char *client;  /* its address; NULL when disconnected */
    const char *target;  /* as it was given; NULL when none was reached */
    uint64_t bytes_in;   /* from the client to the target */
    uint64_t bytes_out;  /* from the target to the client */
    int64_t duration_ns; /* since it was accepted */
    RelayCause cause;    /* of the end */
} RelayConnectionInfo;

/* What the owner is told, on its context. */
typedef struct RelayEvents {
    /* These two only while relay_set_verbose() asks for them. */
    void (*connected)(void *opaque, const RelayConnectionInfo *info);
    void (*disconnected)(void *opaque, const RelayConnectionInfo *info);
    /* @target, which was up, failed because of @reason; and answered again. */
    void (*target_down)(void *opaque, const char *target, const char *reason);
    void (*target_up)(void *opaque, const char *target);
} RelayEvents;

typedef struct RelaySetup {
    const char *id; /* whose its sources are, see objects/source-name.h; or NULL */
    AioContext *owner;
    const char *listen;         /* an address; "fd:NAME": @listen_fd */
    int listen_fd;              /* taken over when relay_new() succeeds; else -1 */
    const char *const *targets; /* addresses, ended by NULL */
    AioContext *const *contexts;
    size_t n_contexts; /* 1 at least */
    RelayParams params;
    bool verbose;
    const RelayEvents *events;
    void *opaque;
    /* Go on with this, of relay_freeze(), and listen on its socket, if there is one, in place of
     * @listen; or NULL. What it has is taken out when relay_new() succeeds, and it stays the
     * caller's. */
    RelayFrozen *frozen;
} RelaySetup;

/* The numbers since the relay began; "now" is the state at one moment. */
typedef struct RelayStats {
    uint64_t connections;       /* now, those that are being connected included */
    uint64_t total_connections; /* accepted, the refused ones not included */
    uint64_t refused;           /* clients turned away because of max_connections */
    uint64_t bytes_in;          /* from clients to targets */
    uint64_t bytes_out;         /* from targets to clients */
    uint64_t errors[RELAY_CAUSE_MAX];
} RelayStats;

/* Whether these could be its addresses, as far as that shows in them. False and @errp, which names
 * the first that could not. Any thread. */
bool relay_check_addresses(const char *listen, const char *const *targets, GError **errp);

/* Whether @address is one to connect to. Any thread. */
bool relay_check_target(const char *address);

/*
 * A relay that listens by the time this returns. NULL and @errp, which names the address or value,
 * with nothing left behind, when that can't be.
 */
Relay *relay_new(const RelaySetup *setup, GError **errp);

/*
 * Stop listening, let connections go on for @drain_timeout_ms at the most, then break off what is
 * left, and call @done with @opaque when the relay is freed. Moves that are under way finish first.
 * No other function but relay_get_stats() and relay_set_drain_timeout() may be called for @relay
 * until then.
 */
void relay_delete(Relay *relay, int64_t drain_timeout_ms, QEMUBHFunc *done, void *opaque);

typedef void RelayFrozenFunc(void *opaque, RelayFrozen *frozen);

/*
 * End as relay_delete() does, but leave the listening socket and the connections as they are, for
 * another relay to go on with: @done is called with @opaque and what there is, to be freed, when
 * the relay is freed. No byte is lost, and nobody is waited for but the loops. The same holds for
 * @relay until then.
 */
void relay_freeze(Relay *relay, RelayFrozenFunc *done, void *opaque);

/* After relay_delete(): let connections go on for @drain_timeout_ms from now, whatever was said
 * before. */
void relay_set_drain_timeout(Relay *relay, int64_t drain_timeout_ms);

/*
 * Run on @contexts from now on: @done is called with @opaque when all has moved there, and nothing
 * of @relay is left on a context that is not among them. No byte is lost. Calls that follow each
 * other take effect in their order. False and @errp, with nothing changed, when out of descriptors.
 */
bool relay_set_contexts(Relay *relay, AioContext *const *contexts, size_t n_contexts,
                        QEMUBHFunc *done, void *opaque, GError **errp);

/* Connect new clients to @targets. False and @errp, and nothing changed, when one is no address to
 * connect to. */
bool relay_set_targets(Relay *relay, const char *const *targets, GError **errp);

/* Set all parameters, for present connections too. False and @errp, which names the first that is
 * out of its bounds, with nothing changed. */
bool relay_set_params(Relay *relay, const RelayParams *params, GError **errp);

/* Whether to tell of each connection. */
void relay_set_verbose(Relay *relay, bool verbose);

/* The address it listens on, as the system knows it: with the port that a port 0 became. Owned by
 * @relay. */
const char *relay_get_address(Relay *relay);

/* The targets that are passed over now, ended by NULL, to be freed by g_strfreev(). */
char **relay_get_targets_down(Relay *relay);

void relay_get_stats(Relay *relay, RelayStats *stats);

G_END_DECLS

#endif
