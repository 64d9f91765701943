/*
 * The inside of a relay: the map of the files of this folder.
 *
 *   relay.c             life, parameters, statistics, events
 *   relay-operation.c   what takes several steps, one after the other; relay-operation.h
 *   relay-move.c        going over to other contexts
 *   relay-end.c         the end
 *   relay-frozen.c      connections that are frozen, to go on in another relay
 *   relay-worker.c      the connections on one context, and their timeouts
 *   relay-listener.c    accepting clients
 *   relay-connect.c     connecting to a target; relay-resolve.c looking up its name
 *   relay-connection.c  a connection's two descriptors and its end
 *   relay-flow.c        copying in one direction
 *   relay-loop.c        what all connections on a context share: a buffer, idle pipes
 *   relay-target.c      the targets, and which of them are passed over
 *   relay-address.c     addresses
 *
 * Threads. The relay and the array of its workers belong to the owner's thread. A worker, and the
 * connections on it, belong to its context's home thread; a connection that changes over is touched
 * by nobody until the bottom half that takes it to its new context runs there. The listener belongs
 * to the first worker's context. What all of them share are the atomics of Relay and of its
 * targets, and what Relay.lock guards.
 */
#ifndef OBJECTS_RELAY_RELAY_INTERNAL_H
#define OBJECTS_RELAY_RELAY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "objects/relay/relay-address.h"
#include "objects/relay/relay-frozen.h"
#include "objects/relay/relay.h"
#include "sockets/acceptor.h"
#include "sockets/unix-socket.h"

typedef struct RelayConnect RelayConnect;
typedef struct RelayConnection RelayConnection;
typedef struct RelayListener RelayListener;
typedef struct RelayLoop RelayLoop;
typedef struct RelayPipe RelayPipe;
typedef struct RelayResolve RelayResolve;
typedef struct RelayWorker RelayWorker;

/* ---- counters: each written by one thread, read by any ---- */

typedef struct RelayCounters {
    _Atomic uint64_t total_connections;
    _Atomic uint64_t refused;
    _Atomic uint64_t bytes[2]; /* by direction, see RelayFlow */
    _Atomic uint64_t errors[RELAY_CAUSE_MAX];
} RelayCounters;

/* Relaxed: readers want the number, and order nothing by it. */
static inline void relay_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline int64_t relay_param(const _Atomic int64_t *param)
{
    /* Relaxed: a parameter that changes takes effect soon, and nothing else by it. */
    return atomic_load_explicit(param, memory_order_relaxed);
}

/* ---- targets (relay-target.c) ---- */

typedef struct RelayTarget {
    RelayAddress address;
    _Atomic int64_t down_until_ns; /* 0: it is up */
} RelayTarget;

typedef struct RelayTargets {
    atomic_uint refs;
    atomic_uint next; /* whose turn it is */
    unsigned n;
    RelayTarget target[];
} RelayTargets;

/* Parse @texts, ended by NULL. NULL and @errp when there is none, or one can't be connected to. */
RelayTargets *relay_targets_new(const char *const *texts, GError **errp);
RelayTargets *relay_targets_ref(RelayTargets *targets);
void relay_targets_unref(RelayTargets *targets);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RelayTargets, relay_targets_unref)

/* Let those of @targets that are in @former too be down as they are there. */
void relay_targets_inherit(RelayTargets *targets, RelayTargets *former);

/* Whether @target is to be passed over at @now_ns. */
bool relay_target_is_down(RelayTarget *target, int64_t now_ns);

/* ---- what the connections on a context share (relay-loop.c) ---- */

#define RELAY_LOOP_BUFFER_SIZE 65536

struct RelayPipe {
    int out, in; /* what is written to @in is read from @out */
    RelayPipe *next;
};

struct RelayLoop {
    AioContext *ctx; /* a reference */
    unsigned refs;   /* guarded by the registry's lock */
    /* Home thread: */
    RelayPipe *pipes;
    unsigned n_pipes;
    size_t send_buffer_asked; /* for a send buffer of so many bytes... */
    int send_buffer_allowed;  /* ...the system gives one of so many */
    char buffer[RELAY_LOOP_BUFFER_SIZE];
};

/* The one of @ctx, made by the first who asks, freed by the last. Any thread. */
RelayLoop *relay_loop_get(AioContext *ctx);
void relay_loop_put(RelayLoop *loop);

/* An empty pipe, or NULL when out of descriptors; give it back when it is empty. Home thread. */
RelayPipe *relay_loop_take_pipe(RelayLoop *loop);
void relay_loop_give_pipe(RelayLoop *loop, RelayPipe *pipe);
void relay_pipe_close(RelayPipe *pipe);

