/*
 * Descriptors that came along with the bytes of a message, by SCM_RIGHTS.
 *
 * A list has one owner at a time: the session while the message is parsed, then the request that
 * they belong to. Whoever frees it closes what nobody has taken.
 */
#ifndef QMP_QMP_FDS_H
#define QMP_QMP_FDS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <glib.h>

/* The most that may come with one message. */
#define QMP_MAX_FDS 16

typedef struct QmpFds {
    int fds[QMP_MAX_FDS]; /* the oldest first */
    unsigned n;
    bool too_many; /* more came, which are closed */
    bool ran_out;  /* some were lost, for the daemon had no room for them */
} QmpFds;

/* The descriptors that recvmsg() has put into @message; NULL when there were none. */
QmpFds *qmp_fds_from_message(struct msghdr *message);

/* Append those of @more, which is freed, to @fds; either may be NULL. Returns the one list. */
QmpFds *qmp_fds_join(QmpFds *fds, QmpFds *more);

/* Take the oldest out of @fds, which may be NULL, for the one who @what names: "for 'name'", or "".
 * The caller closes it. -1 and @errp when there is none, or there were too many. */
int qmp_fds_take(QmpFds *fds, const char *what, GError **errp);

/* Close a descriptor that a client has sent. Of a socket that lingers, close() would wait for as
 * long as its client chose, and the thread with it: so it lingers no more. */
void qmp_fds_close_one(int fd);

/* Close them all, and free the list. NULL is ignored. */
void qmp_fds_free(QmpFds *fds);

#endif
