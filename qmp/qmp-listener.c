/*
 * Control sockets: who gets a session on one, on the monitor thread.
 *
 * While the daemon is out of descriptors the acceptor rests, until one of the server's sessions has
 * ended, or for a while.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include <sys/socket.h>
#include <unistd.h>

/* What clients can cause again and again. */
static const struct {
    QmpLogMessage message;
    const char *things;
} logs[QMP_LISTENER_N_LOGS] = {
    [QMP_LISTENER_LOG_REFUSED] = { QMP_LOG_CLIENT_REFUSED, "clients were refused" },
    [QMP_LISTENER_LOG_FULL] = { QMP_LOG_CLIENT_TURNED_AWAY, "clients were turned away" },
    [QMP_LISTENER_LOG_RESTS] = { QMP_LOG_ACCEPT_PAUSED, "pauses in accepting clients" },
    [QMP_LISTENER_LOG_SILENT] = { QMP_LOG_SESSION_NOT_NEGOTIATED,
                                  "sessions were not negotiated in time" },
    [QMP_LISTENER_LOG_OUTPUT] = { QMP_LOG_SESSION_UNREAD, "clients left too much unread" },
    [QMP_LISTENER_LOG_FDS] = { QMP_LOG_DESCRIPTORS_DROPPED, "sessions had descriptors dropped" },
    [QMP_LISTENER_LOG_COMMANDS] = { QMP_LOG_COMMAND_REFUSED, "commands were refused" },
};

/* ---- accepting ---- */

/* Descriptors are all that may come beside the bytes. Of a socket that was passed other things may
 * be asked for, which take their place, or are descriptors that nobody would close. */
static void pass_nothing_else(int fd)
{
    static const int options[] = {
        SO_PASSCRED,
        SO_PASSSEC,
#ifdef SO_PASSPIDFD
        SO_PASSPIDFD,
#endif
    };
    const int off = 0;

    /* A socket that does not know one of them does not do it either. */
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        setsockopt(fd, SOL_SOCKET, options[i], &off, sizeof(off));
    }
}

void qmp_listener_take_client(QmpListener *listener, int fd)
{
    const QmpAccess *access = listener->access;
    g_autofree char *who = NULL;
    QmpPeer peer;
    const QmpLogFields fields = { .socket = access->name, .peer = &peer };

    qmp_peer_read(&peer, fd);
    if (!qmp_peer_is_allowed(&peer, fd, access)) {
        who = qmp_peer_describe(&peer);
        qmp_log_limit_say(listener->logs[QMP_LISTENER_LOG_REFUSED], QMP_LOG_CLIENT_REFUSED, &fields,
                          "refused a client (%s)", who);
    } else if (access->max_sessions > 0 && listener->n_sessions >= access->max_sessions) {
        who = qmp_peer_describe(&peer);
        qmp_log_limit_say(listener->logs[QMP_LISTENER_LOG_FULL], QMP_LOG_CLIENT_TURNED_AWAY,
                          &fields, "turned a client away (%s), for there are %u already", who,
                          listener->n_sessions);
    } else {
        pass_nothing_else(fd);
        qmp_session_new(listener, fd, &peer);
        return;
    }
    close(fd);
}

static void accepted(void *opaque, int fd)
{
    qmp_listener_take_client(opaque, fd);
}

static void failed(void *opaque, int error, bool begins_to_rest)
{
    QmpListener *listener = opaque;
    const QmpLogFields fields = {
        .socket = listener->access->name,
        .reason = g_strerror(error),
    };

    if (begins_to_rest) {
        qmp_log_limit_say(listener->logs[QMP_LISTENER_LOG_RESTS], QMP_LOG_ACCEPT_PAUSED, &fields,
                          "can't accept clients for now: %s", fields.reason);
    }
}

static void shut_down(void *opaque)
{
    QmpListener *listener = opaque;

    qmp_log(QMP_LOG_SOCKET_SHUT_DOWN, &(QmpLogFields){ .socket = listener->access->name },
            "%s: no client can connect any more, for it has been shut down",
            listener->access->name);
    qmp_listener_close(listener);
}

void qmp_listener_wake(QmpListener *listener)
{
    acceptor_wake(&listener->acceptor);
}

/* ---- life ---- */

QmpListener *qmp_listener_new(QmpServer *server, const QmpAccess *access)
{
    QmpListener *listener = g_new0(QmpListener, 1);
    const QmpLogFields about = { .socket = access->name };

    listener->server = server;
    listener->access = access;
    listener->fd = -1;
    for (int i = 0; i < QMP_LISTENER_N_LOGS; i++) {
        listener->logs[i] =
            qmp_log_limit_new(server->monitor_context, QMP_LOG_PERIOD_NS, logs[i].message, &about,
                              access->name, logs[i].things);
    }
    return listener;
}

void qmp_listener_listen(QmpListener *listener, int fd)
{
    static const AcceptorOps ops = {
        .name = "qmp_accept",
        .max_accepts = 1, /* sessions that there are have their turn between two new ones */
        .accepted = accepted,
        .failed = failed,
        .shut_down = shut_down,
    };

    listener->fd = fd;
    acceptor_init(&listener->acceptor, fd, &ops, listener);
    acceptor_start(&listener->acceptor, listener->server->monitor_context);
}

void qmp_listener_close(QmpListener *listener)
{
    if (listener->fd >= 0) {
        acceptor_stop(&listener->acceptor);
        close(listener->fd);
        listener->fd = -1;
    }
}

void qmp_listener_free(QmpListener *listener)
{
    qmp_listener_close(listener);
    for (int i = 0; i < QMP_LISTENER_N_LOGS; i++) {
        qmp_log_limit_free(listener->logs[i]);
    }
    g_free(listener);
}
