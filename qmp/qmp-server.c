/*
 * The server: its sessions, and events to them.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include <string.h>

/* ---- events ---- */

GString *qmp_event_format(const QmpEvent *event, const void *data)
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

GPtrArray *qmp_server_get_sessions(QmpServer *server)
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

static void send_event(const GString *line, void *opaque)
{
    g_autoptr(GPtrArray) sessions = qmp_server_get_sessions(opaque);

    for (guint i = 0; i < sessions->len; i++) {
        qmp_session_send_event(g_ptr_array_index(sessions, i), line->str, line->len);
    }
}

void qmp_server_emit(QmpServer *server, const QmpEvent *event, const void *data)
{
    GString *line = qmp_event_format(event, data);

    if (event->limit_ms > 0 && !event->adds_up) {
        qmp_event_limit_emit(server->event_limit, event, data, line);
    } else {
        send_event(line, server);
        g_string_free(line, TRUE);
    }
}

/* ---- life ---- */

static GString *make_version_text(const QmpServer *server)
{
    static const char *const names[] = { "major", "minor", "micro" };
    GString *text = g_string_new(NULL);
    g_autoptr(json_object) version = json_object_new_object();
    json_object *triple = json_object_new_object();

    for (int i = 0; i < 3; i++) {
        json_object_object_add(triple, names[i], json_object_new_int(server->config.version[i]));
    }
    json_object_object_add(version, "qemu", triple);
    json_object_object_add(version, "package", json_object_new_string(server->config.package));
    qmp_json_write(text, version);
    return text;
}

const char *qmp_server_version_text(const QmpServer *server, size_t *len)
{
    *len = server->version_text->len;
    return server->version_text->str;
}

const QmpRegistry *qmp_server_get_registry(const QmpServer *server)
{
    return server->config.registry;
}

static char *make_greeting(QmpServer *server, const char *capabilities)
{
    GString *line = g_string_new("{\"QMP\": {\"version\": ");

    g_string_append_len(line, server->version_text->str, (gssize)server->version_text->len);
    g_string_append_printf(line, ", \"capabilities\": [%s]}}\r\n", capabilities);
    return g_string_free(line, FALSE);
}

QmpServer *qmp_server_new(const QmpServerConfig *config)
{
    QmpServer *server = g_new0(QmpServer, 1);

    server->config = *config;
    if (server->config.max_output_total == 0) {
        server->config.max_output_total = QMP_MAX_OUTPUT_TOTAL_DEFAULT;
    }
    server->monitor_context = iothread_get_aio_context(config->monitor);
    server->dispatcher_bh =
        aio_bh_new_full(config->main_context, qmp_server_dispatch, server, "qmp_dispatch");
    server->version_text = make_version_text(server);
    server->greeting = make_greeting(server, "\"oob\"");
    server->greeting_without_oob = make_greeting(server, "");
    server->listeners = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_listener_free);
    server->read_buffer = g_malloc(QMP_READ_SIZE);
    server->fdsets = qmp_fdsets_new();
    server->fds_log =
        qmp_log_limit_new(config->main_context, QMP_LOG_PERIOD_NS, QMP_LOG_DESCRIPTORS_FULL,
                          &(QmpLogFields){ 0 }, "descriptors", "were refused");
    server->event_limit =
        qmp_event_limit_new(server->monitor_context, QEMU_CLOCK_REALTIME, send_event, server);
    server->held_back = g_ptr_array_new();
    pthread_mutex_init(&server->shed_lock, NULL);
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

static void end_event_limit(void *opaque)
{
    QmpServer *server = opaque;

    qmp_event_limit_end(server->event_limit);
}

static void free_event_limit(void *opaque)
{
    QmpServer *server = opaque;

    g_clear_pointer(&server->event_limit, qmp_event_limit_free);
}

void qmp_server_stop(QmpServer *server)
{
    /* Relaxed: see qmp_session_flush_locked(). */
    atomic_store_explicit(&server->ending, true, memory_order_relaxed);
    pthread_mutex_lock(&server->lock);
    server->stopped = true;
    pthread_mutex_unlock(&server->lock);
    aio_wait_bh_oneshot(server->monitor_context, close_listeners, server);
    aio_wait_bh_oneshot(server->monitor_context, end_event_limit, server);
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
    g_autoptr(GPtrArray) sessions = qmp_server_get_sessions(server);
    bool has_output = false;

    for (guint i = 0; i < sessions->len; i++) {
        QmpSession *session = g_ptr_array_index(sessions, i);

        pthread_mutex_lock(&session->lock);
        has_output |= session->fd >= 0 && session->output.first && !session->ended;
        pthread_mutex_unlock(&session->lock);
    }
    return has_output;
}

static void close_all(void *opaque)
{
    QmpServer *server = opaque;
    g_autoptr(GPtrArray) sessions = qmp_server_get_sessions(server);

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
    /* Who may still emit is that thread, and this one, which waits for it. */
    aio_wait_bh_oneshot(server->monitor_context, free_event_limit, server);
    while ((session = g_queue_pop_head(&server->ready))) {
        qmp_session_unref(session);
    }
    qemu_bh_delete(server->dispatcher_bh);
    g_hash_table_unref(server->sessions);
    g_ptr_array_unref(server->listeners);
    g_ptr_array_unref(server->held_back);
    pthread_mutex_destroy(&server->shed_lock);
    pthread_mutex_destroy(&server->lock);
    qmp_fdsets_free(server->fdsets);
    qmp_log_limit_free(server->fds_log);
    g_free(server->read_buffer);
    g_string_free(server->version_text, TRUE);
    g_free(server->greeting_without_oob);
    g_free(server->greeting);
    g_free(server);
}
