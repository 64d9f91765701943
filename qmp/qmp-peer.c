/*
 * The client at the other end of a connection: who it is, and whether it may be there.
 */
#include "config.h"
#include "qmp/qmp-peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

static void read_unix(QmpPeer *peer, int fd)
{
    struct ucred credentials;
    socklen_t len = sizeof(credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) == 0) {
        peer->kind = QMP_PEER_UNIX;
        peer->pid = credentials.pid;
        peer->uid = credentials.uid;
        peer->gid = credentials.gid;
    }
}

static void read_vsock(QmpPeer *peer, int fd)
{
    struct sockaddr_vm address;
    socklen_t len = sizeof(address);

    if (getpeername(fd, (struct sockaddr *)&address, &len) == 0) {
        peer->kind = QMP_PEER_VSOCK;
        peer->cid = address.svm_cid;
        peer->port = address.svm_port;
    }
}

void qmp_peer_read(QmpPeer *peer, int fd)
{
    int domain = AF_UNSPEC;
    socklen_t len = sizeof(domain);

    *peer = (QmpPeer){ .kind = QMP_PEER_UNKNOWN };
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    if (domain == AF_UNIX) {
        read_unix(peer, fd);
    } else if (domain == AF_VSOCK) {
        read_vsock(peer, fd);
    }
}

char *qmp_peer_describe(const QmpPeer *peer)
{
    switch (peer->kind) {
    case QMP_PEER_UNIX:
        return g_strdup_printf("uid %u, gid %u, pid %d", peer->uid, peer->gid, peer->pid);
    case QMP_PEER_VSOCK:
        return g_strdup_printf("vsock CID %u, port %u", peer->cid, peer->port);
    case QMP_PEER_UNKNOWN:
        break;
    }
    return g_strdup("unknown client");
}

static bool has_uid(const GArray *uids, uid_t uid)
{
    for (guint i = 0; uids && i < uids->len; i++) {
        if (g_array_index(uids, uid_t, i) == uid) {
            return true;
        }
    }
    return false;
}

static bool has_gid(const GArray *gids, gid_t gid)
{
    for (guint i = 0; i < gids->len; i++) {
        if (g_array_index(gids, gid_t, i) == gid) {
            return true;
        }
    }
    return false;
}

/* Whether one of the supplementary groups of the client at @fd is among @gids. */
static bool has_supplementary_group(const GArray *gids, int fd)
{
    g_autoptr(GArray) groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
    socklen_t len = 0;

    /* The kernel says how much room it needs; the groups of a connection don't change. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE) {
        return false;
    }
    g_array_set_size(groups, (guint)(len / sizeof(gid_t)));
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups->data, &len) != 0) {
        return false;
    }
    for (guint i = 0; i < len / sizeof(gid_t); i++) {
        if (has_gid(gids, g_array_index(groups, gid_t, i))) {
            return true;
        }
    }
    return false;
}

bool qmp_peer_is_allowed(const QmpPeer *peer, int fd, const QmpAccess *access)
{
    if (!access->uids && !access->gids) {
        return true;
    }
    if (peer->kind != QMP_PEER_UNIX) {
        return false;
    }
    return has_uid(access->uids, peer->uid) ||
           (access->gids &&
            (has_gid(access->gids, peer->gid) || has_supplementary_group(access->gids, fd)));
}