/* The size of the send buffer of a unix socket that is asked for one of @size bytes; 0 when that is
 * not known. Home thread. */
int relay_loop_send_buffer(RelayLoop *loop, size_t size);

/* ---- one direction (relay-flow.c) ---- */

typedef struct RelayFlow {
    uint64_t bytes;
    RelayPipe *pipe; /* holds @held bytes, or NULL */
    char *rest;      /* holds them from @rest_offset on, or NULL */
    uint32_t held;   /* read and not written yet */
    uint32_t rest_offset;
    bool eof;       /* nothing more is read */
    bool done;      /* nothing more is written: the receiver knows of the end */
    bool bulk;      /* by splice(2) */
    bool enlarged;  /* the sink's own buffer was, where that pays */
    bool full;      /* the pipe is, though it may hold less than it is allowed to */
    bool broken;    /* the source failed; what came before is to be written still */
    bool no_splice; /* the kernel can't between these two */
} RelayFlow;

typedef enum {
    FLOW_GOES_ON,
    FLOW_SOURCE_FAILED,
    FLOW_SINK_FAILED,
} FlowResult;

/* Whether it would read what comes, with up to @limit bytes held at a time. */
bool relay_flow_wants(const RelayFlow *flow, size_t limit);

/* Copy from @source to @sink what is there and fits, up to @limit bytes held at a time. */
FlowResult relay_flow_pump(RelayFlow *flow, RelayLoop *loop, int source, int sink, size_t limit);

/* Have what it holds in *@held, @flow->held bytes, to be freed, or NULL; then it holds nothing.
 * False when out of memory. */
bool relay_flow_take_held(RelayFlow *flow, char **held);

/* Forget what it holds. */
void relay_flow_drop(RelayFlow *flow);

/* ---- a connection (relay-connection.c) ---- */

enum {
    RELAY_CLIENT,
    RELAY_TARGET,
};

struct RelayConnection {
    RelayWorker *worker;          /* while it has a RelayResolve guarded by Relay.lock */
    RelayConnection *prev, *next; /* in a list of the worker's */
    RelayFlow flow[2];            /* from fd[i] to fd[1 - i] */
    int fd[2];                    /* of the client and of the target; -1: none */
    uint8_t watched[2];           /* EPOLLIN and EPOLLOUT that fd[i] is watched for */
    bool reset;                   /* a side broke it off */
    bool in_transit;              /* guarded as @worker */
    RelayConnect *connect;        /* while it has no target yet */
    RelayTargets *targets;        /* a reference, that @target is in */
    RelayTarget *target;          /* the one that it has or tries, or NULL */
    int64_t active_ns;            /* when something was last sent, or the address's try began */
    int64_t began_ns;
    uint64_t id;
};

/* A new connection of @worker for the client @fd; it belongs to nobody yet. */
RelayConnection *relay_connection_new(RelayWorker *worker, int fd);

/* Begin, or go on, in the home thread of its worker: set handlers, as its state asks for. */
void relay_connection_watch(RelayConnection *connection);

/* Take its handlers and timers out, in the home thread of its worker. */
void relay_connection_unwatch(RelayConnection *connection);

/* It has a target now, connected to fd[RELAY_TARGET]. */
void relay_connection_established(RelayConnection *connection);

/* Free it, which is in no list; its descriptors are somebody else's. */
void relay_connection_free(RelayConnection *connection);

/* End and free it. */
void relay_connection_close(RelayConnection *connection, RelayCause cause);

/* Have @side's descriptor watched for @events, EPOLLIN and EPOLLOUT; false and errno when the
 * system refuses. */
bool relay_connection_set_events(RelayConnection *connection, int side, uint8_t events);

/* The worker found @side's descriptor ready for @events; the connection may be closed after this.
 */
void relay_connection_ready(RelayConnection *connection, int side, uint32_t events);

/* ---- connecting (relay-connect.c) ---- */

struct RelayConnect {
    RelayConnection *connection;
    RelayResolve *resolve;    /* the look-up that is under way, or NULL */
    RelaySockaddr *addresses; /* of the target that is tried, when looked up; else NULL */
    unsigned n_addresses;     /* of the target, 0 while there is none */
    unsigned next_address;
    unsigned first; /* where the turn began */
    bool desperate; /* the targets that are down are tried too */
    bool retrying;  /* the timer is to come */
    bool is_short;  /* because the system is short of what a socket takes */
    bool has_timer;
    QEMUTimer timer;  /* for what the kernel does not announce */
    int64_t retry_ns; /* how long it waits the next time */
    RelayCause cause; /* why the last try failed */
    bool tried[];     /* by index in the targets */
};

