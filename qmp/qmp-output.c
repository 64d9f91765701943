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

#include "qmp/qmp-error.h"

/* The bytes that the socket took; the session has ended when it is broken. With the lock held. */
static size_t try_send_locked(QmpSession *session, const void *bytes, size_t len)
{
    ssize_t n;

    do {
        n = send(session->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        return (size_t)n;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
        session->ended = true;
    }
    return 0;
}

/* Keep what the socket did not take. One message is kept whatever its size: its client has had no
 * time yet to read it. With the lock held. */
static void keep_locked(QmpSession *session, const char *bytes, size_t len)
{
    QmpOutput *output = &session->output;
    size_t kept = output->bytes ? output->bytes->len - output->sent : 0;

    if (kept > 0 && kept + len > session->server->config.max_output) {
        g_warning("session %u: disconnected, for its client leaves more than %zu bytes unread",
                  session->number, session->server->config.max_output);
        session->ended = true;
        return;
    }
    if (!output->bytes) {
        output->bytes = g_byte_array_new();
    }
    if (output->sent > output->bytes->len / 2) {
        g_byte_array_remove_range(output->bytes, 0, (guint)output->sent);
        output->sent = 0;
    }
    g_byte_array_append(output->bytes, (const guint8 *)bytes, (guint)len);
}

void qmp_session_send(QmpSession *session, const char *bytes, size_t len)
{
    size_t sent = 0;

    pthread_mutex_lock(&session->lock);
    if (session->fd >= 0 && !session->ended) {
        bool had_output = session->output.bytes != NULL;

        if (!had_output) {
            sent = try_send_locked(session, bytes, len);
        }
        if (sent < len && !session->ended) {
            keep_locked(session, bytes + sent, len - sent);
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
}

void qmp_session_flush(QmpSession *session)
{
    QmpOutput *output = &session->output;
    bool finished = false;

    pthread_mutex_lock(&session->lock);
    if (output->bytes && session->fd >= 0 && !session->ended) {
        output->sent += try_send_locked(session, output->bytes->data + output->sent,
                                        output->bytes->len - output->sent);
        if (output->sent == output->bytes->len) {
            g_clear_pointer(&output->bytes, g_byte_array_unref);
            output->sent = 0;
            finished = true;
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

void qmp_session_reply(QmpSession *session, const QmpRequest *request, json_object *value,
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
    qmp_session_send(session, line->str, line->len);
}
