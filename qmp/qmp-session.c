/*
 * A session: its life on the monitor thread, and the way of its requests in.
 *
 * Negotiation happens here, wholly on the monitor thread: a client gets from connecting to
 * out-of-band commands without the main loop. After it, in-band requests (and what is no proper
 * request, which is answered in its place among them) queue up for the main loop.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "qmp/qmp-error.h"

/* So many values are taken from a session in one turn, before others have theirs. */
#define VALUES_A_TURN 32

/* A request of more tokens than this is large: as a tree it may take 250 times its bytes, up
 * to some 32 MB with the default of --max-tokens. Two such may be in flight, so that a client can
 * still send something out-of-band behind one. */
#define LARGE_TOKENS 4096
#define MAX_LARGE    1

static void session_writable(void *opaque);
static void session_finish_turn(QmpSession *session);

/* ---- requests ---- */

/* An answer that was made on the monitor thread; it goes out at the end of the turn. */
static void reply_at_once(QmpRequest *request, json_object *value, const GError *error,
                          void *opaque)
{
    qmp_session_log_change(opaque, request, error);
    qmp_session_reply(opaque, request, value, error, true);
}

/* The answer of an in-band request. */
static void reply_in_band(QmpRequest *request, json_object *value, const GError *error,
                          void *opaque)
{
    QmpSession *session = opaque;

    qmp_session_log_change(session, request, error);
    qmp_session_reply(session, request, value, error, session->server->holding_back);
    qmp_server_request_done(session->server, session);
}

/* The answer of an out-of-band request that took longer than its turn. */
static void reply_late(QmpRequest *request, json_object *value, const GError *error, void *opaque)
{
    QmpSession *session = opaque;

    qmp_session_log_change(session, request, error);
    qmp_session_reply(session, request, value, error, false);
    qmp_server_late_request_done(session->server, session);
}

bool qmp_session_answer_later(QmpSession *session, QmpRequest *request)
{
    if (!qmp_server_late_request_begins(session->server, session)) {
        return false;
    }
    qmp_request_set_reply(request, reply_late, session);
    return true;
}

/* A request of a session in negotiation mode is answered here and now. */
static void run_negotiating(QmpSession *session, QmpRequest *request)
{
    const QmpCommand *command = qmp_request_get_command(request);
    const char *name = qmp_request_get_command_name(request);

    if (name && !(command && (command->flags & QMP_COMMAND_NEGOTIATES))) {
        qmp_request_set_error(request, g_error_new(QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND,
                                                   "The command %s needs capabilities to be "
                                                   "negotiated first, by qmp_capabilities",
                                                   name));
    }
    qmp_request_run(request);
}

bool qmp_session_is_full(const QmpSession *session)
{
    return session->in_flight > QMP_MAX_IN_FLIGHT ||
           (session->in_flight > 0 && session->n_large > MAX_LARGE);
}

/* Queue @request for the main loop, which gets to know at the end of the turn; reading pauses when
 * there are too many. */
static void enqueue(QmpSession *session, QmpRequest *request)
{
    bool is_large = qmp_json_parser_get_tokens(session->parser) > LARGE_TOKENS;

    if (is_large) {
        qmp_request_shrink(request);
    }
    pthread_mutex_lock(&session->lock);
    g_queue_push_tail(&session->queue, request);
    session->n_large = (session->in_flight > 0 ? session->n_large : 0) + is_large;
    session->in_flight++;
    session->newly_ready |= !session->running && session->queue.length == 1;
    if (qmp_session_is_full(session)) {
        session->paused = true;
        qmp_json_parser_stop(session->parser);
    }
    pthread_mutex_unlock(&session->lock);
}

