/*
 * An echo server on a number of IOThreads: echo-server PATH COUNT. The main loop accepts on a unix
 * socket at PATH and deals the clients out; each IOThread sends back what its clients send.
 *
 *     cc echo-server.c -o echo-server $(pkg-config --cflags --libs evloop)
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <glib-unix.h>
#include <iothreads/iothread.h>
#include <loop/main-loop.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Server {
    bool running;
    int fd;
    QEMUTimer pause; /* until it accepts again */
    guint64 n_iothreads, n_clients;
    IOThread **iothreads;
} Server;

static void on_readable(void *opaque);
static void on_writable(void *opaque);

/* In an IOThread. Only what was sent back is taken from the socket, so there is nothing to keep,
 * and a client that does not read is made to wait. */
static void echo(int fd, bool was_blocked)
{
    AioContext *ctx = qemu_get_current_aio_context();
    char buffer[16384];
    ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_PEEK);
    ssize_t sent = n > 0 ? send(fd, buffer, (size_t)n, MSG_NOSIGNAL) : n;
    bool over = sent > 0 ? recv(fd, buffer, (size_t)sent, 0) != sent
                         : sent == 0 || (errno != EAGAIN && errno != EINTR);

    if (over) {
        aio_set_fd_handler(ctx, fd, NULL, NULL, NULL, NULL, NULL);
        close(fd);
    } else if (sent < n && !was_blocked) {
        aio_set_fd_handler(ctx, fd, NULL, on_writable, NULL, NULL, GINT_TO_POINTER(fd));
    } else if (sent == n && was_blocked) {
        aio_set_fd_handler(ctx, fd, on_readable, NULL, NULL, NULL, GINT_TO_POINTER(fd));
    }
}

static void on_readable(void *opaque)
{
    echo(GPOINTER_TO_INT(opaque), false);
}

static void on_writable(void *opaque)
{
    echo(GPOINTER_TO_INT(opaque), true);
}

static void accept_client(void *opaque)
{
    Server *server = opaque;
    IOThread *iothread = server->iothreads[server->n_clients % server->n_iothreads];
    int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        server->n_clients++;
        aio_set_fd_handler(iothread_get_aio_context(iothread), fd, on_readable, NULL, NULL, NULL,
                           GINT_TO_POINTER(fd));
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        /* Out of descriptors: look again when clients may have gone, not at once and for ever. */
        qemu_set_fd_handler(server->fd, NULL, NULL, NULL);
        timer_mod(&server->pause, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) / SCALE_MS + 100);
    }
}

static void accept_clients(void *opaque)
{
    Server *server = opaque;

    qemu_set_fd_handler(server->fd, accept_client, NULL, server);
}

static gboolean stop(gpointer opaque)
{
    Server *server = opaque;

    server->running = false;
    return G_SOURCE_CONTINUE;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (g_strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path)) {
        errx(1, "%s: too long for the path of a socket", path);
    }
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, SOMAXCONN) != 0) {
        err(1, "%s", path);
    }
    return fd;
}

int main(int argc, char **argv)
{
    Server server = { .running = true };
    g_autoptr(GError) error = NULL;

    if (argc != 3 || !g_ascii_string_to_unsigned(argv[2], 10, 1, 99, &server.n_iothreads, NULL)) {
        errx(2, "usage: echo-server PATH COUNT, with a COUNT from 1 to 99");
    }
    if (!qemu_init_main_loop(&error)) {
        errx(1, "%s", error->message);
    }
    server.iothreads = g_new(IOThread *, server.n_iothreads);
    for (guint64 i = 0; i < server.n_iothreads; i++) {
        g_autofree char *id = g_strdup_printf("echo%u", (unsigned)i);

        server.iothreads[i] = iothread_create(id, &error);
        if (!server.iothreads[i]) {
            errx(1, "%s", error->message);
        }
    }
    aio_timer_init(iohandler_get_aio_context(), &server.pause, QEMU_CLOCK_REALTIME, SCALE_MS,
                   accept_clients, &server);
    g_unix_signal_add(SIGINT, stop, &server);
    g_unix_signal_add(SIGTERM, stop, &server);
    server.fd = listen_at(argv[1]);
    accept_clients(&server);

    while (server.running) {
        main_loop_wait(false);
    }

    unlink(argv[1]);
    for (guint64 i = 0; i < server.n_iothreads; i++) {
        iothread_destroy(server.iothreads[i]);
    }
    g_free(server.iothreads);
    timer_deinit(&server.pause);
    qemu_cleanup_main_loop();
    return 0; /* which closes what is left */
}
