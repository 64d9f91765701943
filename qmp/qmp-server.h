/*
 * The QMP server: listening sockets, sessions, and events to all of them.
 *
 * Sessions are read, parsed and negotiated on the monitor IOThread, where out-of-band commands run
 * too. In-band commands run on the main context, in the order of their session, one request a
 * session in turn. Answers are written by whoever has them; what a socket does not take at once
 * is flushed by the monitor IOThread. What clients leave unread is bounded, for each and for all.
 */
#ifndef QMP_QMP_SERVER_H
#define QMP_QMP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <glib.h>

#include "iothreads/iothread.h"
#include "qmp/qmp-access.h"
#include "qmp/qmp-command.h"
#include "qmp/qmp-json.h"

typedef struct QmpServer QmpServer;

typedef struct QmpServerConfig {
    IOThread *monitor;              /* runs the sessions; outlives the server */
    AioContext *main_context;       /* runs in-band commands; outlives the server */
    const QmpRegistry *registry;    /* outlives the server */
    int version[3];                 /* major, minor, micro, for the greeting and query-version */
    const char *package;            /* likewise; must stay valid */
    QmpJsonLimits limits;           /* of requests */
    size_t max_output;              /* bytes that a session may leave unread, or one message */
    size_t max_output_total;        /* bytes that all sessions together may; 0: the default */
    int64_t negotiation_timeout_ns; /* sessions that take longer end; 0: none does */
} QmpServerConfig;

#define QMP_MAX_OUTPUT_DEFAULT       ((size_t)4 << 20)
#define QMP_MAX_OUTPUT_TOTAL_DEFAULT ((size_t)64 << 20)

/* Reading from a session pauses when more of its requests than these are unanswered: so many that
 * wait behind the one that runs. */
#define QMP_MAX_IN_FLIGHT 8

/* A server without listening sockets. Main thread. */
QmpServer *qmp_server_new(const QmpServerConfig *config);

/* Accept sessions on @fd, a non-blocking stream socket that listens, which the server takes over.
 * @access outlives the server. Main thread. */
void qmp_server_listen(QmpServer *server, int fd, const QmpAccess *access);

/* Begin a session on @fd, a connected stream socket, which the server takes over. @access outlives
 * the server, and is held against the peer as if it had connected. Main thread. */
void qmp_server_connect(QmpServer *server, int fd, const QmpAccess *access);

/* Send an event to every session in command mode, at once or as its limit says: @data is the bound
 * struct of its data. Any thread. */
void qmp_server_emit(QmpServer *server, const QmpEvent *event, const void *data);

/* Stop listening and starting in-band commands, and send events that wait. Main thread. */
void qmp_server_stop(QmpServer *server);

/* Whether in-band commands are still running. Main thread. */
bool qmp_server_is_busy(QmpServer *server);

/* Whether a session has output that its client has not taken yet. Main thread. */
bool qmp_server_has_output(QmpServer *server);

/* Close all sessions and free the server. No in-band command may be running, and no thread but the
 * main one and the monitor may emit any more. Main thread. */
void qmp_server_free(QmpServer *server);

/* The "qemu" version triple and package of the config as JSON text of *@len bytes, the server's
 * own; query-version answers it. Any thread. */
const char *qmp_server_version_text(const QmpServer *server, size_t *len);

const QmpRegistry *qmp_server_get_registry(const QmpServer *server);

/* ---- a session's descriptors, named by getfd; main thread ---- */

/* What a session may keep of them. */
#define QMP_MAX_NAMED_FDS 256

/* Keep @fd, which is taken over, as @name, in place of one that had that name. False and @errp, and
 * it is closed, when the session keeps as many as it may; never of one that was taken out just now.
 */
bool qmp_session_add_fd(QmpSession *session, const char *name, int fd, GError **errp);

/* Take the descriptor @name out, which the caller closes; -1 when there is none. */
int qmp_session_take_fd(QmpSession *session, const char *name);

#endif
