/*
 * A session's descriptors: those that come in with requests, and those that getfd has named.
 *
 * Descriptors belong to a request that has bytes in the read that they came with; when it has
 * several, to the first of them whose command takes descriptors. The kernel ends a read behind the
 * sendmsg() that had descriptors with it, but may have put bytes of earlier ones before it, which
 * is why the first request of the read is not the one to go by. Two cases have no such request yet:
 * a request that goes on in the next read has it until it is complete, and white space alone stands
 * for the request that follows it. What is left over is closed: none waits for a later request.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include <errno.h>
#include <string.h>

#include "qmp/qmp-error.h"

/* ---- with requests ---- */

/* Once a session, for its client decides how often it happens. */
static void warn_of_lost_fds(QmpSession *session, const QmpFds *fds)
{
    if (fds && (fds->too_many || fds->ran_out) && !session->lost_fds) {
        QmpLogFields fields = qmp_session_log_fields(session);

        session->lost_fds = true;
        qmp_log_limit_say(session->listener->logs[QMP_LISTENER_LOG_FDS],
                          QMP_LOG_DESCRIPTORS_DROPPED, &fields,
                          "session %u: dropped descriptors that were sent: more than %d came with "
                          "one request, or the daemon is out of them",
                          session->number, QMP_MAX_FDS);
    }
}

ssize_t qmp_session_receive(QmpSession *session, void *buffer, size_t size)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(QMP_MAX_FDS * sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = buffer, .iov_len = size };
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n;

    do {
        n = recvmsg(session->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        session->read_fds = qmp_fds_join(session->read_fds, qmp_fds_from_message(&message));
        warn_of_lost_fds(session, session->read_fds);
    }
    return n;
}

void qmp_session_hand_over_fds(QmpSession *session, QmpRequest *request)
{
    const QmpCommand *command = qmp_request_get_command(request);
    QmpFds *kept = g_steal_pointer(&session->kept_fds);

    /* Also when the request fails: they came with it, and are not the next one's. */
    if (command && (command->flags & QMP_COMMAND_TAKES_FD)) {
        kept = qmp_fds_join(kept, g_steal_pointer(&session->read_fds));
        warn_of_lost_fds(session, kept);
        qmp_request_set_fds(request, kept);
    } else {
        qmp_fds_free(kept);
    }
}

static bool is_blank(const char *bytes, size_t len)
{
    size_t i = 0;

    while (i < len && strchr(" \t\r\n", bytes[i]) && bytes[i]) {
        i++;
    }
    return i == len;
}

void qmp_session_settle_fds(QmpSession *session, const char *bytes, size_t len)
{
    QmpFds *fds;
    QmpJsonPosition position;

    if (!session->read_fds && !session->kept_fds) {
        return;
    }
    fds = qmp_fds_join(g_steal_pointer(&session->kept_fds), g_steal_pointer(&session->read_fds));
    position = qmp_json_parser_get_position(session->parser);
    if (position == QMP_JSON_INSIDE ||
        (position == QMP_JSON_BETWEEN && bytes && is_blank(bytes, len))) {
        session->kept_fds = fds;
    } else {
        qmp_fds_free(fds);
    }
}

void qmp_session_close_fds(QmpSession *session)
{
    g_clear_pointer(&session->read_fds, qmp_fds_free);
    g_clear_pointer(&session->kept_fds, qmp_fds_free);
}

/* ---- with names ---- */

static void close_value(gpointer value)
{
    qmp_fds_close_one(GPOINTER_TO_INT(value) - 1);
}

bool qmp_session_add_fd(QmpSession *session, const char *name, int fd, GError **errp)
{
    gpointer key = NULL;
    gpointer replaced = NULL;
    bool fits;

    pthread_mutex_lock(&session->lock);
    if (!session->named_fds) {
        session->named_fds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_value);
    }
    g_hash_table_steal_extended(session->named_fds, name, &key, &replaced);
    fits = g_hash_table_size(session->named_fds) < QMP_MAX_NAMED_FDS;
    if (fits) {
        g_hash_table_insert(session->named_fds, g_strdup(name), GINT_TO_POINTER(fd + 1));
    }
    pthread_mutex_unlock(&session->lock);
    g_free(key);
    /* With no lock held: closing may take as long as the one who sent it likes. */
    if (replaced) {
        close_value(replaced);
    }
    if (!fits) {
        qmp_fds_close_one(fd);
        return qmp_error_set(errp,
                             "Descriptor '%s': the session keeps %d already, and may keep no more",
                             name, QMP_MAX_NAMED_FDS);
    }
    return true;
}

int qmp_session_take_fd(QmpSession *session, const char *name)
{
    gpointer key = NULL;
    gpointer value = NULL;

    pthread_mutex_lock(&session->lock);
    if (session->named_fds) {
        g_hash_table_steal_extended(session->named_fds, name, &key, &value);
        g_free(key);
    }
    pthread_mutex_unlock(&session->lock);
    return GPOINTER_TO_INT(value) - 1;
}