/* Begin connecting @connection; it may be closed when this returns. */
void relay_connect_begin(RelayConnection *connection);

/* The address that is tried did not answer in time, nor was the name looked up. */
void relay_connect_timed_out(RelayConnection *connection);

/* Set and take out what waits; the connection is about to be moved, or freed. */
void relay_connect_watch(RelayConnection *connection);
void relay_connect_unwatch(RelayConnection *connection);
void relay_connect_free(RelayConnection *connection);

/* The look-up is over: @n addresses in @addresses, which is taken over, or 0 and why. */
void relay_connect_resolved(RelayConnection *connection, RelaySockaddr *addresses, unsigned n,
                            RelayCause cause, const char *reason);

/* ---- looking up names (relay-resolve.c) ---- */

/* Look up @address for @connection, by the thread pool of its context. It follows the connection
 * wherever that goes, and calls relay_connect_resolved() there, not before this has returned. */
RelayResolve *relay_resolve_start(RelayConnection *connection, const RelayAddress *address);

/* The connection does not want it any more. */
void relay_resolve_abandon(Relay *relay, RelayResolve *resolve);

/* ---- a worker (relay-worker.c) ---- */

typedef struct RelayList {
    RelayConnection *head, *tail;
} RelayList;

void relay_list_append(RelayList *list, RelayConnection *connection);

struct RelayWorker {
    Relay *relay;
    AioContext *ctx; /* a reference */
    RelayLoop *loop;
    RelayCounters counters;
    int epoll; /* the set of all descriptors of its connections */
    /* Home thread: */
    struct epoll_event *ready; /* those of a batch that are to come, or NULL */
    int n_ready;
    /* Both ordered by active_ns, the oldest first; the second while there is an idle timeout. */
    RelayList connecting;
    RelayList established;
    QEMUTimer timer;  /* for the earliest timeout of all, or earlier */
    int64_t timer_ns; /* when it comes; INT64_MAX: not */
    bool draining;
    int64_t drain_until_ns;
};

/* What a worker needs and may not get: an epoll set, or -1 and @errp. Any thread. */
int relay_worker_open(GError **errp);
/* A worker with that. Any thread. */
RelayWorker *relay_worker_new(Relay *relay, AioContext *ctx, int epoll);
/* It has no connections any more, and gets none: the context is to forget it; in its home thread.
 */
void relay_worker_rest(RelayWorker *worker);
/* It rests, or never had a connection. Any thread. */
void relay_worker_free(RelayWorker *worker);

/* Watch @side's descriptor of @connection for @events in place of those so far; 0: not at all.
 * False and errno when the system refuses. */
bool relay_worker_set_events(RelayWorker *worker, RelayConnection *connection, int side,
                             uint8_t events);

/* @connection is about to close its descriptors: let nothing that they are ready for get to it. */
void relay_worker_forget(RelayWorker *worker, RelayConnection *connection);

/* Put @connection at the end of the list that its state belongs to, active since now; and take it
 * out. */
void relay_worker_add(RelayWorker *worker, RelayConnection *connection);
void relay_worker_remove(RelayWorker *worker, RelayConnection *connection);

/* Something was sent on @connection. */
void relay_worker_touch(RelayWorker *worker, RelayConnection *connection);

/* A bottom half: take over the connection that the listener has accepted for a worker. */
void relay_worker_adopt(void *connection);

/* Take all connections out, to be handed over to @n of @to in turn: @lists gets one for each. */
void relay_worker_evacuate(RelayWorker *worker, RelayWorker *const *to, size_t n, RelayList *lists);

/* Take in a list of connections that relay_worker_evacuate() made. */
void relay_worker_take_in(RelayWorker *worker, RelayList *list);

/* The same for a worker that gives all to one that has nothing yet: that gets the epoll set as it
 * is. Each in its worker's home thread. */
void relay_worker_leave(RelayWorker *worker, RelayWorker *to);
void relay_worker_take_over(RelayWorker *worker, RelayWorker *from);

/* A bottom half: timeouts have been changed. */
void relay_worker_params_changed(void *worker);

/* Break off what is left at @until_ns; relay_worker_drained() is called when nothing is left. */
void relay_worker_drain(RelayWorker *worker, int64_t until_ns);

/* Do so at @until_ns instead, if anything is left. */
void relay_worker_drain_until(RelayWorker *worker, int64_t until_ns);

/* A connection has gone. */
void relay_worker_check_drained(RelayWorker *worker);