static GError *error_for_command_mode(QmpSession *session, QmpRequest *request)
{
    const QmpCommand *command = qmp_request_get_command(request);

    if (command && (command->flags & QMP_COMMAND_NEGOTIATES)) {
        return g_error_new(QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND,
                           "Capabilities have been negotiated already, so there is no %s any more",
                           command->name);
    }
    if (qmp_request_is_oob(request) && !session->oob_enabled) {
        return g_error_new(QMP_ERROR, QMP_ERROR_GENERIC,
                           "exec-oob needs the capability 'oob' to be negotiated");
    }
    if (command && session->access->read_only && !(command->flags & QMP_COMMAND_READ_ONLY)) {
        qmp_session_log_refusal(session, command);
        return g_error_new(QMP_ERROR, QMP_ERROR_GENERIC,
                           "The command %s may change something, and this session may only read",
                           command->name);
    }
    return NULL;
}

/* The parser has a value, or an error. */
static void take_value(json_object *value, GError *error, void *opaque)
{
    QmpSession *session = opaque;
    const QmpRegistry *registry = session->server->config.registry;
    QmpRequest *request;
    QmpReplyFunc *reply;
    bool at_once;

    if (++session->taken == VALUES_A_TURN) {
        qmp_json_parser_stop(session->parser);
    }
    reply = session->negotiated ? reply_in_band : reply_at_once;
    if (error) {
        request = qmp_request_new_error(error, reply, session);
    } else {
        request = qmp_request_new(registry, value, reply, session);
    }
    qmp_request_set_session(request, session);
    qmp_session_hand_over_fds(session, request);
    if (!session->negotiated) {
        run_negotiating(session, request);
        return;
    }

    error = error_for_command_mode(session, request);
    at_once = !error && qmp_request_is_oob(request);
    if (error) {
        qmp_request_set_error(request, error);
    }
    if (at_once) {
        qmp_request_set_reply(request, reply_at_once, session);
        qmp_request_run(request);
    } else {
        enqueue(session, request);
    }
}

/* ---- reading ---- */

bool qmp_session_peer_is_gone(QmpSession *session)
{
    struct pollfd pollfd = { .fd = session->fd };

    return session->fd < 0 || (poll(&pollfd, 1, 0) == 1 && (pollfd.revents & (POLLHUP | POLLERR)));
}

/* Parse until the turn is over or reading has to pause, and keep the rest. */
static void parse(QmpSession *session, const void *bytes, size_t len)
{
    size_t used;

    session->taken = 0;
    used = qmp_json_parser_feed(session->parser, bytes, len);
    if (used < len) {
        session->unparsed = g_byte_array_new();
        session->parsed = 0;
        g_byte_array_append(session->unparsed, (const guint8 *)bytes + used, (guint)(len - used));
    } else {
        qmp_session_settle_fds(session, bytes, len);
    }
}

/* Parse what is left from the turn before, where it is, unless reading is paused. */
static void parse_rest(QmpSession *session)
{
    GByteArray *bytes = session->unparsed;
    bool paused;

    pthread_mutex_lock(&session->lock);
    paused = qmp_session_is_full(session);
    session->paused = paused;
    pthread_mutex_unlock(&session->lock);
    if (!paused && bytes) {
        session->taken = 0;
        session->parsed +=
            qmp_json_parser_feed(session->parser, (const char *)bytes->data + session->parsed,
                                 bytes->len - session->parsed);
        if (session->parsed == bytes->len) {
            g_clear_pointer(&session->unparsed, g_byte_array_unref);
            /* There was a request in it at least. */
            qmp_session_settle_fds(session, NULL, 0);
        }
    }
}

/* The client sends no more. Without what it has queued when it is gone altogether; when it has
 * closed its sending side only, it still gets its answers. */
static void take_eof(QmpSession *session)
{
    pthread_mutex_lock(&session->lock);
    session->half_closed = true;
    session->ended |= qmp_session_peer_is_gone(session);
    pthread_mutex_unlock(&session->lock);
    session->eof = true;
    qmp_json_parser_finish(session->parser);
}

