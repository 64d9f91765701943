/*
 * Answers and events on their way out, and the bounds on what clients leave unread.
 *
 * Whoever has something to send tries the socket at once, in its own thread, unless it says that
 * more is about to come (the dispatcher does, between commands that don't block, and the monitor
 * within a turn). What the socket does not take is kept as the session's backlog, and the monitor
 * flushes it. As long as something is kept all else queues up behind it, so the order stays.
 *
 * Two bounds. A session keeps up to max_output: then its events are left out, the gap being marked
 * by one EVENTS_LOST once all before it is taken, and when answers alone are too much it ends. All
 * sessions together keep up to max_output_total: past it the one that keeps most ends, until the
 * rest fit. The sum is counted by whoever changed a session's part, with that session's lock held;
 * it is looked at with none held, so each thread can exceed it by the one message that it adds.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/qmp-error.h"

/* So much may wait for more to come: then sending it in one piece gains nothing further. */
#define CORKED_MAX ((size_t)64 * 1024)

/* What one system call sends, in messages. */
#define PARTS_MAX 64

/* ---- counting, and ending who keeps too much ---- */

/* Bring the sum up to date. Returns whether it is too much. With the lock held. */
static bool settle_locked(QmpSession *session)
{
    QmpServer *server = session->server;
    size_t held = session->output.held;
    /* Relaxed: with the lock held nobody else writes it, and who looks for the largest can do with
     * one that is a moment old. */
    size_t counted = atomic_load_explicit(&session->counted, memory_order_relaxed);
    size_t total;

    if (held == counted) {
        return false;
    }
    atomic_store_explicit(&session->counted, held, memory_order_relaxed);
    /* Relaxed: a sum, that no other data is published by. Unsigned, so less is more too. */
    total = atomic_fetch_add_explicit(&server->held, held - counted, memory_order_relaxed);
    return held > counted && total + (held - counted) > server->config.max_output_total;
}

void qmp_session_drop_output_locked(QmpSession *session)
{
    qmp_backlog_clear(&session->output);
    settle_locked(session);
}

/* End @session, for @reason, which is taken over, and give back what it keeps. The monitor logs the
 * reason. With the lock held. */
static void end_locked(QmpSession *session, char *reason)
{
    g_free(session->end_reason);
    session->end_reason = reason;
    session->ended = true;
    qmp_session_drop_output_locked(session);
    qemu_bh_schedule(session->update_bh);
}

/* The session that keeps most, with a reference; NULL when none keeps anything. */
static QmpSession *find_largest(QmpServer *server)
{
    QmpSession *largest = NULL;
    size_t most = 0;
    GHashTableIter iter;
    gpointer key;

    pthread_mutex_lock(&server->lock);
    g_hash_table_iter_init(&iter, server->sessions);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        QmpSession *session = key;
        size_t counted = atomic_load_explicit(&session->counted, memory_order_relaxed);

        if (counted > most) {
            most = counted;
            largest = session;
        }
    }
    if (largest) {
        qmp_session_ref(largest);
    }
    pthread_mutex_unlock(&server->lock);
    return largest;
}

static bool is_over_total(QmpServer *server)
{
    return atomic_load_explicit(&server->held, memory_order_relaxed) >
           server->config.max_output_total;
}

/* End sessions, the one that keeps most first, until the rest fit. No lock held. */
static void shed(QmpServer *server)
{
    QmpSession *session;

    /* One thread at a time, so that no two end a session each where one would do. */
    pthread_mutex_lock(&server->shed_lock);
    while (is_over_total(server) && (session = find_largest(server))) {
        pthread_mutex_lock(&session->lock);
        if (session->output.held > 0 && session->fd >= 0) {
            end_locked(session,
                       g_strdup_printf("clients leave more than %zu bytes unread together, and "
                                       "this one the most: %zu",
                                       server->config.max_output_total, session->output.held));
        }
        pthread_mutex_unlock(&session->lock);
        qmp_session_unref(session);
    }
    pthread_mutex_unlock(&server->shed_lock);
}

/* ---- the socket ---- */

/* As sendmsg() without waiting, with the descriptor @fd (-1: none) along with the first byte. */
static ssize_t send_parts(int socket, struct iovec *parts, int count, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .bytes = { 0 } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t)count };
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
        n = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Offer the socket what is kept and then @len bytes more; returns how many of those it took. The
 * session has ended when it is broken. With the lock held. */
