/*
 * Lists of descriptors that came along with a message.
 */
#include "config.h"
#include "qmp/qmp-fds.h"

#include <string.h>
#include <unistd.h>

#include "qmp/qmp-error.h"

void qmp_fds_close_one(int fd)
{
    const struct linger none = { .l_onoff = 0 };
    struct linger linger;
    socklen_t len = sizeof(linger);

    if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 && linger.l_onoff &&
        linger.l_linger > 0) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    }
    close(fd);
}

static void append(QmpFds *fds, int fd)
{
    if (fds->n < QMP_MAX_FDS) {
        fds->fds[fds->n++] = fd;
    } else {
        fds->too_many = true;
        qmp_fds_close_one(fd);
    }
}

QmpFds *qmp_fds_from_message(struct msghdr *message)
{
    QmpFds *fds = NULL;

    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
        size_t n;

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        fds = fds ? fds : g_new0(QmpFds, 1);
        n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
            append(fds, fd);
        }
    }
    /* The kernel has dropped some: those that did not fit, or that it found no number for. */
    if (message->msg_flags & MSG_CTRUNC) {
        fds = fds ? fds : g_new0(QmpFds, 1);
        fds->too_many |= fds->n == QMP_MAX_FDS;
        fds->ran_out |= fds->n < QMP_MAX_FDS;
    }
    return fds;
}

QmpFds *qmp_fds_join(QmpFds *fds, QmpFds *more)
{
    if (!fds || !more) {
        return fds ? fds : more;
    }
    for (unsigned i = 0; i < more->n; i++) {
        append(fds, more->fds[i]);
    }
    fds->too_many |= more->too_many;
    fds->ran_out |= more->ran_out;
    g_free(more);
    return fds;
}

int qmp_fds_take(QmpFds *fds, const char *what, GError **errp)
{
    const char *space = what[0] ? " " : "";
    int fd;

    if (fds && fds->too_many) {
        qmp_error_set(errp, "More than %d descriptors%s%s were sent along", QMP_MAX_FDS, space,
                      what);
        return -1;
    }
    if (fds && fds->ran_out) {
        qmp_error_set(errp, "The descriptor%s%s was lost: the daemon has no room for more", space,
                      what);
        return -1;
    }
    if (!fds || fds->n == 0) {
        qmp_error_set(errp, "No descriptor%s%s was sent along, by SCM_RIGHTS", space, what);
        return -1;
    }
    fd = fds->fds[0];
    fds->n--;
    memmove(fds->fds, fds->fds + 1, fds->n * sizeof(int));
    return fd;
}

void qmp_fds_free(QmpFds *fds)
{
    if (!fds) {
        return;
    }
    for (unsigned i = 0; i < fds->n; i++) {
        qmp_fds_close_one(fds->fds[i]);
    }
    g_free(fds);
}