static void session_readable(void *opaque)
{
    QmpSession *session = opaque;
    unsigned char *buffer = session->server->read_buffer;
    ssize_t n;

    if (session->unparsed) {
        /* It has had its turn, or waits for the main loop. */
        session_finish_turn(session);
        return;
    }
    n = qmp_session_receive(session, buffer, QMP_READ_SIZE);
    if (n > 0) {
        parse(session, buffer, (size_t)n);
    } else if (n == 0) {
        take_eof(session);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return;
    } else {
        qmp_session_close(session);
        return;
    }
    session_finish_turn(session);
}

/* ---- life ---- */

static void set_handlers(QmpSession *session, bool reading, bool writing)
{
    if (reading != session->reading || writing != session->writing) {
        session->reading = reading;
        session->writing = writing;
        aio_set_fd_handler_full(session->server->monitor_context, session->fd,
                                reading ? session_readable : NULL,
                                writing ? session_writable : NULL, NULL, NULL, session,
                                "session_readable", "session_writable");
    }
}

/* A turn of the monitor's is over: hand over what it brought, and look how the session goes on. */
static void session_finish_turn(QmpSession *session)
{
    bool make_ready;
    bool paused;
    bool blocked;
    bool over;

    /* All under one lock: the last answer may come in between, and be more than the socket takes.
     */
    pthread_mutex_lock(&session->lock);
    qmp_session_flush_locked(session);
    make_ready = session->newly_ready;
    session->newly_ready = false;
    paused = session->paused;
    blocked = session->blocked;
    over = session->ended || (session->eof && !session->unparsed && session->in_flight == 0 &&
                              !session->output.first);
    if (!over && !paused && session->unparsed) {
        /* Others first. */
        qemu_bh_schedule(session->update_bh);
    }
    pthread_mutex_unlock(&session->lock);
    if (make_ready) {
        qmp_server_make_ready(session->server, session);
    }
    if (over) {
        qmp_session_close(session);
    } else {
        set_handlers(session, !session->eof && !paused, blocked);
    }
}

/* Look what there is to do for a session: end it, go on reading, flush, wait. Monitor thread. */
static void session_update(void *opaque)
{
    QmpSession *session = opaque;

    if (!session->parser) {
        return; /* closed meanwhile */
    }
    parse_rest(session);
    session_finish_turn(session);
}

static void session_writable(void *opaque)
{
    QmpSession *session = opaque;

    pthread_mutex_lock(&session->lock);
    session->blocked = false;
    pthread_mutex_unlock(&session->lock);
    session_finish_turn(session);
}

static void negotiation_took_too_long(void *opaque)
{
    QmpSession *session = opaque;
    QmpLogFields fields = qmp_session_log_fields(session);

    qmp_log_limit_say(
        session->listener->logs[QMP_LISTENER_LOG_SILENT], QMP_LOG_SESSION_NOT_NEGOTIATED, &fields,
        "session %u: disconnected, for it was not negotiated in time", session->number);
    qmp_session_close(session);
}

static void limit_negotiation(QmpSession *session)
{
    QmpServer *server = session->server;

    if (server->config.negotiation_timeout_ns > 0) {
        session->negotiation_timer = aio_timer_new(server->monitor_context, QEMU_CLOCK_REALTIME,
                                                   SCALE_NS, negotiation_took_too_long, session);
        timer_mod_ns(session->negotiation_timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) +
                                                     server->config.negotiation_timeout_ns);
    }
}

static void greet(QmpSession *session)
{
    const QmpServer *server = session->server;
    const char *greeting =
        session->access->without_oob ? server->greeting_without_oob : server->greeting;

    qmp_session_send(session, greeting, strlen(greeting));
}

static void log_opened(const QmpSession *session)
{
    QmpLogFields fields = qmp_session_log_fields(session);
    g_autofree char *who = NULL;

    if (!qmp_log_shows(QMP_LOG_SESSION_OPENED)) {
        return;
    }
    who = qmp_peer_describe(&session->peer);
    g_info("session %u: connected", session->number);
    qmp_log(QMP_LOG_SESSION_OPENED, &fields, "session %u: %s, on %s", session->number, who,
            session->access->name);
}

