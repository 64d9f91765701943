/*
 * Answers and events on their way out.
 *
 * Whoever has something to send tries the socket at once, in its own thread. What the socket does
 * not take is kept, up to the server's limit, and the monitor flushes it. As long as something is
 * kept all else queues up behind it, so the order stays.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/qmp-error.h"

/* The bytes that the socket took, and with the first of them the descriptor @fd (-1: none); the
 * session has ended when it is broken. With the lock held. */
static size_t try_send_locked(QmpSession *session, const void *bytes, size_t len, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .bytes = { 0 } };
    struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    if (fd >= 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
    }
    do {
        n = sendmsg(session->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        return (size_t)n;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
        session->ended = true;
    }
    return 0;
}

static void close_output_fd(gpointer data)
{
    close(((QmpOutputFd *)data)->fd);
}

static void keep_fd(QmpOutput *output, int fd)
{
    QmpOutputFd entry = { .at = output->bytes->len, .fd = fd };

    if (!output->fds) {
        output->fds = g_array_new(FALSE, FALSE, sizeof(QmpOutputFd));
        g_array_set_clear_func(output->fds, close_output_fd);
    }
    g_array_append_val(output->fds, entry);
}

/* Forget what has been sent. */
static void compact(QmpOutput *output)
{
    g_byte_array_remove_range(output->bytes, 0, (guint)output->sent);
    for (guint i = 0; output->fds && i < output->fds->len; i++) {
        g_array_index(output->fds, QmpOutputFd, i).at -= output->sent;
    }
    output->sent = 0;
}

void qmp_output_clear(QmpOutput *output)
{
    g_clear_pointer(&output->bytes, g_byte_array_unref);
    g_clear_pointer(&output->fds, g_array_unref);
    output->sent = 0;
}

/* Keep what the socket did not take. One message is kept whatever its size: its client has had no
 * time yet to read it. Returns whether @fd (-1: none) is kept too. With the lock held. */
static bool keep_locked(QmpSession *session, const char *bytes, size_t len, int fd)
{
    QmpOutput *output = &session->output;
    size_t kept = output->bytes ? output->bytes->len - output->sent : 0;

    if (kept > 0 && kept + len > session->server->config.max_output) {
        g_warning("session %u: disconnected, for its client leaves more than %zu bytes unread",
                  session->number, session->server->config.max_output);
        session->ended = true;
        return false;
    }
    if (!output->bytes) {
        output->bytes = g_byte_array_new();
    }
    if (output->sent > output->bytes->len / 2) {
        compact(output);
    }
    if (fd >= 0) {
        keep_fd(output, fd);
    }
    g_byte_array_append(output->bytes, (const guint8 *)bytes, (guint)len);
    return true;
}

void qmp_session_send(QmpSession *session, const char *bytes, size_t len)
{
    qmp_session_send_with_fd(session, bytes, len, -1);
}

void qmp_session_send_with_fd(QmpSession *session, const char *bytes, size_t len, int fd)
{
    bool fd_is_kept = false;
    size_t sent = 0;

    pthread_mutex_lock(&session->lock);
    if (session->fd >= 0 && !session->ended) {
        bool had_output = session->output.bytes != NULL;

        if (!had_output) {
            sent = try_send_locked(session, bytes, len, fd);
        }
        if (sent < len && !session->ended) {
            /* What has begun has taken its descriptor along. */
            fd_is_kept =
                keep_locked(session, bytes + sent, len - sent, sent == 0 ? fd : -1) && sent == 0;
        }
        /* With output kept before, the monitor waits for the socket already. */
        if ((sent < len && !had_output) || session->ended) {
            qemu_bh_schedule(session->update_bh);
        }
    }
    /* Together with the answer: no event goes before it, and none after it is missed. */
    session->command_mode |= session->ends_negotiation;
    session->ends_negotiation = false;
    pthread_mutex_unlock(&session->lock);
    if (fd >= 0 && !fd_is_kept) {
        close(fd);
    }
}

/* Send a part of what is kept: up to the next descriptor, or this and what follows it. Returns
 * whether the socket took it all. With the lock held. */
static bool flush_part_locked(QmpSession *session)
{
    QmpOutput *output = &session->output;
    GArray *fds = output->fds;
    size_t end = output->bytes->len;
    guint next = 0; /* the index of the first descriptor behind this part */
    int fd = -1;
    size_t sent;

    if (fds && fds->len > 0 && g_array_index(fds, QmpOutputFd, 0).at == output->sent) {
        fd = g_array_index(fds, QmpOutputFd, 0).fd;
        next = 1;
    }
    if (fds && fds->len > next) {
        end = g_array_index(fds, QmpOutputFd, next).at;
    }
    sent = try_send_locked(session, output->bytes->data + output->sent, end - output->sent, fd);
    if (sent > 0 && fd >= 0) {
        g_array_remove_index(fds, 0);
    }
    output->sent += sent;
    return output->sent == end;
}

void qmp_session_flush(QmpSession *session)
{
    QmpOutput *output = &session->output;
    bool finished = false;

    pthread_mutex_lock(&session->lock);
    if (output->bytes && session->fd >= 0 && !session->ended) {
        while (!finished && flush_part_locked(session)) {
            finished = output->sent == output->bytes->len;
        }
        if (finished) {
            qmp_output_clear(output);
        }
    }
    pthread_mutex_unlock(&session->lock);
    if (finished) {
        /* The end of the daemon may be waiting for this. */
        aio_notify(session->server->config.main_context);
    }
}

static void append_error(GString *line, const GError *error)
{
    json_object *desc = json_object_new_string(error->message);

    g_string_append_printf(line,
                           "{\"error\": {\"class\": \"%s\", \"desc\": ", qmp_error_class(error));
    qmp_json_write(line, desc);
    g_string_append_c(line, '}');
    json_object_put(desc);
}

void qmp_session_reply(QmpSession *session, QmpRequest *request, json_object *value,
                       const GError *error)
{
    g_autoptr(GString) line = g_string_sized_new(256);
    json_object *id;

    if (error) {
        append_error(line, error);
    } else {
        g_string_append(line, "{\"return\": ");
        qmp_json_write(line, value);
    }
    if (qmp_request_get_id(request, &id)) {
        g_string_append(line, ", \"id\": ");
        qmp_json_write(line, id);
    }
    g_string_append(line, "}\r\n");
    qmp_session_send_with_fd(session, line->str, line->len, qmp_request_take_reply_fd(request));
}
