/*
 * Control sockets: who gets a session on one, on the monitor thread.
 *
 * When the process or the system is out of descriptors a waiting client can't be accepted and stays
 * readable. The listener then rests until one of the server's sessions has ended, or for a while,
 * for descriptors are freed elsewhere too.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static const int64_t rest_ns = 100 * SCALE_MS;

/* What clients can cause again and again takes so many lines of the log in this time: QMP_LOG_BURST
 * and one. */
static const int64_t log_period_ns = INT64_C(10000) * SCALE_MS;

static const char *const log_things[QMP_LISTENER_N_LOGS] = {
    [QMP_LISTENER_LOG_REFUSED] = "clients were refused",
    [QMP_LISTENER_LOG_FULL] = "clients were turned away",
    [QMP_LISTENER_LOG_RESTS] = "pauses in accepting clients",
    [QMP_LISTENER_LOG_SILENT] = "sessions were not negotiated in time",
    [QMP_LISTENER_LOG_OUTPUT] = "clients left too much unread",
    [QMP_LISTENER_LOG_FDS] = "sessions had descriptors dropped",
};

static void listener_readable(void *opaque);

static void watch(QmpListener *listener)
{
    aio_set_fd_handler(listener->server->monitor_context, listener->fd, listener_readable, NULL,
                       NULL, NULL, listener);
}

static void unwatch(QmpListener *listener)
{
    aio_set_fd_handler(listener->server->monitor_context, listener->fd, NULL, NULL, NULL, NULL,
                       NULL);
}

/* ---- resting ---- */

static void rest_is_over(void *opaque)
{
    watch(opaque);
}

static void rest(QmpListener *listener, int error)
{
    if (!listener->resting) {
        qmp_log_limit_warn(listener->logs[QMP_LISTENER_LOG_RESTS],
                           "can't accept clients for now: %s", g_strerror(error));
        listener->resting = true;
    }
    unwatch(listener);
    timer_mod_ns(listener->rest_timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + rest_ns);
}

void qmp_listener_wake(QmpListener *listener)
{
    if (listener->fd >= 0 && timer_pending(listener->rest_timer)) {
        timer_del(listener->rest_timer);
        watch(listener);
    }
}

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

    qmp_peer_read(&peer, fd);
    if (!qmp_peer_is_allowed(&peer, fd, access)) {
        who = qmp_peer_describe(&peer);
        qmp_log_limit_warn(listener->logs[QMP_LISTENER_LOG_REFUSED], "refused a client (%s)", who);
    } else if (access->max_sessions > 0 && listener->n_sessions >= access->max_sessions) {
        who = qmp_peer_describe(&peer);
        qmp_log_limit_warn(listener->logs[QMP_LISTENER_LOG_FULL],
                           "turned a client away (%s), for there are %u already", who,
                           listener->n_sessions);
    } else {
        pass_nothing_else(fd);
        qmp_session_new(listener, fd, &peer);
        return;
    }
    close(fd);
}

/* Whether somebody who shares the socket has shut it down: then it is readable for good, with
 * nobody to accept. */
static bool is_shut_down(const QmpListener *listener)
{
    struct pollfd pollfd = { .fd = listener->fd };

    return poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLHUP);
}

static void listener_readable(void *opaque)
{
    QmpListener *listener = opaque;
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        listener->resting = false;
        qmp_listener_take_client(listener, fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        rest(listener, errno);
    } else if (is_shut_down(listener)) {
        g_warning("%s: no client can connect any more, for it has been shut down",
                  listener->access->name);
        qmp_listener_close(listener);
    }
    /* Else the client has gone again, or was not there: EAGAIN, ECONNABORTED, EINTR. */
}

/* ---- life ---- */

QmpListener *qmp_listener_new(QmpServer *server, const QmpAccess *access)
{
    QmpListener *listener = g_new0(QmpListener, 1);

    listener->server = server;
    listener->access = access;
    listener->fd = -1;
    listener->rest_timer = aio_timer_new(server->monitor_context, QEMU_CLOCK_REALTIME, SCALE_NS,
                                         rest_is_over, listener);
    for (int i = 0; i < QMP_LISTENER_N_LOGS; i++) {
        listener->logs[i] =
            qmp_log_limit_new(server->monitor_context, log_period_ns, access->name, log_things[i]);
    }
    return listener;
}

void qmp_listener_listen(QmpListener *listener, int fd)
{
    listener->fd = fd;
    watch(listener);
}

void qmp_listener_close(QmpListener *listener)
{
    if (listener->fd >= 0) {
        timer_del(listener->rest_timer);
        unwatch(listener);
        close(listener->fd);
        listener->fd = -1;
    }
}

void qmp_listener_free(QmpListener *listener)
{
    qmp_listener_close(listener);
    timer_free(listener->rest_timer);
    for (int i = 0; i < QMP_LISTENER_N_LOGS; i++) {
        qmp_log_limit_free(listener->logs[i]);
    }
    g_free(listener);
}
