/*
 * The server: its sessions, the dispatcher of in-band requests, and events.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include <string.h>

/* So many requests are run in one pass of the main loop, before its other work has its turn. */
#define DISPATCH_BATCH 16

/* ---- the dispatcher ---- */

void qmp_server_make_ready(QmpServer *server, QmpSession *session)
{
    pthread_mutex_lock(&server->lock);
    g_queue_push_tail(&server->ready, qmp_session_ref(session));
    pthread_mutex_unlock(&server->lock);
    qemu_bh_schedule(server->dispatcher_bh);
}

static QmpSession *take_ready(QmpServer *server)
{
    QmpSession *session = NULL;

    pthread_mutex_lock(&server->lock);
    if (!server->stopped) {
        session = g_queue_pop_head(&server->ready);
        server->running += session != NULL;
    }
    pthread_mutex_unlock(&server->lock);
    return session;
}

/* The next request of @session, which now runs; NULL when its client has gone meanwhile. */
static QmpRequest *take_request(QmpSession *session)
{
    QmpRequest *request = NULL;

    pthread_mutex_lock(&session->lock);
    /* Where nothing is read from the socket, nobody else notices that. */
    if (!((session->paused || session->half_closed) && qmp_session_peer_is_gone(session))) {
        request = g_queue_pop_head(&session->queue);
    } else if (session->fd >= 0) {
        session->ended = true;
        qemu_bh_schedule(session->update_bh);
    }
    session->running = request != NULL;
    pthread_mutex_unlock(&session->lock);
    return request;
}

static void count_finished(QmpServer *server)
{
    pthread_mutex_lock(&server->lock);
    server->running--;
    pthread_mutex_unlock(&server->lock);
}

/* Bottom half of the main context: one request of each session in turn. */
static void dispatch(void *opaque)
{
    QmpServer *server = opaque;
    QmpSession *session = NULL;

    for (int i = 0; i < DISPATCH_BATCH && (session = take_ready(server)); i++) {
        QmpRequest *request = take_request(session);

        if (request) {
            qmp_request_run(request);
        } else {
            count_finished(server);
        }
        qmp_session_unref(session);
    }
    if (session) {
        qemu_bh_schedule(server->dispatcher_bh);
    }
}

void qmp_server_request_done(QmpServer *server, QmpSession *session)
{
    bool more;

    pthread_mutex_lock(&session->lock);
    session->running = false;
    session->in_flight--;
    more = !g_queue_is_empty(&session->queue);
    if (session->fd >= 0 &&
        (session->half_closed || (session->paused && session->in_flight <= QMP_MAX_IN_FLIGHT))) {
        qemu_bh_schedule(session->update_bh);
    }
    pthread_mutex_unlock(&session->lock);
    count_finished(server);
    if (more) {
        qmp_server_make_ready(server, session);
    }
}

/* ---- events ---- */

static GString *format_event(const QmpEvent *event, const void *data)
{
    GString *line = g_string_sized_new(256);
    json_object *value = qmp_marshal(event->data, data);
    gint64 now_us = g_get_real_time();

    g_string_append_printf(line,
                           "{\"timestamp\": {\"seconds\": %" G_GINT64_FORMAT
                           ", \"microseconds\": %" G_GINT64_FORMAT "}, \"event\": \"%s\"",
                           now_us / G_USEC_PER_SEC, now_us % G_USEC_PER_SEC, event->name);
    if (event->data->members) {
        g_string_append(line, ", \"data\": ");
        qmp_json_write(line, value);
    }
    g_string_append(line, "}\r\n");
    json_object_put(value);
    return line;
}

static GPtrArray *snapshot_sessions(QmpServer *server)
{
    GPtrArray *sessions = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_session_unref);
    GHashTableIter iter;
    gpointer session;

    pthread_mutex_lock(&server->lock);
    g_hash_table_iter_init(&iter, server->sessions);
    while (g_hash_table_iter_next(&iter, &session, NULL)) {
        g_ptr_array_add(sessions, qmp_session_ref(session));
    }
    pthread_mutex_unlock(&server->lock);
    return sessions;
}

void qmp_server_emit(QmpServer *server, const QmpEvent *event, const void *data)
{
    g_autoptr(GString) line = format_event(event, data);
    g_autoptr(GPtrArray) sessions = snapshot_sessions(server);

    for (guint i = 0; i < sessions->len; i++) {
        QmpSession *session = g_ptr_array_index(sessions, i);
        bool wants_it;

        pthread_mutex_lock(&session->lock);
        wants_it = session->command_mode;
        pthread_mutex_unlock(&session->lock);
        if (wants_it) {
            qmp_session_send(session, line->str, line->len);
        }
    }
}

/* ---- life ---- */

