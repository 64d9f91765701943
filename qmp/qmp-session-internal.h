/*
 * The inside of sessions and of the server.
 *
 *   qmp-server.c     life of the server, the list of sessions, events
 *   qmp-dispatch.c   running in-band requests, on the main loop
 *   qmp-listener.c   accepting, and who is accepted
 *   qmp-session.c    a session's life; requests in: reading, negotiating, queueing
 *   qmp-session-fds.c  its descriptors
 *   qmp-output.c     answers and events out, and the bounds on them
 *   qmp-backlog.c    what a session's socket has not taken yet
 *   qmp-audit.c      who changed what, or was not let, for the log
 *   qmp-protocol.c   the commands of the protocol itself
 *   qmp-clients.c    query-clients
 *
 * Locks: server->lock and session->lock, leaf locks both: nothing holds the two together.
 * server->shed_lock is taken before either, by one who holds none.
 */
#ifndef QMP_QMP_SESSION_INTERNAL_H
#define QMP_QMP_SESSION_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <glib.h>

#include "qmp/qmp-backlog.h"
#include "qmp/qmp-event-limit.h"
#include "qmp/qmp-fds.h"
#include "qmp/qmp-fdset.h"
#include "qmp/qmp-json.h"
#include "qmp/qmp-log-limit.h"
#include "qmp/qmp-peer.h"
#include "qmp/qmp-request.h"
#include "qmp/qmp-server.h"
#include "sockets/acceptor.h"

/* What one system call reads of a session: the size of server->read_buffer. */
#define QMP_READ_SIZE 16384

typedef struct QmpListener QmpListener;

struct QmpSession {
    _Atomic unsigned refcount;
    QmpServer *server;
    unsigned number; /* for the log */
    QmpPeer peer;
    const QmpAccess *access;
    AioContext *context; /* the monitor's */
    QEMUBH *update_bh;   /* of it: looks what there is to do; there as long as the session */

    /* The monitor thread's own. */
    QmpListener *listener;        /* lives until all its sessions are closed */
    QEMUTimer *negotiation_timer; /* NULL once negotiated, or without a limit */
    QmpJsonParser *parser;
    GByteArray *unparsed; /* what was read behind the request at which a turn ended, or NULL */
    size_t parsed;        /* of these, meanwhile */
    unsigned taken;       /* values, in this turn */
    bool negotiated;
    bool oob_enabled;
    bool eof;     /* the client sends no more */
    bool reading; /* which handlers the descriptor has now */
    bool writing;
    QmpFds *read_fds; /* that came with the bytes being parsed, not yet a request's; or NULL */
    QmpFds *kept_fds; /* likewise with earlier ones, for the next request only; or NULL */
    bool lost_fds;    /* some were dropped, which has been logged */

    pthread_mutex_t lock;  /* guards all below */
    int fd;                /* -1 once closed */
    bool ended;            /* to be closed by the monitor as soon as it gets to it */
    bool command_mode;     /* negotiated: gets events */
    bool ends_negotiation; /* what is sent next is the answer that begins the command mode */
    bool paused;           /* reading waits for an answer */
    bool half_closed;      /* a copy of eof */
    GQueue queue;          /* of QmpRequest: in-band, not yet run */
    unsigned in_flight;    /* these, the one that runs, and those out-of-band that take longer */
    unsigned n_large;      /* of many tokens, that came since none was in flight */
    bool running;          /* one is being run */
    bool newly_ready;      /* the main loop has yet to be told of the queue */
    bool held_back;        /* the dispatcher will flush output, and look whether reading goes on */
    QmpBacklog output;     /* given to be sent, and not taken by the socket */
    bool blocked;          /* the socket took less than it was offered: the monitor waits for it */
    char *end_reason;      /* why it has ended, for the log; NULL: its client knows */
    uint64_t events_lost;  /* since the last one that was sent */
    uint64_t events_told;  /* lost before, of which EVENTS_LOST has told */
    GHashTable *named_fds; /* name -> descriptor + 1, by getfd; NULL when there are none */

    _Atomic size_t counted; /* output.held as server->held has it; written with the lock held */
};

struct QmpServer {
    QmpServerConfig config;
    AioContext *monitor_context;
    QEMUBH *dispatcher_bh;
    GString *version_text; /* what query-version answers, and the greeting has */
    char *greeting;
    char *greeting_without_oob;
    GPtrArray *listeners;       /* of QmpListener; monitor thread */
    unsigned next_number;       /* monitor thread */
    unsigned char *read_buffer; /* monitor thread: for every session's reading */
    QmpFdsets *fdsets;          /* main thread */
    QmpLogLimit *fds_log;       /* main thread: descriptors that can't be kept */
    QmpEventLimit *event_limit;
    GPtrArray *held_back;      /* main thread: sessions, with references, see qmp-dispatch.c */
    bool holding_back;         /* main thread: the command that runs never blocks */
    _Atomic size_t held;       /* all sessions' output, in bytes of memory */
    _Atomic bool ending;       /* whoever ends the daemon waits for output to be taken */
    pthread_mutex_t shed_lock; /* held by who looks for the session that keeps most */

