/*
 * The inside of sessions and of the server.
 *
 *   qmp-server.c     life of the server, the list of sessions, the dispatcher, events
 *   qmp-listener.c   accepting, and who is accepted
 *   qmp-session.c    a session's life; requests in: reading, negotiating, queueing
 *   qmp-output.c     answers and events out
 *   qmp-audit.c      who changed what, for the log
 *   qmp-protocol.c   the commands of the protocol itself
 *
 * Locks: server->lock and session->lock, leaf locks both: nothing holds the two together.
 */
#ifndef QMP_QMP_SESSION_INTERNAL_H
#define QMP_QMP_SESSION_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <glib.h>

#include "qmp/qmp-json.h"
#include "qmp/qmp-log-limit.h"
#include "qmp/qmp-peer.h"
#include "qmp/qmp-request.h"
#include "qmp/qmp-server.h"

/* What one system call reads of a session: the size of server->read_buffer. */
#define QMP_READ_SIZE 16384

/* What of a client's descriptors may wait for a command to take them. */
#define QMP_MAX_RECEIVED_FDS 16

/* A descriptor that goes along with the byte at @at of the output. */
typedef struct QmpOutputFd {
    size_t at;
    int fd;
} QmpOutputFd;

typedef struct QmpListener QmpListener;

/* What has been given to a session to send, and has not been taken by the socket. */
typedef struct QmpOutput {
    GByteArray *bytes; /* NULL when there is nothing */
    size_t sent;       /* of these */
    GArray *fds;       /* of QmpOutputFd, in their order; closes what it holds; NULL: none */
} QmpOutput;

struct QmpSession {
    _Atomic unsigned refcount;
    QmpServer *server;
    unsigned number; /* for the log */
    QmpPeer peer;
    const QmpAccess *access;
    QEMUBH *update_bh; /* on the monitor: looks what there is to do, qmp_session_update() */

    /* The monitor thread's own. */
    QmpListener *listener;        /* lives until all its sessions are closed */
    QEMUTimer *negotiation_timer; /* NULL once negotiated, or without a limit */
    QmpJsonParser *parser;
    GByteArray *unparsed; /* what was read behind the request at which reading paused, or NULL */
    size_t parsed;        /* of these, meanwhile */
    bool negotiated;
    bool oob_enabled;
    bool eof;     /* the client sends no more */
    bool reading; /* which handlers the descriptor has now */
    bool writing;
    int received_fds[QMP_MAX_RECEIVED_FDS]; /* by SCM_RIGHTS, the oldest first */
    unsigned n_received_fds;
    bool lost_fds; /* more came than can be kept, which has been logged */

    pthread_mutex_t lock;  /* guards all below */
    int fd;                /* -1 once closed */
    bool ended;            /* to be closed by the monitor as soon as it gets to it */
    bool command_mode;     /* negotiated: gets events */
    bool ends_negotiation; /* what is sent next is the answer that begins the command mode */
    bool paused;           /* reading waits for an answer */
    bool half_closed;      /* a copy of eof */
    GQueue queue;          /* of QmpRequest: in-band, not yet run */
    unsigned in_flight;    /* these and the one that runs */
    bool running;          /* one is being run */
    QmpOutput output;
    GHashTable *fds; /* name -> descriptor + 1, by getfd; NULL when there are none */
};

struct QmpServer {
    QmpServerConfig config;
    AioContext *monitor_context;
    QEMUBH *dispatcher_bh;
    char *greeting;
    char *greeting_without_oob;
    GPtrArray *listeners;       /* of QmpListener; monitor thread */
    unsigned next_number;       /* monitor thread */
    unsigned char *read_buffer; /* monitor thread: for every session's reading */

    pthread_mutex_t lock; /* guards all below */
    GHashTable *sessions; /* a set, each with a reference */
    GQueue ready;         /* of QmpSession, with references: have a request to be run */
    unsigned running;     /* in-band requests being run */
    bool stopped;         /* none is started any more */
};

/* ---- qmp-session.c ---- */

/* A session of @listener with @peer on the connected socket @fd, which it takes over. Monitor
 * thread. */
void qmp_session_new(QmpListener *listener, int fd, const QmpPeer *peer);

QmpSession *qmp_session_ref(QmpSession *session);
void qmp_session_unref(QmpSession *session);

/* Close the connection and drop what is queued. Monitor thread. */
void qmp_session_close(QmpSession *session);

/* Whether the client has closed its end altogether. With session->lock held. */
bool qmp_session_peer_is_gone(QmpSession *session);

/* ---- qmp-server.c ---- */

/* @session has a request to be run, and none running. Monitor or main thread, no lock held. */
void qmp_server_make_ready(QmpServer *server, QmpSession *session);

/* The in-band request that ran has been answered. Main thread. */
void qmp_server_request_done(QmpServer *server, QmpSession *session);

/* ---- qmp-output.c ---- */

/* Answer @request on its session. Monitor or main thread. */
void qmp_session_reply(QmpSession *session, QmpRequest *request, json_object *value,
                       const GError *error);

/* Send @len bytes, or keep them until the socket takes them. Any thread. */
void qmp_session_send(QmpSession *session, const char *bytes, size_t len);

/* As qmp_session_send(), with a descriptor (-1: none), which is taken over, along with the first
 * byte. */
void qmp_session_send_with_fd(QmpSession *session, const char *bytes, size_t len, int fd);

/* Drop what was kept. With the lock held. */
void qmp_output_clear(QmpOutput *output);

/* Send what was kept, as far as the socket takes it. Monitor thread. */
void qmp_session_flush(QmpSession *session);

/* ---- qmp-listener.c: all of it on the monitor thread ---- */

/* The kinds of log lines that clients can cause, each with a limit of its own. */
enum {
    QMP_LISTENER_LOG_REFUSED,
    QMP_LISTENER_LOG_FULL,
    QMP_LISTENER_LOG_RESTS,
    QMP_LISTENER_LOG_SILENT,
    QMP_LISTENER_N_LOGS,
};

struct QmpListener {
    QmpServer *server;
    const QmpAccess *access;
    int fd; /* -1: it does not listen, or not any more */
    QEMUTimer *rest_timer;
    bool resting; /* the last try to accept has failed */
    unsigned n_sessions;
    QmpLogLimit *logs[QMP_LISTENER_N_LOGS];
};

QmpListener *qmp_listener_new(QmpServer *server, const QmpAccess *access);

/* Listen on @fd, which is taken over; qmp_listener_close() ends that. */
void qmp_listener_listen(QmpListener *listener, int fd);
void qmp_listener_close(QmpListener *listener);

/* Begin a session on the connected socket @fd, which is taken over, or close it. */
void qmp_listener_take_client(QmpListener *listener, int fd);

/* A descriptor has been freed: accept again, if that was the reason not to. */
void qmp_listener_wake(QmpListener *listener);

/* No session of it may be left. */
void qmp_listener_free(QmpListener *listener);

/* ---- qmp-audit.c ---- */

/* Log who has asked for what, when the command of @request changes something. Threads as
 * qmp_session_reply(). */
void qmp_session_log_change(QmpSession *session, QmpRequest *request, const GError *error);

#endif
