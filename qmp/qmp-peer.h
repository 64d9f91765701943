/*
 * The client at the other end of a connection, as the kernel tells it.
 */
#ifndef QMP_QMP_PEER_H
#define QMP_QMP_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "qmp/qmp-access.h"

typedef enum {
    QMP_PEER_UNKNOWN,
    QMP_PEER_UNIX,
    QMP_PEER_VSOCK,
} QmpPeerKind;

/* What it was when it connected: a process may have passed the connection on since. */
typedef struct QmpPeer {
    QmpPeerKind kind;
    pid_t pid; /* of a unix socket; 0: of a process that can't be seen from here */
    uid_t uid;
    gid_t gid;
    unsigned cid; /* of a vsock */
    unsigned port;
} QmpPeer;

/* Find out who is at the other end of the connected socket @fd. Any thread. */
void qmp_peer_read(QmpPeer *peer, int fd);

/* @peer in words, for the log; the caller frees it. */
char *qmp_peer_describe(const QmpPeer *peer);

/* Whether @access lets @peer, at the other end of @fd, connect. */
bool qmp_peer_is_allowed(const QmpPeer *peer, int fd, const QmpAccess *access);

#endif