void qmp_session_new(QmpListener *listener, int fd, const QmpPeer *peer)
{
    QmpSession *session = g_new0(QmpSession, 1);
    QmpServer *server = listener->server;

    session->refcount = 1;
    session->server = server;
    session->context = server->monitor_context;
    session->listener = listener;
    session->access = listener->access;
    session->peer = *peer;
    session->number = ++server->next_number;
    session->fd = fd;
    session->parser = qmp_json_parser_new(&server->config.limits, take_value, session);
    session->update_bh = aio_bh_new(server->monitor_context, session_update, session);
    pthread_mutex_init(&session->lock, NULL);
    g_queue_init(&session->queue);

    pthread_mutex_lock(&server->lock);
    g_hash_table_add(server->sessions, session);
    pthread_mutex_unlock(&server->lock);
    listener->n_sessions++;
    log_opened(session);
    limit_negotiation(session);
    greet(session);
    set_handlers(session, true, false);
}

void qmp_session_close(QmpSession *session)
{
    QmpServer *server = session->server;
    QmpLogFields fields = qmp_session_log_fields(session);
    GQueue dropped = G_QUEUE_INIT;
    g_autofree char *reason = NULL;
    QmpRequest *request;
    int fd;

    set_handlers(session, false, false);
    g_clear_pointer(&session->negotiation_timer, timer_free);
    g_clear_pointer(&session->parser, qmp_json_parser_free);
    g_clear_pointer(&session->unparsed, g_byte_array_unref);
    qmp_session_close_fds(session);

    pthread_mutex_lock(&session->lock);
    fd = session->fd;
    session->fd = -1;
    reason = g_steal_pointer(&session->end_reason);
    while ((request = g_queue_pop_head(&session->queue))) {
        g_queue_push_tail(&dropped, request);
    }
    qmp_session_drop_output_locked(session);
    pthread_mutex_unlock(&session->lock);

    /* Before its client can know: whoever looks then finds the reason. */
    if (reason) {
        fields.reason = reason;
        qmp_log_limit_say(session->listener->logs[QMP_LISTENER_LOG_OUTPUT], QMP_LOG_SESSION_UNREAD,
                          &fields, "session %u: disconnected, for %s", session->number, reason);
    }
    qmp_log(QMP_LOG_SESSION_CLOSED, &fields, "session %u: disconnected, %u requests dropped",
            session->number, dropped.length);
    close(fd);
    while ((request = g_queue_pop_head(&dropped))) {
        qmp_request_free(request);
    }
    pthread_mutex_lock(&server->lock);
    g_hash_table_remove(server->sessions, session);
    pthread_mutex_unlock(&server->lock);
    aio_notify(server->config.main_context);
    session->listener->n_sessions--;
    for (guint i = 0; i < server->listeners->len; i++) {
        qmp_listener_wake(g_ptr_array_index(server->listeners, i));
    }
    qmp_session_unref(session);
}

QmpSession *qmp_session_ref(QmpSession *session)
{
    /* Relaxed: whoever takes a reference is lent one. */
    atomic_fetch_add_explicit(&session->refcount, 1, memory_order_relaxed);
    return session;
}

/* On the monitor thread, where nobody can be inside the bottom half. */
static void free_session(void *opaque)
{
    QmpSession *session = opaque;

    qemu_bh_delete(session->update_bh);
    pthread_mutex_destroy(&session->lock);
    g_free(session);
}

void qmp_session_unref(QmpSession *session)
{
    if (atomic_fetch_sub_explicit(&session->refcount, 1, memory_order_acq_rel) == 1) {
        g_clear_pointer(&session->named_fds, g_hash_table_unref);
        aio_bh_schedule_oneshot(session->context, free_session, session);
    }
}