/* ---- the listener (relay-listener.c) ---- */

struct RelayListener {
    Relay *relay;
    int fd;
    UnixSocket *file; /* of a unix socket of the relay's own making; or NULL */
    bool is_borrowed; /* the descriptor is another's still */
    RelayCounters counters;
    /* Home thread of the first worker, while attached: */
    RelayWorker *const *workers;
    size_t n_workers;
    size_t next_worker;
    Acceptor acceptor;
    unsigned turned_away; /* that the log has not told of */
    int64_t next_log_ns;  /* when it may */
};

/* Listen on @address: on the socket of @frozen, if there is that, or on @fd, when it is an fd. What
 * was given is borrowed only, until relay_listener_own(). NULL and @errp. */
RelayListener *relay_listener_new(Relay *relay, const RelayAddress *address, int fd,
                                  const RelayFrozen *frozen, GError **errp);
/* Take over what was borrowed; of @frozen, or NULL. */
void relay_listener_own(RelayListener *listener, RelayFrozen *frozen);
/* It is detached. What is its own is closed and removed. */
void relay_listener_free(RelayListener *listener);

/* It is detached: let @frozen have the socket as it is, and free the rest. */
void relay_listener_freeze(RelayListener *listener, RelayFrozen *frozen);

/* Accept for @workers, on the first one's context, and stop that; in its home thread. */
void relay_listener_attach(RelayListener *listener, RelayWorker *const *workers, size_t n);
void relay_listener_detach(RelayListener *listener);

/* ---- the relay ---- */

typedef struct RelayOp RelayOp;

/* The names of its sources. */
typedef struct RelayNames {
    const char *accept;
    const char *ready;
    const char *timeout;
    const char *retry;
} RelayNames;

struct Relay {
    RelayNames names; /* constant */
    atomic_uint refs; /* the owner, and look-ups under way */
    pthread_mutex_t lock;
    RelayTargets *targets; /* guarded by @lock */

    _Atomic int64_t buffer_size;
    _Atomic int64_t max_connections;
    _Atomic int64_t idle_timeout_ms;
    _Atomic int64_t connect_timeout_ms;
    _Atomic int64_t target_retry_ms;
    atomic_bool verbose;
    _Atomic uint64_t n_connections;
    _Atomic uint64_t next_id;

    char *id; /* for the log */
    AioContext *owner;
    const RelayEvents *events;
    void *opaque;

    /* The owner's thread: */
    RelayListener *listener;
    RelaySockaddr bound; /* where it listens; constant, and so are the next two */
    bool only_ipv6;      /* not IPv4 too, when that is all of IPv6 */
    char *address;
    RelayWorker **workers;
    size_t n_workers;
    RelayStats past;   /* of workers that are gone */
    GQueue ops;        /* of RelayOp (relay-operation.h): the first is under way */
    RelayOp *deletion; /* set before workers drain */
};

/* ---- frozen connections (relay-frozen.c) ---- */

/* Freeze all connections of @worker, which drains: an array of RelayFrozenConnection. In its home
 * thread. */
GArray *relay_worker_freeze(RelayWorker *worker);

/* In the owner's thread: add such an array, which is freed; and those of @targets that are down. */
void relay_frozen_add(RelayFrozen *frozen, GArray *connections);
void relay_frozen_add_down(RelayFrozen *frozen, RelayTargets *targets);

/* Let @relay, which begins, go on with the connections and numbers of @frozen. */
void relay_thaw(Relay *relay, RelayFrozen *frozen);

/* Let those of @targets be down that are so in @frozen. */
void relay_thaw_down(RelayTargets *targets, const RelayFrozen *frozen);

/* ---- operations ---- */

/* The worker is done with draining (relay-end.c); in its home thread. */
void relay_worker_drained(RelayWorker *worker);

/* Let all workers know that timeouts have been changed, after what is under way. */
void relay_params_changed(Relay *relay);

/* Add what workers counted that a move under way has made. */
void relay_add_moving_stats(Relay *relay, RelayStats *stats);

void relay_ref(Relay *relay);
void relay_unref(Relay *relay);

/* Add what @counters counted. */
void relay_stats_add(RelayStats *stats, RelayCounters *counters);

/* Tell the owner of an event; any thread. */
void relay_tell_connected(RelayConnection *connection);
void relay_tell_disconnected(RelayConnection *connection, RelayCause cause);
void relay_tell_target(Relay *relay, RelayTarget *target, const char *down_reason);

/* Now, as all of a relay's times are given. */
static inline int64_t relay_now_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
}

#endif