static size_t offer_locked(QmpSession *session, const char *bytes, size_t len)
{
    QmpBacklog *output = &session->output;
    size_t sent = 0;

    while (!session->blocked && !session->ended && (output->first || sent < len)) {
        struct iovec parts[PARTS_MAX];
        int count = qmp_backlog_peek(output, parts, PARTS_MAX);
        int fd = qmp_backlog_peek_fd(output);
        size_t kept = 0;
        size_t offered;
        ssize_t n;

        for (int i = 0; i < count; i++) {
            kept += parts[i].iov_len;
        }
        offered = kept;
        /* What has a descriptor begins a part of its own, and may not have been peeked at. */
        if (sent < len && count < PARTS_MAX && output->fds == 0) {
            parts[count++] = (struct iovec){ (char *)bytes + sent, len - sent };
            offered += len - sent;
        }
        n = send_parts(session->fd, parts, count, fd);
        if (n < 0) {
            session->blocked = errno == EAGAIN || errno == EWOULDBLOCK;
            session->ended |= !session->blocked;
        } else {
            session->blocked = (size_t)n < offered;
            qmp_backlog_take(output, MIN((size_t)n, kept));
            sent += (size_t)n - MIN((size_t)n, kept);
        }
    }
    return sent;
}

/* ---- messages ---- */

typedef enum {
    MESSAGE_ANSWER,
    MESSAGE_ANSWER_LATER, /* more is about to come, and a flush after it */
    MESSAGE_EVENT,
} MessageKind;

/* Whether @len bytes may be kept too. One message is kept whatever its size: its client has had no
 * time yet to read it. With the lock held. */
static bool fits_locked(const QmpSession *session, size_t len)
{
    size_t held = session->output.held;

    return held == 0 || held + qmp_backlog_cost(len) <= session->server->config.max_output;
}

/* Keep what the socket did not take of a message. With the lock held. */
static void keep_locked(QmpSession *session, const char *bytes, size_t len, bool is_event)
{
    bool fits = fits_locked(session, len);

    if (!fits && !is_event) {
        session->events_lost += qmp_backlog_drop_events(&session->output);
        fits = fits_locked(session, len);
    }
    if (fits && qmp_backlog_append(&session->output, bytes, len, is_event)) {
        return;
    }
    if (is_event) {
        session->events_lost++;
    } else if (fits) {
        end_locked(session, g_strdup_printf("there is no memory for %zu bytes of output", len));
    } else {
        end_locked(session, g_strdup_printf("its client leaves more than %zu bytes unread",
                                            session->server->config.max_output));
    }
}

static void send_locked(QmpSession *session, const char *bytes, size_t len, MessageKind kind)
{
    bool later = kind == MESSAGE_ANSWER_LATER && session->output.held + len <= CORKED_MAX;
    size_t sent = 0;

    /* The gap that EVENTS_LOST stands for has no events in it. */
    if (kind == MESSAGE_EVENT && session->events_lost > 0) {
        session->events_lost++;
        return;
    }
    if (!later || !fits_locked(session, len)) {
        sent = offer_locked(session, bytes, len);
    }
    if (sent < len && !session->ended) {
        /* What the client has a part of it must get whole. */
        keep_locked(session, bytes + sent, len - sent, kind == MESSAGE_EVENT && sent == 0);
    }
}

static void send_message(QmpSession *session, const char *bytes, size_t len, MessageKind kind)
{
    bool too_much = false;

    pthread_mutex_lock(&session->lock);
    if (session->fd >= 0 && !session->ended && (kind != MESSAGE_EVENT || session->command_mode)) {
        bool was_blocked = session->blocked;

        send_locked(session, bytes, len, kind);
        too_much = settle_locked(session);
        /* Had it been blocked before, the monitor waits for the socket already. */
        if ((session->blocked && !was_blocked) || session->ended) {
            qemu_bh_schedule(session->update_bh);
        }
    }
    if (kind != MESSAGE_EVENT) {
        /* Together with the answer: no event goes before it, and none after it is missed. */
        session->command_mode |= session->ends_negotiation;
        session->ends_negotiation = false;
    }
    pthread_mutex_unlock(&session->lock);
    if (too_much) {
        shed(session->server);
    }
}

