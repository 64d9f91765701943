/*
 * Lines of the log that an operator finds and reacts to: each kind of them has a name and an id,
 * and what is known about the line goes with it in fields.
 *
 * It is GLib's structured logging, so what becomes of a line is the writer's decision: the daemon
 * writes the text, and hands all of it to the journal when that is what it logs to. The ids of the
 * upper layers' kinds are here as well, because they share one name space with
 * daemon/systemd/evloopd.catalog and docs/operations.md. What has no kind is logged by g_warning()
 * and its like; so is all that libevloop logs.
 */
#ifndef QMP_QMP_LOG_H
#define QMP_QMP_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "qmp/qmp-peer.h"

/* Their names, ids and levels are in qmp-log-messages.c. An id is never given to another kind. */
typedef enum {
    /* Stalls. */
    QMP_LOG_LOOP_STALLED,     /* a loop is held */
    QMP_LOG_LOOP_RESUMED,     /* it goes on */
    QMP_LOG_WATCHDOG_STARVES, /* the manager's watchdog is not fed, because a loop is held */
    QMP_LOG_WATCHDOG_FED,     /* it is again */

    /* Refusals. */
    QMP_LOG_CLIENT_REFUSED,  /* a client is not among those that may connect */
    QMP_LOG_COMMAND_REFUSED, /* a session that may only read has sent what changes something */

    /* Limits. */
    QMP_LOG_CLIENT_TURNED_AWAY,     /* there are as many as there may be */
    QMP_LOG_SESSION_NOT_NEGOTIATED, /* its time to negotiate is over */
    QMP_LOG_SESSION_UNREAD,         /* its client leaves too much unread */
    QMP_LOG_DESCRIPTORS_DROPPED,    /* more came with a request than it may have */
    QMP_LOG_DESCRIPTORS_FULL,       /* more are to be kept than may be */
    QMP_LOG_ACCEPT_PAUSED,          /* out of descriptors or memory: clients wait */
    QMP_LOG_LINES_LOST,             /* the journal was stuck for too long */

    /* What a relay or a socket can't do. */
    QMP_LOG_SOCKET_SHUT_DOWN,
    QMP_LOG_TARGET_DOWN,
    QMP_LOG_TARGET_UP,

    /* Changes, and who made them. */
    QMP_LOG_COMMAND_DONE,
    QMP_LOG_COMMAND_FAILED,
    QMP_LOG_OBJECT_ADDED, /* this one and the next three by a configuration */
    QMP_LOG_OBJECT_DELETED,
    QMP_LOG_PROPERTY_SET,
    QMP_LOG_PROPERTY_SET_FOR_NOW, /* on the way to what it shall be, or back */
    QMP_LOG_CONFIGURATION_APPLIED,
    QMP_LOG_CONFIGURATION_REFUSED,
    QMP_LOG_CONFIGURATION_NOT_UNDONE,

    /* Lives: the daemon's, and those of its sessions. */
    QMP_LOG_READY,
    QMP_LOG_ENDING,
    QMP_LOG_START_FAILED,
    QMP_LOG_MANAGER_UNREACHABLE,
    QMP_LOG_SESSION_OPENED,
    QMP_LOG_SESSION_CLOSED,

    /* Restarts that lose nothing, and what is lost all the same. */
    QMP_LOG_RESTART_KEPT,           /* what there is is left to the next daemon */
    QMP_LOG_RESTART_DONE,           /* and that has taken it over */
    QMP_LOG_RESTART_OBJECT_DROPPED, /* nothing asks for it any more */
    QMP_LOG_RESTART_NOT_KEPT,       /* none of all this */
    QMP_LOG_RESTART_UNUSABLE,       /* all of what was left */
    QMP_LOG_RESTART_DESCRIPTORS_LOST,
    QMP_LOG_RESTART_OBJECT_ANEW, /* it could not be stopped */
    QMP_LOG_RESTART_OBJECT_LOST,
    QMP_LOG_RESTART_OBJECT_FD_LOST, /* the object has a new one */
    QMP_LOG_RESTART_CLOCKS_ANEW,
    QMP_LOG_RESTART_CONNECTIONS_LOST, /* of relays */
    QMP_LOG_RESTART_SOCKET_CLOSED,    /* a relay's, until the next start */

    QMP_LOG_N_MESSAGES,
} QmpLogMessage;

typedef struct QmpLogKind {
    const char *name;     /* what EVLOOPD_MESSAGE has */
    const char *id;       /* what MESSAGE_ID has: 128 bits in hexadecimal */
    GLogLevelFlags level; /* of all its lines */
} QmpLogKind;

/* The kind of @message. Any thread. */
const QmpLogKind *qmp_log_kind(QmpLogMessage message);

/* What is known about a line. What is NULL or 0 is not, and is left out. */
typedef struct QmpLogFields {
    const char *object;   /* EVLOOPD_OBJECT: the id of the object that it is about */
    const char *type;     /* EVLOOPD_TYPE: that object's type */
    const char *property; /* EVLOOPD_PROPERTY: a property of it */
    const char *target;   /* EVLOOPD_TARGET: the target of a relay, as its property has it */
    const char *loop;     /* EVLOOPD_LOOP: the id of a loop, as query-loops has it */
    const char *source;   /* EVLOOPD_SOURCE: what holds the loop, as query-loops has it */
    const char *socket;   /* EVLOOPD_SOCKET: the address of a control socket, or a relay's */
    unsigned session;     /* EVLOOPD_SESSION: its number, as query-clients has it */
    const QmpPeer *peer;  /* EVLOOPD_PEER_UID, _GID and _PID, or _CID of vsock: the client */
    const char *command;  /* EVLOOPD_COMMAND: its name */
    const char *reason;   /* EVLOOPD_REASON: why it failed */
    int64_t duration_ns;  /* EVLOOPD_DURATION_NSEC */
    uint64_t count;       /* EVLOOPD_COUNT: how many this line stands for, when not one */
} QmpLogFields;

/* Log a line of the kind @message; @fields may be NULL. What is not shown is not even formatted.
 * Any thread. */
void qmp_log(QmpLogMessage message, const QmpLogFields *fields, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
void qmp_log_va(QmpLogMessage message, const QmpLogFields *fields, const char *format, va_list args)
    G_GNUC_PRINTF(3, 0);

/* Whether lines of that kind are shown: for what costs something to prepare. Any thread. */
bool qmp_log_shows(QmpLogMessage message);

/* Show lines of @least and of more important levels only; before it is called all are shown. Any
 * thread. */
void qmp_log_set_level(GLogLevelFlags least);

#endif