    pthread_mutex_t lock; /* guards all below */
    GHashTable *sessions; /* a set, each with a reference */
    GQueue ready;         /* of QmpSession, with references: have a request to be run */
    unsigned running;     /* in-band requests being run, and out-of-band ones that take longer */
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

/* @request, which runs out-of-band, will be answered after this turn. False when the server starts
 * nothing any more. Monitor thread. */
bool qmp_session_answer_later(QmpSession *session, QmpRequest *request);

/* Whether so much is in flight that reading has to pause. With session->lock held. */
bool qmp_session_is_full(const QmpSession *session);

/* Whether the client has closed its end altogether. With session->lock held. */
bool qmp_session_peer_is_gone(QmpSession *session);

/* ---- qmp-session-fds.c: monitor thread ---- */

/* As recv() without waiting; what descriptors came along becomes the session's. */
ssize_t qmp_session_receive(QmpSession *session, void *buffer, size_t size);

/* Give @request, just parsed, the descriptors that came with it, or see to it that none of its own
 * is left to the next. */
void qmp_session_hand_over_fds(QmpSession *session, QmpRequest *request);

/* All that one read gave has been parsed: close what nobody can claim any more. @bytes is what was
 * read; NULL when a request was among it. */
void qmp_session_settle_fds(QmpSession *session, const char *bytes, size_t len);

/* Close all that no request has. */
void qmp_session_close_fds(QmpSession *session);

/* ---- qmp-server.c ---- */

/* The sessions that there are now, with references that the caller drops with the array. Any
 * thread, no lock held. */
GPtrArray *qmp_server_get_sessions(QmpServer *server);

/* The line that is sent for @event, with the time of now. Any thread. */
GString *qmp_event_format(const QmpEvent *event, const void *data);

/* ---- qmp-dispatch.c ---- */

/* @session has a request to be run, and none running. Monitor or main thread, no lock held. */
void qmp_server_make_ready(QmpServer *server, QmpSession *session);

/* The in-band request that ran has been answered. Main thread. */
void qmp_server_request_done(QmpServer *server, QmpSession *session);

/* An out-of-band request takes longer than its turn; false when nothing is started any more. It has
 * been answered. Monitor thread. */
bool qmp_server_late_request_begins(QmpServer *server, QmpSession *session);
void qmp_server_late_request_done(QmpServer *server, QmpSession *session);

/* Bottom half of the main context: run what is ready, one request of each session in turn. */
void qmp_server_dispatch(void *opaque);

/* ---- qmp-output.c ---- */

/* Answer @request on its session. With @later more is about to come in this thread, and
 * qmp_session_flush_locked() after it. Monitor or main thread. */
void qmp_session_reply(QmpSession *session, QmpRequest *request, json_object *value,
                       const GError *error, bool later);

/* Send @len bytes, or keep them until the socket takes them. Any thread. */
void qmp_session_send(QmpSession *session, const char *bytes, size_t len);

/* The same for an event, which a session that is not in command mode, or leaves too much unread,
 * does not get. Any thread. */
void qmp_session_send_event(QmpSession *session, const char *bytes, size_t len);

/* Send what is kept, as far as the socket takes it. With session->lock held. Any thread. */
void qmp_session_flush_locked(QmpSession *session);

/* Forget what is kept. With session->lock held. Any thread. */
void qmp_session_drop_output_locked(QmpSession *session);

/* ---- qmp-listener.c: all of it on the monitor thread ---- */

/* The kinds of log lines that clients can cause, each with a limit of its own. */
enum {
    QMP_LISTENER_LOG_REFUSED,
    QMP_LISTENER_LOG_FULL,
    QMP_LISTENER_LOG_RESTS,
    QMP_LISTENER_LOG_SILENT,
    QMP_LISTENER_LOG_OUTPUT,
    QMP_LISTENER_LOG_FDS,
    QMP_LISTENER_LOG_COMMANDS,
    QMP_LISTENER_N_LOGS,
};

struct QmpListener {
    QmpServer *server;
    const QmpAccess *access;
    int fd; /* -1: it does not listen, or not any more */
    Acceptor acceptor;
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

/* What the log knows of @session, valid while that is. Any thread. */
QmpLogFields qmp_session_log_fields(const QmpSession *session);

/* Log that @session may not run @command. Monitor thread. */
void qmp_session_log_refusal(QmpSession *session, const QmpCommand *command);

/* Log that a descriptor, sent with @request, can't be kept because of @error, a limit. Main thread.
 */
void qmp_session_log_full(QmpSession *session, QmpRequest *request, const GError *error);

/* Log who has asked for what, when the command of @request changes something. Threads as
 * qmp_session_reply(). */
void qmp_session_log_change(QmpSession *session, QmpRequest *request, const GError *error);

/* ---- qmp-protocol.c ---- */

/* The data of EVENTS_LOST. */
typedef struct QmpEventsLost {
    int64_t count;
} QmpEventsLost;

#endif