/* Send an answer with a descriptor, which is taken over. It goes by way of the backlog, so that the
 * descriptor stays with its first byte. */
static void send_with_fd(QmpSession *session, const char *bytes, size_t len, int fd)
{
    bool too_much = false;
    bool taken = false;

    pthread_mutex_lock(&session->lock);
    if (session->fd >= 0 && !session->ended) {
        bool was_blocked = session->blocked;

        keep_locked(session, bytes, len, false);
        taken = !session->ended;
        if (taken) {
            qmp_backlog_attach_fd(&session->output, fd);
            offer_locked(session, NULL, 0);
        }
        too_much = settle_locked(session);
        if ((session->blocked && !was_blocked) || session->ended) {
            qemu_bh_schedule(session->update_bh);
        }
    }
    pthread_mutex_unlock(&session->lock);
    if (!taken) {
        close(fd);
    }
    if (too_much) {
        shed(session->server);
    }
}

void qmp_session_send(QmpSession *session, const char *bytes, size_t len)
{
    send_message(session, bytes, len, MESSAGE_ANSWER);
}

void qmp_session_send_event(QmpSession *session, const char *bytes, size_t len)
{
    send_message(session, bytes, len, MESSAGE_EVENT);
}

/* All before the gap is taken: mark it. With the lock held. */
static void mark_gap_locked(QmpSession *session)
{
    const QmpEventsLost data = { .count = (int64_t)session->events_lost };
    g_autoptr(GString) line = qmp_event_format(&qmp_protocol_events[0], &data);

    session->events_told += session->events_lost;
    session->events_lost = 0;
    /* Not as an event: were it left out for an answer, it would count as one. */
    send_locked(session, line->str, line->len, MESSAGE_ANSWER);
}

void qmp_session_flush_locked(QmpSession *session)
{
    if (session->fd < 0 || session->ended) {
        return;
    }
    offer_locked(session, NULL, 0);
    if (session->events_lost > 0 && !session->output.first && !session->ended) {
        mark_gap_locked(session);
    }
    settle_locked(session);
    /* Relaxed: whoever ends the daemon sets it first and then looks for output, with the lock held
     * that is held here. Also when there was none: an event may just have taken it along. */
    if (!session->output.first &&
        atomic_load_explicit(&session->server->ending, memory_order_relaxed)) {
        aio_notify(session->server->config.main_context);
    }
}

/* ---- answers ---- */

/* There is no memory for an answer. Without it the session can't go on. */
static void end_without_answer(QmpSession *session)
{
    pthread_mutex_lock(&session->lock);
    if (session->fd >= 0 && !session->ended) {
        end_locked(session, g_strdup("there is no memory for an answer"));
    }
    pthread_mutex_unlock(&session->lock);
}

static void append_error(QmpText *line, const GError *error)
{
    qmp_text_append(line, "{\"error\": {\"class\": \"");
    qmp_text_append(line, qmp_error_class(error));
    qmp_text_append(line, "\", \"desc\": \"");
    qmp_json_print_escaped(line, error->message, strlen(error->message));
    qmp_text_append(line, "\"}");
}

static void append_return(QmpText *line, const QmpRequest *request, json_object *value)
{
    size_t len;
    const char *text = qmp_request_get_text(request, &len);

    qmp_text_append(line, "{\"return\": ");
    if (text) {
        qmp_text_append_len(line, text, len);
    } else {
        qmp_json_print(line, value);
    }
}

void qmp_session_reply(QmpSession *session, QmpRequest *request, json_object *value,
                       const GError *error, bool later)
{
    g_auto(QmpText) line = { 0 };
    json_object *id;
    int fd;

    if (error) {
        append_error(&line, error);
    } else {
        append_return(&line, request, value);
    }
    if (qmp_request_get_id(request, &id)) {
        qmp_text_append(&line, ", \"id\": ");
        qmp_json_print(&line, id);
    }
    qmp_text_append(&line, "}\r\n");
    if (line.cut) {
        end_without_answer(session);
        return;
    }
    fd = qmp_request_take_reply_fd(request);
    if (fd >= 0) {
        send_with_fd(session, line.bytes, line.len, fd);
    } else {
        send_message(session, line.bytes, line.len, later ? MESSAGE_ANSWER_LATER : MESSAGE_ANSWER);
    }
}
