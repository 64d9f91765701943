/*
 * Listening sockets: accepting sessions, on the monitor thread.
 *
 * When the process or the system is out of descriptors a waiting client can't be accepted and stays
 * readable; the listener then rests for a while instead of spinning.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static const int64_t rest_ns = 100 * SCALE_MS;

struct QmpListener {
    QmpServer *server;
    int fd;
    QEMUTimer *rest_timer;
    bool resting;
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

static void rest_is_over(void *opaque)
{
    watch(opaque);
}

static void rest(QmpListener *listener, int error)
{
    if (!listener->resting) {
        g_warning("can't accept clients for now: %s", g_strerror(error));
        listener->resting = true;
    }
    unwatch(listener);
    timer_mod_ns(listener->rest_timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + rest_ns);
}

static void listener_readable(void *opaque)
{
    QmpListener *listener = opaque;
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        listener->resting = false;
        qmp_session_new(listener->server, fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        rest(listener, errno);
    }
    /* Else the client has gone again, or was not there: EAGAIN, ECONNABORTED, EINTR. */
}

QmpListener *qmp_listener_new(QmpServer *server, int fd)
{
    QmpListener *listener = g_new0(QmpListener, 1);

    listener->server = server;
    listener->fd = fd;
    listener->rest_timer = aio_timer_new(server->monitor_context, QEMU_CLOCK_REALTIME, SCALE_NS,
                                         rest_is_over, listener);
    watch(listener);
    return listener;
}

void qmp_listener_free(QmpListener *listener)
{
    unwatch(listener);
    timer_free(listener->rest_timer);
    close(listener->fd);
    g_free(listener);
}