json_object *qmp_server_version(const QmpServer *server)
{
    static const char *const names[] = { "major", "minor", "micro" };
    json_object *version = json_object_new_object();
    json_object *triple = json_object_new_object();

    for (int i = 0; i < 3; i++) {
        json_object_object_add(triple, names[i], json_object_new_int(server->config.version[i]));
    }
    json_object_object_add(version, "qemu", triple);
    json_object_object_add(version, "package", json_object_new_string(server->config.package));
    return version;
}

const QmpRegistry *qmp_server_get_registry(const QmpServer *server)
{
    return server->config.registry;
}

static char *make_greeting(QmpServer *server, const char *capabilities)
{
    GString *line = g_string_new("{\"QMP\": {\"version\": ");
    json_object *version = qmp_server_version(server);

    qmp_json_write(line, version);
    g_string_append_printf(line, ", \"capabilities\": [%s]}}\r\n", capabilities);
    json_object_put(version);
    return g_string_free(line, FALSE);
}

QmpServer *qmp_server_new(const QmpServerConfig *config)
{
    QmpServer *server = g_new0(QmpServer, 1);

    server->config = *config;
    server->monitor_context = iothread_get_aio_context(config->monitor);
    server->dispatcher_bh = aio_bh_new_full(config->main_context, dispatch, server, "qmp_dispatch");
    server->greeting = make_greeting(server, "\"oob\"");
    server->greeting_without_oob = make_greeting(server, "");
    server->listeners = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_listener_free);
    server->read_buffer = g_malloc(QMP_READ_SIZE);
    pthread_mutex_init(&server->lock, NULL);
    server->sessions = g_hash_table_new(NULL, NULL);
    g_queue_init(&server->ready);
    return server;
}

/* A socket on its way to the monitor thread. */
typedef struct NewSocket {
    QmpServer *server;
    int fd;
    const QmpAccess *access;
} NewSocket;

static QmpListener *add_listener(NewSocket *new)
{
    QmpListener *listener = qmp_listener_new(new->server, new->access);

    g_ptr_array_add(new->server->listeners, listener);
    return listener;
}

static void listen_in_monitor(void *opaque)
{
    NewSocket *new = opaque;

    qmp_listener_listen(add_listener(new), new->fd);
}

static void connect_in_monitor(void *opaque)
{
    NewSocket *new = opaque;

    qmp_listener_take_client(add_listener(new), new->fd);
}

void qmp_server_listen(QmpServer *server, int fd, const QmpAccess *access)
{
    NewSocket new = { .server = server, .fd = fd, .access = access };

    aio_wait_bh_oneshot(server->monitor_context, listen_in_monitor, &new);
}

void qmp_server_connect(QmpServer *server, int fd, const QmpAccess *access)
{
    NewSocket new = { .server = server, .fd = fd, .access = access };

    aio_wait_bh_oneshot(server->monitor_context, connect_in_monitor, &new);
}

/* On the monitor thread, which may be accepting right now. What sessions need of them stays. */
static void close_listeners(void *opaque)
{
    QmpServer *server = opaque;

    for (guint i = 0; i < server->listeners->len; i++) {
        qmp_listener_close(g_ptr_array_index(server->listeners, i));
    }
}

void qmp_server_stop(QmpServer *server)
{
    pthread_mutex_lock(&server->lock);
    server->stopped = true;
    pthread_mutex_unlock(&server->lock);
    aio_wait_bh_oneshot(server->monitor_context, close_listeners, server);
}

bool qmp_server_is_busy(QmpServer *server)
{
    bool busy;

    pthread_mutex_lock(&server->lock);
    busy = server->running > 0;
    pthread_mutex_unlock(&server->lock);
    return busy;
}

bool qmp_server_has_output(QmpServer *server)
{
    g_autoptr(GPtrArray) sessions = snapshot_sessions(server);
    bool has_output = false;

    for (guint i = 0; i < sessions->len; i++) {
        QmpSession *session = g_ptr_array_index(sessions, i);

        pthread_mutex_lock(&session->lock);
        has_output |= session->fd >= 0 && session->output.bytes && !session->ended;
        pthread_mutex_unlock(&session->lock);
    }
    return has_output;
}

static void close_all(void *opaque)
{
    QmpServer *server = opaque;
    g_autoptr(GPtrArray) sessions = snapshot_sessions(server);

    for (guint i = 0; i < sessions->len; i++) {
        qmp_session_close(g_ptr_array_index(sessions, i));
    }
    g_ptr_array_set_size(server->listeners, 0);
}

void qmp_server_free(QmpServer *server)
{
    QmpSession *session;

    qmp_server_stop(server);
    aio_wait_bh_oneshot(server->monitor_context, close_all, server);
    while ((session = g_queue_pop_head(&server->ready))) {
        qmp_session_unref(session);
    }
    qemu_bh_delete(server->dispatcher_bh);
    g_hash_table_unref(server->sessions);
    g_ptr_array_unref(server->listeners);
    pthread_mutex_destroy(&server->lock);
    g_free(server->read_buffer);
    g_free(server->greeting_without_oob);
    g_free(server->greeting);
    g_free(server);
}
