/*
 * Listening stream sockets of any family.
 */
#include "config.h"
#include "sockets/listening-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <unistd.h>

#include "loop/aio.h"

static bool fail_errno(GError **errp, const char *operation)
{
    g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "%s: %s", operation, g_strerror(errno));
    return false;
}

static bool bind_and_listen(int fd, const struct sockaddr *address, socklen_t length, GError **errp)
{
    static const int on = 1;

    /* For TCP: connections of a listener that is gone do not keep its port. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, address, length) != 0) {
        return fail_errno(errp, "bind");
    }
    return listen(fd, SOMAXCONN) == 0 || fail_errno(errp, "listen");
}

int listening_socket_open(const struct sockaddr *address, socklen_t length, GError **errp)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        fail_errno(errp, "socket");
        return -1;
    }
    if (!bind_and_listen(fd, address, length, errp)) {
        close(fd);
        return -1;
    }
    return fd;
}

int socket_option(int fd, int option)
{
    int value;
    socklen_t length = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

bool listening_socket_adopt(int fd, GError **errp)
{
    if (socket_option(fd, SO_TYPE) != SOCK_STREAM || socket_option(fd, SO_ACCEPTCONN) != 1) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID,
                    "the descriptor is no stream socket that listens");
        return false;
    }
    return (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 || fail_errno(errp, "fcntl")) &&
           g_unix_set_fd_nonblocking(fd, TRUE, errp);
}
